"""Agents that heats installs: one kit per version and machine, and how each is started."""

import asyncio
import gc
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agents import open_agent
from agents.config import AgentConfig
from agents.errors import AgentUnusable
from agents.kit import hold, place_of, provide, unused_kits
from agents.kit_npm import NpmRecipe
from agents.kit_python import PythonRecipe, find_python
from agents.presets import KIT, PRESETS
from sandbox.base import SharedFolder
from sandbox.fake import FakeSandbox, result

NPM = """#!/bin/sh
echo "$@" >>"$NPM_LOG"
[ -z "$NPM_FAILS" ] || { echo "npm error 404 no such package"; exit 1; }
mkdir -p node_modules/tool && printf '\\177ELF' >node_modules/tool/tool && chmod 644 node_modules/tool/tool
"""


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for npm; returns the file with the arguments of each call."""
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(NPM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("NPM_LOG", str(tmp_path / "npm.log"))
    return tmp_path / "npm.log"


async def test_a_kit_is_installed_once_without_running_the_packages_scripts(tmp_path, npm):
    made = await asyncio.gather(*(provide(tmp_path / "kits", "tool", NpmRecipe(("tool@1",))) for _ in range(4)))
    assert len(set(made)) == 1
    (call,) = npm.read_text().splitlines()
    assert "--ignore-scripts" in call
    assert call.endswith("tool@1")
    assert stat.S_IMODE((made[0] / "node_modules/tool/tool").stat().st_mode) == 0o755
    assert await provide(tmp_path / "kits", "tool", NpmRecipe(("tool@2",))) != made[0]


async def test_a_failed_installation_says_why_and_leaves_nothing(tmp_path, npm, monkeypatch):
    monkeypatch.setenv("NPM_FAILS", "yes")
    with pytest.raises(AgentUnusable, match=r"npm could not install tool@1: .*no such package"):
        await provide(tmp_path / "kits", "tool", NpmRecipe(("tool@1",)))
    assert [path.suffix for path in (tmp_path / "kits").iterdir()] == [".lock"]


async def test_a_machine_without_npm_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentUnusable, match="npm is not on PATH: install"):
        await provide(tmp_path / "kits", "tool", NpmRecipe(("tool@1",)))


@pytest.mark.parametrize("name", list(PRESETS))
async def test_an_agent_by_name_gets_the_gateway_or_does_not_start(story, name, agent_settings):
    agent = open_agent(name, AgentConfig.model_validate({**agent_settings, "name": name}))
    with pytest.raises(AgentUnusable, match="the gateway needs a folder shared with it"):
        await agent.run(story.assignment, FakeSandbox(), story.model, story.ledger, story.saved.append)


@pytest.mark.parametrize("name", list(PRESETS))
async def test_an_agent_that_never_asks_the_model_has_failed(story, name, agent_settings, tmp_path):
    own = {"settings": str(tmp_path / "own"), "arguments": ["--flag", "two words"]}
    (tmp_path / "own").write_text('{"mine": "{model}"}')
    config = AgentConfig.model_validate({**agent_settings, "name": name, "installed": own})
    agent = open_agent(name, config)
    sandbox = FakeSandbox([result("4711\n"), result("I have no model.\n")])
    sandbox.shared = SharedFolder(tmp_path, "/run/shared")
    trajectory = await agent.run(story.assignment, sandbox, story.model, story.ledger, story.saved.append)
    call = sandbox.calls[-1]
    assert trajectory.exit.kind == "agent_failed"
    assert "I have no model." in trajectory.exit.detail
    assert call.command.startswith(KIT)
    assert call.command.endswith("--flag 'two words'")
    task = b"".join(text for path, text in sandbox.files.items() if path.endswith("instruction.md"))
    assert (call.stdin or task).startswith(b"Fix the bug.")
    assert call.stdin or "/instruction.md" in call.command
    assert "{" not in call.command + "".join(call.env.values())
    assert b'{"mine": "fake"}' in sandbox.files.values()
    assert call.env["OPENAI_BASE_URL"] == "http://127.0.0.1:4711/v1"


async def test_kits_out_of_use_are_removed_and_those_in_use_are_spared(tmp_path, npm):
    class Run:
        """Whoever uses a kit."""

    used, unused = [await provide(tmp_path / "kits", name, NpmRecipe(("tool@1",))) for name in ("used", "unused")]
    half = tmp_path / "kits" / f"new-{unused.name}.x"
    half.mkdir()
    run = Run()
    await hold(used, run)
    listed = unused_kits(used.parent, unused_s=0, remove=False)
    assert {one.name for one in listed} == {str(unused), str(half)}
    assert [one.name for one in unused_kits(used.parent, unused_s=3600)] == [str(half)]
    del run
    gc.collect()
    assert all(one.removed for one in unused_kits(used.parent, unused_s=0))
    assert not [path for path in used.parent.iterdir() if path.is_dir()]


PIP = """import pathlib, sys
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1])
target.mkdir(parents=True, exist_ok=True)
(target / "tool.py").write_text("import sys; print('tool in', sys.prefix)")
"""
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """A stand-in for uv that installs one module."""
    (tmp_path / "pip.py").write_text(PIP)
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/pip.py "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


async def test_a_kit_brings_its_own_interpreter_that_runs_where_there_is_none(tmp_path, uv):
    recipe = PythonRecipe(("tool==1",), (VERSION,), python=Path(sys.executable))
    kit = await provide(tmp_path / "kits", "tool", recipe)
    moved = tmp_path / "elsewhere"
    shutil.copytree(kit, moved, symlinks=True)
    done = subprocess.run(
        [moved / "python/bin/python3", "-I", "-m", "tool"], env={}, capture_output=True, text=True, check=False
    )
    assert done.stdout == f"tool in {moved}/python\n", done.stderr
    maps = "print(open('/proc/self/maps').read())"
    loaded = subprocess.check_output([moved / "python/bin/python3", "-I", "-c", f"import ssl; {maps}"], text=True)
    libraries = {line.split()[-1] for line in loaded.splitlines() if ".so" in line}
    assert libraries
    assert all(one.startswith(str(moved)) for one in libraries), libraries


async def test_a_machine_without_the_right_python_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(AgentUnusable, match=r"needs Python 9\.8 or 9\.7, .*`uv python install 9\.8`"):
        await provide(tmp_path / "kits", "tool", PythonRecipe(("tool==1",), ("9.8", "9.7")))
    with pytest.raises(AgentUnusable, match="does not run"):
        find_python((VERSION,), tmp_path / "none")
    with pytest.raises(AgentUnusable, match=f"is Python {VERSION}; the agent needs Python 9.8"):
        find_python(("9.8",), Path(sys.executable))


def test_another_recipe_is_another_kit(tmp_path):
    recipes = [
        NpmRecipe(("a@1",)),
        NpmRecipe(("a@2",)),
        PythonRecipe(("a@1",), ("3.12",)),
        PythonRecipe(("a@1",), ("3.11",)),
    ]
    assert len({place_of(tmp_path, "a", one) for one in recipes}) == 4
