"""Trajectories as ATIF v1.7: valid and lossless."""

import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Exit, Observation, Step, Trajectory
from agents.atif import from_atif, to_atif
from agents.errors import TrajectoryFormatError
from agents.llm.base import ToolCall
from agents.llm.fake import bash, calls, submit
from agents.llm.ledger import Usage

_spec = importlib.util.spec_from_file_location("atif_checker", Path(__file__).with_name("atif_checker.py"))
atif_checker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(atif_checker)

counts = st.integers(0, 1 << 40)
seconds = st.floats(0, 1e6, allow_nan=False)
usages = st.builds(
    Usage,
    calls=counts,
    prompt_tokens=counts,
    cached_tokens=counts,
    completion_tokens=counts,
    reasoning_tokens=counts,
    cost_usd=seconds,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x), max_leaves=5
)
arguments = st.one_of(
    st.text(),
    st.builds(json.dumps, st.dictionaries(st.text(), st.text() | st.integers())),
    st.sampled_from(['{"a": NaN}', '{"a":1}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', "[]", "1e999", "{}", ""]),
)
ids = st.sampled_from(["a", "b", ""]) | st.text(max_size=5)
tool_calls = st.lists(st.builds(ToolCall, id=ids, name=st.text(), arguments=arguments), max_size=3).map(tuple)
observations = st.lists(
    st.builds(
        Observation,
        tool_call_id=ids,
        content=st.text(),
        status=st.sampled_from(["exited", "timeout", "oom", "indeterminate", "rejected"]),
        exit_code=st.none() | st.integers(0, 255),
        duration_s=seconds,
        output_bytes=counts,
    ),
    max_size=3,
).map(tuple)
bare_steps = st.lists(
    st.builds(
        Step,
        id=st.just(1),
        source=st.sampled_from(["system", "user", "agent"]),
        content=st.text(),
        reasoning=st.none() | st.text(),
        tool_calls=tool_calls,
        observations=observations,
        usage=st.none() | usages,
        finish_reason=st.none() | st.sampled_from(["stop", "length", "tool_calls"]),
        timestamp=st.sampled_from(["", "2026-11-22T04:00:00.123Z"]),
    ),
    max_size=4,
)
steps = bare_steps.map(lambda made: tuple(s.model_copy(update={"id": n}) for n, s in enumerate(made, start=1)))
exits = st.none() | st.builds(Exit, kind=st.sampled_from(["submitted", "cancelled", "token_limit"]), detail=st.text())
trajectories = st.builds(
    Trajectory,
    id=st.text(),
    task_id=st.text(),
    agent=st.text(),
    model=st.text(),
    seed=st.integers(),
    steps=steps,
    exit=exits,
    usage=usages,
    duration_s=seconds,
    parents=st.lists(st.text(), max_size=2).map(tuple),
    extra=st.dictionaries(st.text(), values, max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(trajectories)
def test_any_trajectory_becomes_a_valid_document_and_comes_back_equal(trajectory):
    document = to_atif(trajectory)
    atif_checker.check(document)
    stored = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert from_atif(json.loads(stored)) == trajectory


async def test_a_real_rollout_becomes_a_document_that_others_can_read(story):
    story.sandbox.outputs["ls"] = "a.py"
    story.assignment = story.assignment.__class__(
        rollout_id="heat-1/rollout-00",
        task_id="t",
        instruction="x",
        workdir="/w",
        seed=1,
        parents=("heat-0/rollout-02",),
    )
    trajectory = await story.play(bash("ls"), "hm", calls(("bash", "{broken")), submit())
    document = to_atif(trajectory, session_id="run-1")
    atif_checker.check(document)
    step = document["steps"][2]
    assert step["tool_calls"][0]["arguments"] == {"command": "ls"}
    assert step["observation"]["results"][0]["extra"]["returncode"] == 0
    assert document["extra"]["parents"] == ["heat-0/rollout-02"]
    assert document["final_metrics"]["total_prompt_tokens"] == trajectory.usage.prompt_tokens
    assert from_atif(document) == trajectory


@pytest.mark.parametrize(
    "document", [{}, {"extra": {"heats": {}}}, {"extra": 1}, {"extra": {"heats": {}}, "steps": [1]}]
)
def test_a_document_of_somebody_else_is_refused_in_one_line(document):
    with pytest.raises(TrajectoryFormatError, match="not an ATIF document of heats") as caught:
        from_atif(document)
    assert "\n" not in str(caught.value)
