"""Trajectories that other tools wrote: foreign ATIF documents and mini-swe-agent's `.traj.json`.

The files are untrusted: whatever is not as its format says is a `TrajectoryFormatError`, never a traceback.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.atif import from_atif, is_ours
from agents.errors import TrajectoryFormatError
from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.llm.replies import without_surrogates
from agents.mini import from_mini
from agents.trajectory import Exit, Observation, Step, Trajectory


def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory of any known format: heats' own record, ATIF, mini-swe-agent.

    Raises:
        TrajectoryFormatError: the file is none of them.
        OSError: it cannot be read.
    """
    return parse_trajectory(path.read_bytes(), str(path))


def parse_trajectory(data: bytes, path: str) -> Trajectory:
    """As `read_trajectory`, from a file's bytes.

    Args:
        path: where they are from, for messages.

    Raises:
        TrajectoryFormatError: they are no trajectory.
    """
    try:
        document = without_surrogates(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise TrajectoryFormatError(f"{path}: not JSON ({error})") from error
    if not isinstance(document, dict):
        raise TrajectoryFormatError(f"{path}: not a JSON object")
    try:
        return _reader(document)(document)
    except TrajectoryFormatError as error:
        raise TrajectoryFormatError(f"{path}: {error}") from error
    except (ValidationError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        what = " ".join(str(error).split())[:200]
        raise TrajectoryFormatError(f"{path}: a field is not as the format says ({what})") from error


def _reader(document: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Trajectory]:
    if str(document.get("schema_version", "")).startswith("ATIF-v1."):
        return from_atif if is_ours(document) else from_foreign_atif
    if str(document.get("trajectory_format", "")).startswith("mini-swe-agent") or "messages" in document:
        return from_mini
    if "steps" in document and "task_id" in document:
        return Trajectory.model_validate
    raise TrajectoryFormatError("neither heats' own, ATIF v1.x, nor mini-swe-agent")


def from_foreign_atif(document: Mapping[str, Any]) -> Trajectory:
    """A trajectory from any tool's ATIF v1.x document.

    Steps are numbered anew; images and audio become a note in the text; sub-agents' trajectories are left out. ATIF
    does not say how a rollout ended, so it counts as submitted.
    """
    agent = document["agent"]
    steps = [_step(number, step) for number, step in enumerate(document["steps"], start=1)]
    total = sum((step.usage for step in steps if step.usage), Usage())
    name = str(document.get("trajectory_id") or document.get("session_id") or "imported")
    return Trajectory(
        id=name,
        task_id=str(document.get("session_id") or name),
        agent=str(agent["name"]),
        model=str(agent.get("model_name") or ""),
        seed=0,
        steps=tuple(steps),
        exit=Exit(kind="submitted", detail="imported; ATIF does not say how it ended"),
        usage=total,
        extra={"imported_from": str(document["schema_version"])},
    )


def _step(number: int, step: Mapping[str, Any]) -> Step:
    results = (step.get("observation") or {}).get("results") or ()
    by_agent = step["source"] == "agent"
    reasoning = step.get("reasoning_content")
    return Step(
        id=number,
        source=step["source"],
        content=_text(step["message"]),
        reasoning=str(reasoning) if reasoning is not None else None,
        tool_calls=tuple(_call(call) for call in step.get("tool_calls") or ()),
        observations=tuple(_observation(result) for result in results),
        usage=_usage(step) if by_agent and step.get("metrics") else None,
        timestamp=str(step.get("timestamp") or ""),
    )


def _text(message: object) -> str:
    """The text of a message or observation, which may be a list of parts."""
    if message is None or isinstance(message, str):
        return message or ""
    if not isinstance(message, Sequence):
        raise TrajectoryFormatError("a message is neither text nor a list of parts")
    return "\n".join(str(part["text"]) if part.get("type") == "text" else f"[{part.get('type')}]" for part in message)


def _call(call: Mapping[str, Any]) -> ToolCall:
    arguments = json.dumps(call["arguments"])
    return ToolCall(id=str(call["tool_call_id"]), name=str(call["function_name"]), arguments=arguments)


def _observation(result: Mapping[str, Any]) -> Observation:
    extra = result.get("extra") or {}
    codes = (extra.get(key) for key in ("returncode", "exit_code", "return_code"))
    code = next((code for code in codes if isinstance(code, int)), None)
    return Observation(
        tool_call_id=str(result.get("source_call_id") or ""), content=_text(result.get("content")), exit_code=code
    )


def _usage(step: Mapping[str, Any]) -> Usage:
    metrics = step["metrics"]
    return Usage(
        calls=int(step.get("llm_call_count") or 1),
        prompt_tokens=int(metrics.get("prompt_tokens") or 0),
        cached_tokens=int(metrics.get("cached_tokens") or 0),
        completion_tokens=int(metrics.get("completion_tokens") or 0),
        cost_usd=float(metrics.get("cost_usd") or 0.0),
    )
