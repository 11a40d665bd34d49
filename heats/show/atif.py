"""A trajectory as an ATIF v1.7 document, the format that other tools read.

What ATIF has no field for goes into its `extra` objects, so that nothing of a trajectory is lost.
Source: the Agent Trajectory Interchange Format of Harbor, version 1.7.
"""

import json
from importlib import metadata
from typing import Any

from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Observation, Step, Trajectory

SCHEMA_VERSION = "ATIF-v1.7"


def to_atif(trajectory: Trajectory, run_id: str) -> dict[str, Any]:
    """One document. A trajectory without steps gets one that says so, since ATIF wants at least one."""
    steps = [_step(step) for step in trajectory.steps]
    usage = trajectory.usage
    return {
        "schema_version": SCHEMA_VERSION,
        "session_id": f"{run_id}/{trajectory.task_id}",
        "trajectory_id": f"{trajectory.task_id}/{trajectory.id}",
        "agent": {
            "name": f"heats-{trajectory.agent}",
            "version": metadata.version("heats"),
            "model_name": trajectory.model,
            "extra": {"rollout": trajectory.id, "seed": trajectory.seed},
        },
        "steps": steps or [{"step_id": 1, "source": "system", "message": "no step was taken"}],
        "final_metrics": {
            "total_prompt_tokens": usage.prompt_tokens,
            "total_completion_tokens": usage.completion_tokens,
            "total_cached_tokens": usage.cached_tokens,
            "total_cost_usd": usage.cost_usd,
            "total_steps": max(len(steps), 1),
            "extra": {"calls": usage.calls, "reasoning_tokens": usage.reasoning_tokens},
        },
        "extra": {
            "task_id": trajectory.task_id,
            "parents": list(trajectory.parents),
            "exit": trajectory.exit.model_dump() if trajectory.exit is not None else None,
            "duration_s": trajectory.duration_s,
            "more": trajectory.extra,
        },
    }


def _step(step: Step) -> dict[str, Any]:
    told: dict[str, Any] = {"step_id": step.id, "source": step.source, "message": step.content}
    if step.timestamp:
        told["timestamp"] = step.timestamp
    if step.source != "agent":
        return told
    if step.reasoning is not None:
        told["reasoning_content"] = step.reasoning
    if step.tool_calls:
        told["tool_calls"] = [_call(call) for call in step.tool_calls]
    if step.observations:
        known = {call.id for call in step.tool_calls}
        told["observation"] = {"results": [_result(one, known) for one in step.observations]}
    if step.usage is not None:
        told |= {"metrics": _metrics(step.usage), "llm_call_count": max(step.usage.calls, 1)}
    if step.finish_reason is not None:
        told["extra"] = {"finish_reason": step.finish_reason}
    return told


def _call(call: ToolCall) -> dict[str, Any]:
    """ATIF wants the arguments as an object; text that is none is kept beside an empty one."""
    told: dict[str, Any] = {"tool_call_id": call.id, "function_name": call.name}
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        arguments = None
    if isinstance(arguments, dict):
        told["arguments"] = arguments
        exact = json.dumps(arguments, ensure_ascii=False) == call.arguments or json.dumps(arguments) == call.arguments
        return told if exact else told | {"extra": {"raw_arguments": call.arguments}}
    return told | {"arguments": {}, "extra": {"raw_arguments": call.arguments}}


def _result(observation: Observation, known: set[str]) -> dict[str, Any]:
    extra = observation.model_dump(include={"status", "exit_code", "duration_s", "output_bytes"})
    matched = observation.tool_call_id in known
    if not matched:
        extra["tool_call_id"] = observation.tool_call_id
    return {
        "source_call_id": observation.tool_call_id if matched else None,
        "content": observation.content,
        "extra": extra,
    }


def _metrics(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost_usd": usage.cost_usd,
        "extra": {"calls": usage.calls, "reasoning_tokens": usage.reasoning_tokens},
    }
