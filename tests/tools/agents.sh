#!/usr/bin/env bash
# Install the agents of agents/presets.py into DIRECTORY/kits.
set -euo pipefail
PATH=$PWD/.cache/uv-venv/bin:$PATH .venv/bin/python -c '
import asyncio, sys
from heats.config import load_config
from agents import open_agent
from agents.presets import PRESETS
for name in PRESETS:
    config = load_config([f"agent.name={name}", f"agent.installed.directory={sys.argv[1]}/kits"]).agent
    asyncio.run(open_agent(name, config).mounts())
' "$1"
