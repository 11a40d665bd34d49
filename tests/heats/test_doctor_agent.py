"""`heats doctor` says whether the agent can be loaded, and otherwise how to get it."""

import pytest

from agents import open_agent
from agents.kit_npm import cpu
from core.errors import UnknownPart
from heats.cli import doctor
from heats.config import load_config
from heats.errors import PreflightFailed


async def agent_of(settings):
    """What doctor says about the agent of a configuration."""
    config = load_config((), settings)
    return await doctor._agent(config, doctor._Place(config.sandbox))


@pytest.mark.parametrize(
    ("name", "said"), [("bash", "bash"), ("command:/opt/tool --fast", "command:tool"), ("oracle", "oracle")]
)
async def test_an_agent_that_can_be_loaded_is_named(name: str, said: str) -> None:
    assert await agent_of({"agent.name": name}) == said


async def test_of_mini_swe_agent_the_interpreter_is_named(tmp_path) -> None:
    python = tmp_path / "python"
    python.touch()
    settings = {"agent.name": "mini", "agent.mini.python": str(python)}
    assert await agent_of(settings) == f"mini, run by {python}"


async def test_an_agent_that_is_not_installed_is_told_with_what_installs_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("agents.mini_agent.find_spec", lambda name: None)
    config = load_config((), {"agent.name": "mini"})
    with pytest.raises(UnknownPart):
        await doctor._agent(config, doctor._Place(config.sandbox))
    (line,) = await doctor._lines("agent", lambda: doctor._agent(config, doctor._Place(config.sandbox)))
    assert (line.state, "pip install 'heats[mini]'" in line.detail) == ("FAIL", True)


@pytest.mark.parametrize("name", ["codex", "aider"])
async def test_an_agent_that_heats_installs_is_told_with_what_is_missing(monkeypatch, tmp_path, name) -> None:
    settings = {"agent.name": name, "agent.installed.directory": str(tmp_path / "kits")}
    monkeypatch.setattr("agents.kit_npm.NpmRecipe.missing", no_lack)
    monkeypatch.setattr("agents.kit_python.PythonRecipe.missing", no_lack)
    with pytest.raises(doctor.Doubt, match=r"not installed yet; the first run installs it in .*kits"):
        await agent_of(settings)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PreflightFailed, match=r"cannot be: (npm is not on PATH|the agent needs Python 3.12 or 3.11)"):
        await agent_of(settings)


async def no_lack(recipe) -> str:
    return ""


@pytest.mark.bubblewrap
async def test_an_agent_that_does_not_start_in_the_image_is_told_with_its_words(tmp_path) -> None:
    settings = {
        "agent.name": "claude-code",
        "agent.installed.directory": str(tmp_path / "kits"),
        "sandbox.backend": "bubblewrap",
    }
    config = load_config((), settings)
    kit = open_agent("claude-code", config.agent).place
    program = kit / f"node_modules/@anthropic-ai/claude-code-linux-{cpu()}" / "claude"
    program.parent.mkdir(parents=True)
    program.write_text("#!/lib/ld-musl-none.so.1\n")
    program.chmod(0o755)
    with pytest.raises(PreflightFailed, match=r"claude-code does not start in the image \(does it have glibc\?\)"):
        await agent_of(settings)
    program.write_text("#!/bin/sh\necho 1.2.3\n")
    assert (await agent_of(settings)).endswith("says: 1.2.3")
