#!/usr/bin/env bash
# Put harbor's wheel into the environment $1 although its Python is older than harbor asks for; only its models are used.
set -euo pipefail
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
echo 'harbor==0.25.0 --hash=sha256:51923ac567fc57b03279e93468b105f689628bcac2cd3d541d4e44aa5c0ec309' >"$wheels/pins.txt"
"$1/bin/python" -m pip download --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
    --only-binary=:all: --python-version 3.12 --dest "$wheels" -r "$wheels/pins.txt"
"$1/bin/python" -m zipfile -e "$wheels"/harbor-*.whl "$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
