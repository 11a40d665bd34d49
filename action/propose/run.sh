#!/usr/bin/env bash
# The job with a token: treat the bundle as untrusted data and open a pull request with its patch.
set -euo pipefail
bin=$GITHUB_ACTION_PATH/../../.venv/bin
result=$(mktemp "$RUNNER_TEMP/heats-XXXXXX")

arguments=("$BUNDLE" --repo "$REPOSITORY" --pr --json --author "$AUTHOR")
[ -z "$BASE_BRANCH" ] || arguments+=(--base-branch "$BASE_BRANCH")
[ -z "$BRANCH" ] || arguments+=(--branch "$BRANCH")
[ "$DRAFT" != true ] || arguments+=(--draft)
[ "$ALLOW_UNVERIFIED" != true ] || arguments+=(--allow-unverified)
[ "$ALLOW_CI" != true ] || arguments+=(--allow-ci)
[ "$ALLOW_BUILD" != true ] || arguments+=(--allow-build)
[ "$ALLOW_LOCK_FILES" != true ] || arguments+=(--allow-lock-files)

# Accept only a bundle: a run directory could choose the name and the target of the pull request.
[ -f "$BUNDLE/proposal.json" ] || { echo "heats: $BUNDLE holds no proposal.json" >&2; exit 2; }
"$bin/heats" propose "${arguments[@]}" >"$result"
"$bin/python" - "$result" >>"$GITHUB_OUTPUT" <<'PYTHON'
import json
import sys

made = json.load(open(sys.argv[1]))
print(f"branch={made['branch']}")
print(f"pull-request={made['pull_request']['url']}")
PYTHON
