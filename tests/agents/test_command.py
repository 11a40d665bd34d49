"""A command-line agent as a rollout: its input, how it ends, and what is stored."""

import json

import pytest

from agents import AgentConfig, open_agent
from agents.atif import to_atif
from agents.errors import AgentUnusable, LimitExceeded
from agents.llm.ledger import Limits, Usage
from agents.trajectory import Exit, Step, Trajectory
from core.errors import UnknownPart
from sandbox.base import ExecResult
from sandbox.errors import DiskLimitExceeded, SandboxLost
from sandbox.fake import FakeSandbox, result


async def run(story, command, *replies, files=None, settings=None, respond=None):
    sandbox = FakeSandbox(replies, files=files, respond=respond)
    config = AgentConfig.model_validate({**story.settings, "name": f"command:{command}", "command": settings or {}})
    agent = open_agent(config.name, config)
    trajectory = await agent.run(story.assignment, sandbox, story.model, story.ledger, story.saved.append)
    return trajectory, sandbox


async def test_the_task_is_a_file_outside_of_the_project_and_what_was_printed_is_the_record(story):
    trajectory, sandbox = await run(story, "tool --task {instruction} --n {seed}", "did it\n")
    (call,) = sandbox.calls
    path = call.command.split()[2]
    assert call.command == f"tool --task {path} --n 7"
    assert path.startswith("/tmp/heats-agent-")
    assert sandbox.files[path].startswith(b"Fix the bug.\n\nThe project is in /testbed")
    assert (trajectory.agent, trajectory.exit.kind, trajectory.agent_steps) == ("command:tool", "submitted", 1)
    assert trajectory.steps[1].observations[0].content == "did it\n"
    assert story.saved[-1] == trajectory


async def test_a_command_without_a_place_for_the_task_reads_it_from_standard_input(story):
    _, sandbox = await run(story, "tool -", "")
    assert sandbox.calls[0].stdin.startswith(b"Fix the bug.")


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (result("", 3), "agent_failed"),
        (ExecResult("timeout", None, b"so far"), "time_limit"),
        (ExecResult("oom", 137, b""), "agent_failed"),
        (ExecResult("indeterminate", None, b""), "sandbox_lost"),
        (SandboxLost("gone"), "sandbox_lost"),
        (DiskLimitExceeded("full"), "disk_limit"),
    ],
)
async def test_how_the_command_ends_is_how_the_rollout_ends(story, outcome, kind):
    trajectory, _ = await run(story, "tool {instruction}", outcome)
    assert trajectory.exit.kind == kind


async def test_a_command_that_the_image_does_not_have_is_nobodys_attempt(story):
    with pytest.raises(AgentUnusable, match="cannot run in the sandbox: tool"):
        await run(story, "tool {instruction}", result("tool: not found", 127))


async def test_a_trajectory_that_the_tool_wrote_is_the_record_and_its_usage_is_charged(story):
    theirs = Trajectory(
        id="x",
        task_id="x",
        agent="tool",
        model="their-model",
        seed=0,
        steps=(Step(id=1, source="user", content="hi"), Step(id=2, source="agent", content="thought")),
        exit=Exit(kind="step_limit"),
        usage=Usage(calls=2, prompt_tokens=30, completion_tokens=4),
    )
    files = {"/out/t.json": json.dumps(to_atif(theirs, session_id="s")).encode()}
    trajectory, _ = await run(story, "tool {instruction}", "", files=files, settings={"trajectory": "/out/t.json"})
    assert trajectory.steps == theirs.steps
    assert (trajectory.id, trajectory.task_id, trajectory.seed) == ("heat-0/rollout-00", "t", 7)
    assert (trajectory.model, trajectory.exit.kind) == ("their-model", "step_limit")
    assert story.ledger.spent == theirs.usage == trajectory.usage


async def test_a_trajectory_that_is_none_is_told_and_does_no_harm(story):
    files = {"/out/t.json": b"{"}
    trajectory, _ = await run(story, "tool {instruction}", "ran", files=files, settings={"trajectory": "/out/t.json"})
    assert trajectory.exit.kind == "submitted"
    assert "not JSON" in trajectory.extra["trajectory_problem"]


async def test_only_named_variables_and_no_server_reach_a_sandbox_without_network(story, monkeypatch):
    monkeypatch.setenv("TOOL_MODE", "fast")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    settings = {"forward_env": ["TOOL_MODE", "NOT_SET"], "base_url": "http://host:8000/v1"}
    _, sandbox = await run(story, "tool {instruction}", "", settings=settings)
    env = sandbox.calls[0].env
    assert env["TOOL_MODE"] == "fast"
    assert set(env) == {"TOOL_MODE", "HEATS_INSTRUCTION", "HEATS_TRAJECTORY", "HEATS_MODEL", "HEATS_SEED"}


async def test_a_limit_that_is_reached_already_keeps_the_command_from_starting(story):
    story.ledger.limits = Limits(calls=1)
    story.ledger.charge(Usage(calls=1))
    trajectory, sandbox = await run(story, "tool {instruction}")
    assert trajectory.exit.kind == "step_limit"
    assert not sandbox.calls


async def test_a_limit_that_is_reached_meanwhile_ends_the_command(story, monkeypatch):
    monkeypatch.setattr("agents.command._CHECK_S", 0.01)
    story.ledger.limits = Limits(time_s=0.05)
    story.sandbox.outputs = {}
    agent = open_agent("command:sleep", AgentConfig.model_validate({**story.settings, "name": "command:sleep"}))
    trajectory = await agent.run(story.assignment, story.sandbox, story.model, story.ledger, story.saved.append)
    assert trajectory.exit.kind == "time_limit"
    with pytest.raises(LimitExceeded):
        story.ledger.check()


def test_a_command_need_not_be_one_that_python_can_take_apart(agent_settings):
    """A quote that a shell closes elsewhere, or never, used to be an internal error."""
    config = AgentConfig.model_validate({**agent_settings, "name": "command:/opt/tool # it's mine"})
    assert open_agent(config.name, config).name == "command:tool"


def test_an_agent_without_a_command_is_refused(agent_settings):
    with pytest.raises(UnknownPart, match="needs a command"):
        open_agent("command: ", AgentConfig.model_validate({**agent_settings, "name": "command: "}))
