"""Which interpreter plays mini-swe-agent's loop; none of these tests needs mini-swe-agent itself."""

import sys
from pathlib import Path

import pytest

from agents import AgentConfig, open_agent
from agents.mini_agent import MiniAgent
from core.errors import UnknownPart


@pytest.fixture
def chosen(story, tmp_path, monkeypatch):
    """The interpreter that is chosen on a machine with only what a test has put there."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("agents.mini_agent.find_spec", lambda name: None)

    def choose(**mini):
        agent = open_agent("mini", AgentConfig.model_validate({**story.settings, "name": "mini", "mini": mini}))
        assert isinstance(agent, MiniAgent)
        return agent.python

    return choose


def made(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def on_path(tmp_path: Path) -> Path:
    python = made(tmp_path / "tool" / "bin" / "python")
    made(tmp_path / "bin" / "mini", f"#!{python}\nimport sys\n")
    return python


def test_the_one_that_mini_on_path_runs_on(chosen, tmp_path):
    python = on_path(tmp_path)
    assert chosen() == python


def test_the_one_of_heats_itself_where_it_was_installed_with_the_extra(chosen, tmp_path, monkeypatch):
    on_path(tmp_path)
    made(tmp_path / "site" / "minisweagent" / "__init__.py", "raise AssertionError('imported')")
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert chosen() == Path(sys.executable)


def test_the_one_that_is_named_before_all_others(chosen, tmp_path, monkeypatch):
    on_path(tmp_path)
    monkeypatch.setattr("agents.mini_agent.find_spec", lambda name: object())
    named = made(tmp_path / "named" / "python")
    assert chosen(python=named) == named


@pytest.mark.parametrize("settings", [{}, {"python": "/nowhere/python"}])
def test_where_there_is_none_it_is_said_how_to_install_it(chosen, settings):
    with pytest.raises(UnknownPart, match=r"pip install 'heats\[mini\]'.*agent\.mini\.python"):
        chosen(**settings)
