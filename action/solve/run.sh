#!/usr/bin/env bash
# The job without a token: solve the issue and leave a bundle for the job that has a token.
set -euo pipefail
# Whatever the runner sets, nothing below has a token.
unset GITHUB_TOKEN GH_TOKEN ACTIONS_RUNTIME_TOKEN ACTIONS_ID_TOKEN_REQUEST_TOKEN
[ -n "${OPENAI_API_KEY:-}" ] || unset OPENAI_API_KEY
bin=$GITHUB_ACTION_PATH/../../.venv/bin
work=$(mktemp -d "$RUNNER_TEMP/heats-XXXXXX")

if [ -z "$IMAGE" ] && [ -f "$REPOSITORY/heats.yaml" ]; then
    IMAGE=$("$bin/python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1])).get("image", ""))' \
        "$REPOSITORY/heats.yaml")
fi
IMAGE=${IMAGE:-python:3.12-bookworm}

arguments=(--repo "$REPOSITORY" --base "$BASE" --issue - --model "$MODEL" --out "$work/run" --json)
arguments+=(--sandbox "$SANDBOX" --image "$IMAGE" --progress plain)
[ -z "$TEST" ] || arguments+=(--test "$TEST")
[ -z "$BASE_URL" ] || arguments+=(--base-url "$BASE_URL")
[ -z "$SETUP" ] || arguments+=(--setup "$SETUP")
[ -z "$SETUP_NETWORK" ] || arguments+=(--setup-network "$SETUP_NETWORK")
for name in $SETUP_ENV; do arguments+=(--setup-env "$name"); done
[ -z "$ROLLOUTS" ] || arguments+=(--rollouts "$ROLLOUTS")
[ -z "$ITERATIONS" ] || arguments+=(--iterations "$ITERATIONS")
[ -z "$COST_LIMIT" ] || arguments+=(--cost-limit "$COST_LIMIT")
[ -z "$TIME_LIMIT" ] || arguments+=(--time-limit "$TIME_LIMIT")
while IFS= read -r line; do [ -z "$line" ] || arguments+=(--config "$line"); done <<<"$CONFIG"

if [ "$SANDBOX" = docker ] && ! docker image inspect "$IMAGE" >/dev/null 2>&1; then docker pull --quiet "$IMAGE" >&2; fi

code=0
printf '%s' "$ISSUE" | "$bin/heats" solve "${arguments[@]}" >"$work/result.json" || code=$?
# 0 verified, 7 passes without being verified, 4 neither: all are results. Anything else is a failure that was reported.
case "$code" in 0 | 4 | 7) ;; *) exit "$code" ;; esac

handed=false
allow=()
[ "$ALLOW_UNVERIFIED" != true ] || allow=(passes unverified)
status=$("$bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["status"])' "$work/result.json")
cost=$("$bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["ledger"]["cost_usd"])' "$work/result.json")
for wanted in verified "${allow[@]}"; do
    if [ "$status" = "$wanted" ]; then
        "$bin/heats" propose "$work/run" --bundle "$work/bundle" >&2
        handed=true
    fi
done

if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat "$work/run/account.md" >>"$GITHUB_STEP_SUMMARY"; fi
{
    echo "status=$status"
    echo "handed-over=$handed"
    echo "bundle=$work/bundle"
    echo "run-dir=$work/run"
    echo "cost-usd=$cost"
} >>"$GITHUB_OUTPUT"
