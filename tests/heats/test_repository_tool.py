"""The repository tool in a run: who is told of it, where it is, and where it cannot be."""

import json

import pytest

from heats.config import load_config
from heats.runner.knowledge import knowledge_of
from sandbox.repo_tool import REPO_TOOL


class Shared:
    """What `knowledge_of` reads of the services."""

    def __init__(self, **keys):
        self.config = load_config((), keys)

    def seed(self, *scope):
        return 1


def told(tmp_path, **keys):
    return knowledge_of(Shared(**keys), None, tmp_path, "heat-0/rollout-00")


def test_every_agent_is_told_where_it_is(tmp_path):
    assert f"`{REPO_TOOL}/repo def NAME [PATH]`" in told(tmp_path, **{"agent.repository_tool": True})


def test_nobody_is_told_of_it_by_default(tmp_path):
    assert told(tmp_path) == ""


def test_runs_without_it_keep_their_identity():
    plain = load_config(()).identity()
    assert "repository_tool" not in plain["agent"]
    assert "repository_prompt" not in plain["agent"]
    assert load_config((), {"agent.repository_tool": True}).identity()["agent"]["repository_tool"] is True


def test_a_sandbox_that_cannot_mount_is_refused_before_anything_is_spent(solve):
    code, _, err = solve("-c", "agent.repository_tool=true")
    assert code == 2
    assert "agent.repository_tool needs a sandbox that can mount files" in err


@pytest.mark.bubblewrap
def test_an_agent_uses_it_in_its_sandbox(solve, repo, tmp_path):
    script = tmp_path / "uses.json"
    command = f"printf 'class Shop: pass\\n' > shop.py; {REPO_TOOL}/repo def Shop; echo fixed > note.txt"
    script.write_text(json.dumps({"rules": [{"commands": [command]}]}))
    code, _, err = solve("-c", "agent.repository_tool=true", sandbox="bubblewrap", model=f"fake:{script}")
    assert code in (0, 7), err
    (first, *_) = tmp_path.glob("run/tasks/*/heat-0/rollout-*/trajectory.json")
    trajectory = json.loads(first.read_text())
    assert "Finding your way" in trajectory["steps"][1]["content"]
    shown = [one["content"] for step in trajectory["steps"] for one in step.get("observations", [])]
    assert any("shop.py:1: class Shop" in text for text in shown)
