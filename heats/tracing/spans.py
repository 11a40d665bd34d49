"""The spans of a run as plain values: run, task, heat, rollout, and within a rollout each chat and tool call.

Times come from the event stream and, within a rollout, from the trajectory: a reply carries its time of arrival, its
tool calls ran one after another from then on, and the remaining time until the next reply is the next chat.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agents.llm.ledger import Usage
from agents.trajectory import Observation, Step, Trajectory
from core.sanitize import excerpt, one_line
from heats.formatting import INFRASTRUCTURE_EXITS
from heats.report.timeline import by_task, drawn_events, seconds
from heats.store.events import RunEvent, standing_matches
from heats.store.reader import RolloutFacts, TaskFacts, read_task, task_ids
from heats.store.store import RunStore
from heats.tracing import names

MAX_CONTENT = 32_000

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened within a span."""

    name: str
    time: float
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Times are seconds since the epoch.

    Attributes:
        key: unique within the run and the same in every export of it.
        parent: key of the enclosing span; empty for the run itself.
        remote: whether a server did the work (a client span).
        error: why it failed; empty if it did not.
    """

    key: str
    parent: str
    name: str
    start: float
    end: float
    attributes: Attributes
    remote: bool = False
    error: str = ""
    moments: tuple[Moment, ...] = ()


def spans_of(run: RunStore, *, content: bool = False) -> Iterator[Span]:
    """The spans of a run, parents before their children, one task after another.

    Args:
        run: the run.
        content: include prompts, replies, commands and outputs, in addition to names and numbers.
    """
    events = list(drawn_events(run))
    tasks = by_task(events)
    times = [moment for event in events if (moment := seconds(event)) is not None] or [0.0]
    yield _run_span(run, events, times)
    for name in task_ids(run):
        yield from _task_spans(run, read_task(run, name), tasks.get(name, []), times, content=content)


def _run_span(run: RunStore, events: Sequence[RunEvent], times: Sequence[float]) -> Span:
    started = next((event.data for event in events if event.kind in ("run_started", "run_resumed")), {})
    shown = {
        key: started[key]
        for key in ("command", "rollouts", "iterations", "select_k", "group_size", "votes", "sandbox")
        if key in started
    }
    attributes: Attributes = {
        names.OPERATION: names.INVOKE_WORKFLOW,
        names.WORKFLOW_NAME: "heats",
        names.CONVERSATION: one_line(run.manifest.run_id),
        **{
            f"heats.{key}": one_line(str(value)) if isinstance(value, str) else value
            for key, value in shown.items()
            if isinstance(value, str | int)
        },
    }
    if isinstance(started.get("model"), str) and started["model"]:
        attributes[names.REQUEST_MODEL] = one_line(started["model"])
    return Span("run", "", f"{names.INVOKE_WORKFLOW} heats", min(times), max(times), attributes)


def _task_spans(
    run: RunStore, task: TaskFacts, events: Sequence[RunEvent], times: Sequence[float], *, content: bool
) -> Iterator[Span]:
    own = [moment for event in events if (moment := seconds(event)) is not None] or [min(times)]
    attributes: Attributes = {names.TASK: one_line(task.id)}
    status = task.result.status if task.result is not None else "running"
    attributes[names.STATUS] = status
    if task.selected is not None:
        attributes[names.SELECTED] = task.selected
    if task.result is not None:
        attributes |= _usage(task.result.usage)
    key = f"task {task.id}"
    error = one_line(task.result.detail) if task.result is not None and status == "error" else ""
    yield Span(key, "run", f"task {one_line(task.id, 80)}", min(own), max(own), attributes, error=error)
    for heat, rollouts in enumerate(task.heats):
        heat_key = f"{key} heat {heat}"
        periods = {one.id: _period(events, one.id) or (min(own), min(own)) for one in rollouts}
        yield _heat_span(task, heat, events, periods, (heat_key, key))
        for one in rollouts:
            yield from _rollout_spans(run, task, one, periods[one.id], heat_key, content=content)


def _period(events: Sequence[RunEvent], rollout: str) -> tuple[float, float] | None:
    """When a rollout's last attempt ran; evidence and summary, which come afterwards, are not included."""
    start = end = None
    for event in events:
        if event.rollout == rollout:
            if event.kind == "rollout_started":
                start, end = seconds(event), None
            elif event.kind == "rollout_finished":
                end = seconds(event)
    if start is None:
        return None if end is None else (end, end)
    return start, max(end or start, start)


def _heat_span(
    task: TaskFacts,
    heat: int,
    events: Sequence[RunEvent],
    periods: Mapping[str, tuple[float, float]],
    keys: tuple[str, str],
) -> Span:
    mine = [event for event in events if event.data.get("heat") == heat]
    moments = [moment for event in mine if (moment := seconds(event)) is not None]
    moments += [moment for period in periods.values() for moment in period]
    matches = tuple(
        Moment(
            "match",
            seconds(event) or 0.0,
            {
                names.WINNER: str(event.data.get("winner", "")),
                names.DECIDED_BY: str(event.data.get("decided_by", "")),
                names.CONTESTANTS: [str(one) for one in event.data.get("contestants", ())],
            },
        )
        for event in standing_matches(mine)
    )
    attributes: Attributes = {names.TASK: one_line(task.id), names.HEAT: heat, names.KEPT: list(task.kept(heat))}
    return Span(keys[0], keys[1], f"heat {heat}", min(moments), max(moments), attributes, moments=matches)


