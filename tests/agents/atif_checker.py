"""A strict reading of ATIF v1.7, from its field table: unknown keys, gaps and dangling references are errors."""

from datetime import datetime
from typing import Any

ROOT = {"schema_version", "session_id", "trajectory_id", "agent", "steps", "notes", "final_metrics", "extra"}
ROOT |= {"continued_trajectory_ref", "subagent_trajectories"}
AGENT = {"name", "version", "model_name", "tool_definitions", "extra"}
STEP = {"step_id", "timestamp", "source", "message", "observation", "is_copied_context", "llm_call_count", "extra"}
AGENT_ONLY = {"model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics"}
CALL = {"tool_call_id", "function_name", "arguments", "extra"}
RESULT = {"source_call_id", "content", "subagent_trajectory_ref", "extra"}
METRICS = {"prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "extra"}
METRICS |= {"prompt_token_ids", "completion_token_ids", "logprobs"}
FINAL = {
    "total_prompt_tokens",
    "total_completion_tokens",
    "total_cached_tokens",
    "total_cost_usd",
    "total_steps",
    "extra",
}


def check(document: dict[str, Any]) -> None:
    _closed(document, ROOT, required={"schema_version", "agent", "steps"})
    assert document["schema_version"] == "ATIF-v1.7"
    _closed(document["agent"], AGENT, required={"name", "version"})
    assert isinstance(document["agent"]["version"], str)
    assert document["steps"], "at least one step"
    for number, step in enumerate(document["steps"], start=1):
        assert step["step_id"] == number
        _step(step)
    _closed(document.get("final_metrics", {}), FINAL)


def _step(step: dict[str, Any]) -> None:
    assert step["source"] in ("system", "user", "agent")
    _closed(
        step, STEP | (AGENT_ONLY if step["source"] == "agent" else set()), required={"step_id", "source", "message"}
    )
    assert isinstance(step["message"], str)
    if "timestamp" in step:
        datetime.fromisoformat(step["timestamp"])
    calls = step.get("tool_calls", [])
    for call in calls:
        _closed(call, CALL, required={"tool_call_id", "function_name", "arguments"})
        assert isinstance(call["arguments"], dict)
    for result in step.get("observation", {"results": []})["results"]:
        _closed(result, RESULT)
        assert result["source_call_id"] in {None, *(call["tool_call_id"] for call in calls)}
    _closed(step.get("metrics", {}), METRICS)
    if step.get("llm_call_count") == 0:
        assert not step.keys() & {"metrics", "reasoning_content"}


def _closed(mapping: dict[str, Any], known: set[str], required: set[str] = frozenset()) -> None:
    assert mapping.keys() <= known, f"unknown keys {mapping.keys() - known}"
    assert required <= mapping.keys(), f"missing keys {required - mapping.keys()}"
