"""`heats doctor` says whether the agent can be loaded, and otherwise how to get it."""

import pytest

from core.errors import UnknownPart
from heats.cli import doctor
from heats.config import load_config


@pytest.mark.parametrize(
    ("name", "said"), [("bash", "bash"), ("command:/opt/tool --fast", "command:tool"), ("oracle", "oracle")]
)
async def test_an_agent_that_can_be_loaded_is_named(name: str, said: str) -> None:
    assert await doctor._agent(load_config((), {"agent.name": name})) == said


async def test_of_mini_swe_agent_the_interpreter_is_named(tmp_path) -> None:
    python = tmp_path / "python"
    python.touch()
    settings = {"agent.name": "mini", "agent.mini.python": str(python)}
    assert await doctor._agent(load_config((), settings)) == f"mini, run by {python}"


async def test_an_agent_that_is_not_installed_is_told_with_what_installs_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("agents.mini_agent.find_spec", lambda name: None)
    config = load_config((), {"agent.name": "mini"})
    with pytest.raises(UnknownPart):
        await doctor._agent(config)
    (line,) = await doctor._lines("agent", lambda: doctor._agent(config))
    assert (line.state, "pip install 'heats[mini]'" in line.detail) == ("FAIL", True)
