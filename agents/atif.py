"""Lossless conversion of trajectories to and from ATIF v1.7 documents.

Anything that ATIF has no field for goes into its `extra` objects under `heats`, so reading a document back yields an
equal `Trajectory`. Documents of other tools are read by `agents/importers`.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from agents.errors import TrajectoryFormatError
from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.llm.replies import without_surrogates
from agents.trajectory import Observation, Step, Trajectory
from core.errors import first_problem

VERSION = "ATIF-v1.7"
_OURS = "heats"


def to_atif(
    trajectory: Trajectory, *, session_id: str = "", tool_definitions: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Convert a trajectory to an ATIF v1.7 document.

    Args:
        trajectory: the trajectory.
        session_id: ID of the run; defaults to the task's ID.
        tool_definitions: OpenAI function schemas of the agent's tools.
    """
    steps = [_step_out(step, trajectory.model) for step in trajectory.steps]
    # ATIF requires a step, but a rollout that ended before its first has none.
    placeholder = {"step_id": 1, "source": "system", "message": "", "extra": {_OURS: {"placeholder": True}}}
    agent: dict[str, Any] = {"name": trajectory.agent, "version": _version(), "model_name": trajectory.model}
    if tool_definitions:
        agent["tool_definitions"] = [dict(tool) for tool in tool_definitions]
    ours = trajectory.model_dump(mode="json", exclude={"steps", "agent", "model"})
    return {
        "schema_version": VERSION,
        "session_id": session_id or trajectory.task_id,
        "trajectory_id": f"{trajectory.task_id}/{trajectory.id}",
        "agent": agent,
        "steps": steps or [placeholder],
        "final_metrics": {
            "total_prompt_tokens": trajectory.usage.prompt_tokens,
            "total_completion_tokens": trajectory.usage.completion_tokens,
            "total_cached_tokens": trajectory.usage.cached_tokens,
            "total_cost_usd": trajectory.usage.cost_usd,
            "total_steps": max(1, len(steps)),
        },
        "extra": {"parents": list(trajectory.parents), _OURS: ours},
    }


def _version() -> str:
    try:
        return metadata.version("heats")
    except metadata.PackageNotFoundError:
        return "0"


def _step_out(step: Step, model: str) -> dict[str, Any]:
    out: dict[str, Any] = {"step_id": step.id, "source": step.source, "message": step.content}
    ours: dict[str, Any] = {}
    if step.timestamp:
        out["timestamp"] = step.timestamp
    if step.finish_reason is not None:
        ours["finish_reason"] = step.finish_reason
    if step.sent is not None:
        ours["sent"] = step.sent
    if step.problems:
        ours["problems"] = list(step.problems)
    ours |= step.model_dump(mode="json", include={"watcher", "restarts", "proposals", "copied"}, exclude_defaults=True)
    if step.source == "agent":
        out |= _agent_fields(step, model)
    else:
        # ATIF allows these only on agent steps. Our agents comply, but an imported record might not.
        barred = {"tool_calls", "observations", "usage", "reasoning"}
        ours |= step.model_dump(mode="json", include=barred, exclude_defaults=True)
    if step.copied:
        out["is_copied_context"] = True
    if ours:
        out["extra"] = {_OURS: ours}
    return out


def _agent_fields(step: Step, model: str) -> dict[str, Any]:
    out: dict[str, Any] = {"model_name": model, "llm_call_count": max(1, step.usage.calls if step.usage else 1)}
    if step.reasoning is not None:
        out["reasoning_content"] = step.reasoning
    if step.tool_calls:
        out["tool_calls"] = [_call_out(call) for call in step.tool_calls]
    if step.observations:
        known = {call.id for call in step.tool_calls}
        out["observation"] = {"results": [_result_out(one, known) for one in step.observations]}
    if step.usage is not None:
        out["metrics"] = {
            "prompt_tokens": step.usage.prompt_tokens,
            "completion_tokens": step.usage.completion_tokens,
            "cached_tokens": step.usage.cached_tokens,
            "cost_usd": step.usage.cost_usd,
            "extra": {"calls": step.usage.calls, "reasoning_tokens": step.usage.reasoning_tokens},
        }
    return out


