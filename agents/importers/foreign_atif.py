"""Import ATIF v1.x documents of other tools; heats' own are read by `agents/atif.py`."""

from collections.abc import Mapping
from typing import Any

from agents.importers.draft import NO_TASK, call, text_of, tokens
from agents.llm.ledger import Usage
from agents.trajectory import Exit, Observation, Step, Trajectory


def from_foreign_atif(document: Mapping[str, Any]) -> Trajectory:
    """Convert any tool's ATIF v1.x document to a trajectory.

    Steps are renumbered; images and audio become a note in the text; sub-agents' trajectories are dropped. ATIF records
    neither how a rollout ended, so it counts as submitted, nor which task it worked on.
    """
    agent = document["agent"]
    steps = [_step(number, step) for number, step in enumerate(document["steps"], start=1)]
    total = sum((step.usage for step in steps if step.usage), Usage())
    return Trajectory(
        id=str(document.get("trajectory_id") or document.get("session_id") or NO_TASK),
        task_id=NO_TASK,
        agent=str(agent["name"]),
        model=str(agent.get("model_name") or ""),
        seed=0,
        steps=tuple(steps),
        exit=Exit(kind="submitted", detail="imported; ATIF does not record how it ended"),
        usage=total,
        extra={"imported_from": str(document["schema_version"])},
    )


def _step(number: int, step: Mapping[str, Any]) -> Step:
    results = (step.get("observation") or {}).get("results") or ()
    by_agent = step["source"] == "agent"
    reasoning = step.get("reasoning_content")
    calls = step.get("tool_calls") or ()
    return Step(
        id=number,
        source=step["source"],
        content=text_of(step["message"]),
        reasoning=str(reasoning) if reasoning is not None else None,
        tool_calls=tuple(call(one["tool_call_id"], one["function_name"], one["arguments"]) for one in calls),
        observations=tuple(_observation(result) for result in results),
        usage=_usage(step) if by_agent and step.get("metrics") else None,
        timestamp=str(step.get("timestamp") or ""),
    )


def _observation(result: Mapping[str, Any]) -> Observation:
    extra = result.get("extra") or {}
    codes = (extra.get(key) for key in ("returncode", "exit_code", "return_code"))
    code = next((code for code in codes if isinstance(code, int)), None)
    return Observation(
        tool_call_id=str(result.get("source_call_id") or ""), content=text_of(result.get("content")), exit_code=code
    )


def _usage(step: Mapping[str, Any]) -> Usage:
    metrics = step["metrics"]
    found = tokens(metrics, calls=int(step.get("llm_call_count") or 1), cost_usd=metrics.get("cost_usd"))
    return found.model_copy(update={"cached_tokens": int(metrics.get("cached_tokens") or 0)})
