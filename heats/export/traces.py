"""Export rollouts as traces for other tools' readers: Docent's agent runs, and verifiers' episodes."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from agents.conversation import messages_of
from agents.llm.base import Message
from agents.llm.ledger import Usage
from agents.trajectory import LIMIT_EXITS, Step, Trajectory
from core.ids import RolloutId
from heats.export.training import Row, attempts
from heats.store.files import write_bytes
from heats.store.reader import Basis, RolloutFacts, TaskFacts, find_basis, read_task, statement, task_ids
from heats.store.store import RunStore

_Write = Callable[[RunStore, TaskFacts, RolloutFacts, Trajectory, float | None], Row]
_TRACE_VERSION = 1
"""Version of the trace format that verifiers 0.4.0 reads."""
_FINISHES = ("stop", "length", "tool_calls")


def export_docent(run: RunStore, directory: Path) -> list[Path]:
    """Write `docent/agent_runs.jsonl`: a line per rollout, each an `AgentRun` of Docent with one transcript.

    Its metadata says where the rollout comes from and whether it succeeded (`scores`), as `export_training` has it.

    Returns:
        The file written.
    """
    return [_write(run, directory / "docent" / "agent_runs.jsonl", _agent_run)]


def export_verifiers(run: RunStore, directory: Path) -> list[Path]:
    """Write `verifiers/traces.jsonl`: a line per rollout, each an episode of verifiers with one trace.

    The reward `passed` is what the hidden tests say or, in a run without grades, whether the patch is `verified`.

    Returns:
        The file written.
    """
    return [_write(run, directory / "verifiers" / "traces.jsonl", _episode)]


def _write(run: RunStore, path: Path, form: _Write) -> Path:
    basis = find_basis(run)
    rows = (row for one in task_ids(run) for row in _rows(run, read_task(run, one), basis, form))
    write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode(), mode=0o644)
    return path


def _rows(run: RunStore, task: TaskFacts, basis: Basis, form: _Write) -> Iterator[Row]:
    for one in attempts(task):
        trajectory = task.store.rollout(one.id).trajectory()
        if trajectory is not None and trajectory.steps:
            passed = one.passed(basis)
            yield form(run, task, one, trajectory, None if passed is None else float(passed))


def _agent_run(run: RunStore, task: TaskFacts, one: RolloutFacts, trajectory: Trajectory, reward: float | None) -> Row:
    about = {
        **_about(task, one, trajectory),
        "scores": {} if reward is None else {"passed": reward},
        "usage": trajectory.usage.model_dump(),
        "duration_s": trajectory.duration_s,
    }
    transcript = {"id": _id(run, task, one, "transcript"), "messages": _docent_messages(trajectory)}
    return {"id": _id(run, task, one), "name": f"{task.id} {one.id}", "transcripts": [transcript], "metadata": about}


def _docent_messages(trajectory: Trajectory) -> list[Row]:
    """The conversation; a call's arguments are an object, and what was no object has its text beside an error."""
    names = {call.id: call.name for step in trajectory.steps for call in step.tool_calls}
    made: list[Row] = []
    for message in messages_of(trajectory)[0]:
        row: Row = {"role": message["role"], "content": message.get("content") or ""}
        if message.get("tool_calls"):
            row["tool_calls"] = [_docent_call(call) for call in message["tool_calls"]]
        if message["role"] == "assistant":
            row["model"] = trajectory.model
        if message["role"] == "tool":
            row |= {"tool_call_id": message["tool_call_id"], "function": names.get(message["tool_call_id"])}
        made.append(row)
    return made


def _docent_call(call: Mapping[str, Any]) -> Row:
    function = call["function"]
    named = {"id": call["id"], "function": function["name"], "type": "function"}
    try:
        value = json.loads(function["arguments"] or "{}")
    except ValueError as error:
        return {**named, "arguments": {"text": function["arguments"]}, "parse_error": str(error)}
    return {**named, "arguments": value if isinstance(value, dict) else {"value": value}}