def _call_out(call: ToolCall) -> dict[str, Any]:
    """ATIF requires an object. The original text is kept beside it if it is not one or is formatted differently."""
    arguments = _object(call.arguments)
    out: dict[str, Any] = {"tool_call_id": call.id, "function_name": call.name, "arguments": arguments or {}}
    if arguments is None or json.dumps(arguments) != call.arguments:
        out["extra"] = {"arguments_text": call.arguments}
    return out


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    sound = without_surrogates(value)
    return sound if isinstance(sound, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _result_out(observation: Observation, known: set[str]) -> dict[str, Any]:
    extra = observation.model_dump(mode="json", exclude={"content", "tool_call_id"})
    extra["returncode"] = observation.exit_code
    if not observation.watcher:
        del extra["watcher"]
    source = observation.tool_call_id if observation.tool_call_id in known else None
    if source is None:
        extra["tool_call_id"] = observation.tool_call_id
    return {"source_call_id": source, "content": observation.content, "extra": extra}


def from_atif(document: Mapping[str, Any]) -> Trajectory:
    """Parse a document written by `to_atif`.

    Raises:
        TrajectoryFormatError: it is not one; `importers.read_trajectory` also reads other tools' documents.
    """
    try:
        ours = dict(document["extra"][_OURS])
        steps = tuple(_step_in(step) for step in document["steps"] if not _is_placeholder(step))
        agent = document["agent"]
        return Trajectory.model_validate(
            {**ours, "steps": steps, "agent": agent["name"], "model": agent.get("model_name", "")}
        )
    except (KeyError, TypeError, AttributeError, ValidationError) as error:
        raise TrajectoryFormatError(f"not an ATIF document of heats: {fault_of(error)}") from error


def is_ours(document: Mapping[str, Any]) -> bool:
    """Return whether `to_atif` wrote the document."""
    extra = document.get("extra")
    return isinstance(extra, Mapping) and isinstance(extra.get(_OURS), Mapping)


def fault_of(error: Exception) -> str:
    """Describe in one line what is wrong with a document: the field and the problem."""
    if isinstance(error, ValidationError):
        return first_problem(error)
    return f"missing {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]


def _is_placeholder(step: Mapping[str, Any]) -> bool:
    return bool(step.get("extra", {}).get(_OURS, {}).get("placeholder"))


def _step_in(step: Mapping[str, Any]) -> Step:
    ours = step.get("extra", {}).get(_OURS, {})
    fields: dict[str, Any] = {
        "reasoning": step.get("reasoning_content"),
        "tool_calls": [_call_in(call) for call in step.get("tool_calls", ())],
        "observations": [_result_in(one) for one in step.get("observation", {}).get("results", ())],
        "usage": _usage_in(step.get("metrics")),
        **ours,
    }
    basic = {"id": step["step_id"], "source": step["source"], "content": step["message"]}
    return Step.model_validate({**basic, "timestamp": step.get("timestamp", ""), **fields})


def _call_in(call: Mapping[str, Any]) -> ToolCall:
    text = call.get("extra", {}).get("arguments_text")
    return ToolCall(
        id=call["tool_call_id"],
        name=call["function_name"],
        arguments=json.dumps(call["arguments"]) if text is None else text,
    )


def _result_in(result: Mapping[str, Any]) -> dict[str, Any]:
    extra = {key: value for key, value in result["extra"].items() if key != "returncode"}
    return {"tool_call_id": result["source_call_id"], "content": result["content"], **extra}


def _usage_in(metrics: Mapping[str, Any] | None) -> Usage | None:
    return None if metrics is None else Usage.model_validate({**metrics["extra"], **_without(metrics, "extra")})


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
