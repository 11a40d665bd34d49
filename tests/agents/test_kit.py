"""Agents that heats installs: one kit per version and machine, and how each is started."""

import asyncio
import os
import stat

import pytest

from agents import open_agent
from agents.config import AgentConfig
from agents.errors import AgentUnusable
from agents.kit import provide
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
    made = await asyncio.gather(*(provide(tmp_path / "kits", "tool", ["tool@1"]) for _ in range(4)))
    assert len(set(made)) == 1
    (call,) = npm.read_text().splitlines()
    assert "--ignore-scripts" in call
    assert call.endswith("tool@1")
    assert stat.S_IMODE((made[0] / "node_modules/tool/tool").stat().st_mode) == 0o755
    assert await provide(tmp_path / "kits", "tool", ["tool@2"]) != made[0]


async def test_a_failed_installation_says_why_and_leaves_nothing(tmp_path, npm, monkeypatch):
    monkeypatch.setenv("NPM_FAILS", "yes")
    with pytest.raises(AgentUnusable, match=r"npm could not install tool@1: .*no such package"):
        await provide(tmp_path / "kits", "tool", ["tool@1"])
    assert [path.suffix for path in (tmp_path / "kits").iterdir()] == [".lock"]


async def test_a_machine_without_npm_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgentUnusable, match="npm is not on PATH: install"):
        await provide(tmp_path / "kits", "tool", ["tool@1"])


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
    assert call.stdin.startswith(b"Fix the bug.")
    assert "{" not in call.command + "".join(call.env.values())
    assert b'{"mine": "fake"}' in sandbox.files.values()
    assert call.env["OPENAI_BASE_URL"] == "http://127.0.0.1:4711/v1"