def _rollout_spans(
    run: RunStore, task: TaskFacts, one: RolloutFacts, period: tuple[float, float], parent: str, *, content: bool
) -> Iterator[Span]:
    trajectory = task.store.rollout(one.id).trajectory()
    agent = one_line(trajectory.agent) if trajectory is not None else "agent"
    attributes: Attributes = {
        names.OPERATION: names.INVOKE_AGENT,
        names.AGENT_NAME: agent,
        names.CONVERSATION: f"{one_line(run.manifest.run_id)}/{one_line(task.id)}/{one.id}",
        names.ROLLOUT: one.id,
        names.TASK: one_line(task.id),
        names.SELECTED: one.id == task.selected,
    }
    error = ""
    if one.outcome is not None:
        outcome = one.outcome
        attributes |= {
            names.EXIT: outcome.exit or "none",
            names.STEPS: outcome.steps,
            names.PATCH_BYTES: outcome.patch_bytes,
        }
        attributes |= {names.REQUEST_SEED: outcome.seed, **_usage(outcome.usage)}
        if outcome.model:
            attributes |= _model(outcome.model)
        if outcome.exit is None or outcome.exit in INFRASTRUCTURE_EXITS:
            attributes[names.ERROR_TYPE] = outcome.exit or "no_attempt"
            error = one_line(outcome.error or outcome.detail or "no attempt could be made")
    if one.evidence is not None:
        attributes[names.VERDICT] = one.evidence.verdict
    if one.grade is not None:
        attributes[names.GRADE] = one.grade.outcome
    key = f"{parent} {one.id}"
    yield Span(key, parent, f"{names.INVOKE_AGENT} {agent}", *period, attributes, error=error)
    if trajectory is not None:
        yield from _step_spans(trajectory, period, key, content=content)


def _step_spans(trajectory: Trajectory, period: tuple[float, float], parent: str, *, content: bool) -> Iterator[Span]:
    free = period[0]
    said: list[Step] = []
    for step in trajectory.steps:
        came = _time(step.timestamp, free)
        if step.source != "agent":
            said.append(step)
            free = max(free, came)
            continue
        came = max(came, free)
        yield _chat_span(trajectory, step, (free, came), parent, said if content else None)
        said, free = [], came
        calls = {call.id: call for call in step.tool_calls}
        for number, one in enumerate(step.observations):
            call = calls.get(one.tool_call_id)
            start, free = free, free + max(one.duration_s, 0.0)
            name = one_line(call.name, 60) if call is not None else "unknown"
            attributes = _tool(one, name)
            if content:
                attributes |= {names.TOOL_ARGUMENTS: excerpt(call.arguments if call else "", MAX_CONTENT)}
                attributes |= {names.TOOL_RESULT: excerpt(one.content, MAX_CONTENT)}
            key = f"{parent} {step.id} {number}"
            error = "" if one.status == "exited" else one.status
            yield Span(key, parent, f"{names.EXECUTE_TOOL} {name}", start, free, attributes, error=error)


def _chat_span(
    trajectory: Trajectory, step: Step, times: tuple[float, float], parent: str, said: Sequence[Step] | None
) -> Span:
    attributes: Attributes = {
        names.OPERATION: names.CHAT,
        **_model(trajectory.model),
        names.REQUEST_SEED: trajectory.seed,
    }
    if step.usage is not None:
        attributes |= _usage(step.usage)
    if step.finish_reason is not None:
        attributes[names.FINISH_REASONS] = [step.finish_reason]
    if said is not None:
        if said:
            attributes[names.INPUT_MESSAGES] = json.dumps([_message(one) for one in said])
        attributes[names.OUTPUT_MESSAGES] = json.dumps(
            [{**_message(step), "finish_reason": step.finish_reason or "stop"}]
        )
    return Span(
        f"{parent} {step.id}", parent, f"{names.CHAT} {one_line(trajectory.model)}", *times, attributes, remote=True
    )


def _message(step: Step) -> dict[str, object]:
    parts: list[dict[str, str]] = []
    if step.reasoning:
        parts.append({"type": "reasoning", "content": excerpt(step.reasoning, MAX_CONTENT)})
    if step.content:
        parts.append({"type": "text", "content": excerpt(step.content, MAX_CONTENT)})
    for call in step.tool_calls:
        parts.append(
            {"type": "tool_call", "id": call.id, "name": call.name, "arguments": excerpt(call.arguments, MAX_CONTENT)}
        )
    return {"role": "assistant" if step.source == "agent" else step.source, "parts": parts}


def _tool(one: Observation, name: str) -> Attributes:
    attributes: Attributes = {
        names.OPERATION: names.EXECUTE_TOOL,
        names.TOOL_NAME: name,
        names.TOOL_TYPE: "function",
        names.TOOL_CALL: one_line(one.tool_call_id),
        names.TOOL_STATUS: one.status,
        names.OUTPUT_BYTES: one.output_bytes,
    }
    if one.exit_code is not None:
        attributes[names.EXIT_CODE] = one.exit_code
    if one.status != "exited":
        attributes[names.ERROR_TYPE] = one.status
    return attributes


def _model(model: str) -> Attributes:
    provider = model.partition(":")[0] if model.startswith("builtin:") else names.OPENAI
    return {names.REQUEST_MODEL: one_line(model), names.PROVIDER: provider}


def _usage(usage: Usage) -> Attributes:
    return {
        names.CALLS: usage.calls,
        names.INPUT_TOKENS: usage.prompt_tokens,
        names.OUTPUT_TOKENS: usage.completion_tokens,
        names.CACHED_TOKENS: usage.cached_tokens,
        names.REASONING_TOKENS: usage.reasoning_tokens,
        names.COST: usage.cost_usd,
    }


def _time(timestamp: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError, OSError):
        return otherwise