def _episode(run: RunStore, task: TaskFacts, one: RolloutFacts, trajectory: Trajectory, reward: float | None) -> Row:
    asked = {"type": "HeatsTask", "key": task.id, "data": {"id": task.id, "prompt": statement(task.store, trajectory)}}
    nodes, calls = _graph(trajectory)
    exit_kind = trajectory.exit.kind if trajectory.exit is not None else None
    trace: Row = {
        "version": _TRACE_VERSION,
        "id": _id(run, task, one),
        "verifiers": {"version": f"heats {metadata.version('heats')}"},
        "task": asked,
        "agent": {"config": {"model": trajectory.model}, "name": trajectory.agent},
        "nodes": nodes,
        "calls": calls,
        "rewards": {} if reward is None else {"passed": {"score": reward}},
        "metrics": {"steps": float(trajectory.agent_steps), "duration_s": trajectory.duration_s},
        "info": _about(task, one, trajectory),
        "is_completed": True,
        "ok": True,
        "stop_condition": exit_kind,
        "is_timeout": exit_kind == LIMIT_EXITS["time"],
        "timing": {"start": nodes[0]["timestamp"]},
    }
    episode = {"id": _id(run, task, one, "episode"), "group": {"id": trace["info"]["group"]}, "ok": True}
    return {**episode, "env": {"id": "heats"}, "task": asked, "traces": [trace]}


def _graph(trajectory: Trajectory) -> tuple[list[Row], list[Row]]:
    """The messages as nodes, each the child of the one before it, and the model's calls that made some of them."""
    nodes: list[Row] = []
    calls: list[Row] = []
    steps = iter(step for step in trajectory.steps if step.source == "agent")
    time_s = _seconds(trajectory.steps[0])
    for message in _typed(messages_of(trajectory)[0]):
        step = next(steps, None) if message["role"] == "assistant" else None
        time_s = _seconds(step) or time_s if step is not None else time_s
        if step is not None:
            message = {**message, "reasoning_content": step.reasoning}
            finish = step.finish_reason if step.finish_reason in _FINISHES else None
            usage = None if step.usage is None else _usage(step.usage)
            calls.append({"node": len(nodes), "model": trajectory.model, "finish_reason": finish, "usage": usage})
        parent = len(nodes) - 1 if nodes else None
        nodes.append({"parent": parent, "message": message, "sampled": step is not None, "timestamp": time_s})
    return nodes, calls


def _typed(messages: Sequence[Message]) -> Iterator[Row]:
    for message in messages:
        row: Row = {"role": message["role"], "content": message.get("content") or ""}
        if message.get("tool_calls"):
            row["tool_calls"] = [{"id": call["id"], **call["function"]} for call in message["tool_calls"]]
        if message["role"] == "tool":
            row["tool_call_id"] = message["tool_call_id"]
        yield row


def _usage(usage: Usage) -> Row:
    fresh = usage.prompt_tokens - usage.cached_tokens
    used = {"prompt_tokens": fresh, "completion_tokens": usage.completion_tokens}
    return {**used, "cached_input_tokens": usage.cached_tokens, "reasoning_tokens": usage.reasoning_tokens}


def _about(task: TaskFacts, one: RolloutFacts, trajectory: Trajectory) -> Row:
    heat = RolloutId.parse(one.id).heat
    return {
        "task": task.id,
        "rollout": one.id,
        "heat": heat,
        "group": f"{task.id}/heat-{heat}",
        "parents": list(trajectory.parents),
        "agent": trajectory.agent,
        "model": trajectory.model,
        "exit": one.outcome.exit if one.outcome is not None else None,
        "selected": one.id == task.selected,
    }


def _id(run: RunStore, task: TaskFacts, one: RolloutFacts, part: str = "") -> str:
    """An id that stays the same when a run is exported again."""
    return str(uuid5(NAMESPACE_URL, f"heats/{run.manifest.run_id}/{task.id}/{one.id}/{part}"))


def _seconds(step: Step) -> float:
    try:
        return datetime.fromisoformat(step.timestamp).timestamp()
    except ValueError:
        return 0.0
