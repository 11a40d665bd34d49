"""Trajectories written by other tools."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import TrajectoryFormatError
from agents.importers import read_trajectory
from agents.importers.reading import parse_trajectory
from agents.llm.fake import bash, submit

MINI_TOOLS = {
    "trajectory_format": "mini-swe-agent-1.1",
    "instance_id": "django__django-11099",
    "info": {
        "model_stats": {"instance_cost": 0.02, "api_calls": 2},
        "config": {"model": {"model_name": "qwen"}},
        "mini_version": "2.4.6",
        "exit_status": "Submitted",
        "submission": "diff --git a/x b/x\n",
    },
    "messages": [
        {"role": "system", "content": "You are ..."},
        {"role": "user", "content": "Fix it"},
        {
            "role": "assistant",
            "content": "look",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
            ],
            "extra": {
                "actions": [{"command": "ls"}],
                "cost": 0.01,
                "timestamp": 1790000000.5,
                "response": {"usage": {"prompt_tokens": 90, "completion_tokens": 7}},
            },
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a.py", "extra": {"returncode": 2}},
        {"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": "diff"}},
    ],
}
MINI_TEXT = {
    "messages": [
        {"role": "user", "content": "Fix it"},
        {"role": "assistant", "content": "```bash\nls\n```", "extra": {"actions": [{"command": "ls"}]}},
        {"role": "user", "content": "<output>a.py</output>", "extra": {"returncode": 0}},
        {"role": "assistant", "content": "no block"},
        {"role": "user", "content": "format error"},
    ],
    "info": {"exit_status": "LimitsExceeded"},
}
MINI_RESPONSES = {
    "messages": [
        {"role": "user", "content": "Fix it"},
        {
            "object": "response",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": "look"}]},
                {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": '{"command": "ls"}'},
            ],
            "usage": {"input_tokens": 5, "output_tokens": 6},
        },
        {"type": "function_call_output", "call_id": "c1", "output": "a.py", "extra": {"returncode": 0}},
    ],
    "info": {"exit_status": "ValueError"},
}
FOREIGN = {
    "schema_version": "ATIF-v1.5",
    "session_id": "s1",
    "agent": {"name": "other", "version": "1", "model_name": "m"},
    "steps": [
        {"step_id": 1, "source": "user", "message": [{"type": "text", "text": "hi"}, {"type": "image", "source": {}}]},
        {
            "step_id": 2,
            "source": "agent",
            "message": "look",
            "tool_calls": [{"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "ls"}}],
            "observation": {"results": [{"source_call_id": "c1", "content": None, "extra": {"exit_code": 3}}]},
            "metrics": {"prompt_tokens": 9, "completion_tokens": 2, "cost_usd": 0.5},
        },
    ],
}


@pytest.fixture
def read(tmp_path):
    def read(document):
        path = tmp_path / "t.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return read_trajectory(path)

    return read


def test_mini_with_tool_calls(read):
    trajectory = read(MINI_TOOLS)
    assert [step.source for step in trajectory.steps] == ["system", "user", "agent"]
    assert trajectory.steps[2].observations[0].exit_code == 2
    assert (trajectory.model, trajectory.exit.kind, trajectory.task_id) == ("qwen", "submitted", "django__django-11099")
    assert (trajectory.usage.prompt_tokens, trajectory.usage.cost_usd) == (90, 0.02)
    assert trajectory.extra["submission"].startswith("diff --git")
    assert trajectory.steps[2].timestamp == "2026-09-21T14:13:20.500Z"


def test_mini_with_commands_in_text(read):
    trajectory = read(MINI_TEXT)
    assert [step.source for step in trajectory.steps] == ["user", "agent", "agent", "user"]
    assert json.loads(trajectory.steps[1].tool_calls[0].arguments) == {"command": "ls"}
    assert trajectory.steps[1].observations[0].content == "<output>a.py</output>"
    assert trajectory.exit.kind == "step_limit"


def test_mini_with_the_responses_api(read):
    trajectory = read(MINI_RESPONSES)
    assert (trajectory.steps[1].content, trajectory.steps[1].observations[0].content) == ("look", "a.py")
    assert (trajectory.exit.kind, trajectory.exit.detail) == ("model_error", "ValueError")
    assert trajectory.usage.completion_tokens == 6


def test_foreign_atif(read):
    trajectory = read(FOREIGN)
    assert trajectory.steps[0].content == "hi\n[image]"
    assert trajectory.steps[1].observations[0].exit_code == 3
    assert (trajectory.agent, trajectory.usage.cost_usd, trajectory.usage.calls) == ("other", 0.5, 1)


async def test_our_own_record_and_our_own_atif(read, story):
    from agents.atif import to_atif

    trajectory = await story.play(bash("ls"), submit())
    assert read(trajectory.model_dump_json()) == trajectory
    assert read(to_atif(trajectory)) == trajectory


@pytest.mark.parametrize(
    "document",
    [
        "not json",
        "[]",
        "{}",
        {"messages": 3},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "wizard"}]},
        {"messages": [4]},
        {"schema_version": "ATIF-v1.7", "agent": {}, "steps": []},
        {"schema_version": "ATIF-v1.7", "agent": {"name": "x"}, "steps": [{"source": "tool", "message": ""}]},
        {"task_id": "t", "steps": [{"id": "x"}]},
    ],
)
def test_anything_else_is_one_line_that_names_the_file(read, document):
    with pytest.raises(TrajectoryFormatError, match=r"t\.json: ") as caught:
        read(document)
    assert "\n" not in str(caught.value)


junk = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda x: st.lists(x, max_size=2), max_leaves=3)


@given(st.sampled_from([MINI_TOOLS, MINI_TEXT, MINI_RESPONSES, FOREIGN]), st.data())
def test_a_damaged_field_is_read_or_refused_but_never_a_traceback(tmp_path_factory, document, data):
    damaged = json.loads(json.dumps(document))
    node, steps = damaged, 0
    while isinstance(node, dict | list) and node and steps < 6:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(junk)
            break
        node, steps = node[key], steps + 1
    path = tmp_path_factory.mktemp("d") / "t.json"
    path.write_text(json.dumps(damaged))
    with contextlib.suppress(TrajectoryFormatError):
        read_trajectory(path)


@pytest.mark.parametrize("number", [-5, 1e300, float("nan"), float("inf")])
def test_a_record_cannot_lower_or_spoil_what_is_charged(tmp_path, number):
    """A command in a sandbox writes its own record: a negative cost gave budget back, and NaN disabled the limit."""
    path = tmp_path / "a.traj.json"
    info = {**MINI_TOOLS["info"], "model_stats": {"instance_cost": number, "api_calls": 2}}
    path.write_text(json.dumps({**MINI_TOOLS, "info": info}))
    found = read_trajectory(path)
    assert 0 <= found.usage.cost_usd < 1
    assert found.usage.completion_tokens == 7


def test_a_trajectory_that_is_nested_too_deeply_is_no_trajectory():
    data = b'{"messages":' + b"[" * 700 + b"]" * 700 + b"}"
    with pytest.raises(TrajectoryFormatError):
        parse_trajectory(data, "t.json")
