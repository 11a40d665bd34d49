"""Detect a trajectory's format by its top-level keys and call the matching reader.

Files are untrusted: any deviation from the format raises `TrajectoryFormatError`, never another exception.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.atif import fault_of, from_atif, is_ours
from agents.errors import TrajectoryFormatError
from agents.importers.foreign_atif import from_foreign_atif
from agents.importers.inspect_log import from_inspect_sample
from agents.importers.mini import from_mini
from agents.importers.openhands import from_openhands
from agents.importers.swe_agent import from_swe_agent
from agents.importers.trae import from_trae
from agents.llm.ledger import Usage
from agents.llm.replies import without_surrogates
from agents.trajectory import Trajectory

_MOST = 2**53
"""Above it, JSON's numbers are not exact."""
_KNOWN = "heats' own, ATIF v1.x, mini-swe-agent, SWE-agent, OpenHands, inspect_ai and Trae Agent"


def read_trajectory(path: Path) -> Trajectory:
    """Read a trajectory of any known format.

    Raises:
        TrajectoryFormatError: the file is not a trajectory.
        OSError: the file cannot be read.
    """
    return parse_trajectory(path.read_bytes(), str(path))


def parse_trajectory(data: bytes, path: str) -> Trajectory:
    """Like `read_trajectory`, but from a file's bytes.

    Args:
        data: the file's content.
        path: where it is from, for messages.

    Raises:
        TrajectoryFormatError: it is not a trajectory.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TrajectoryFormatError(f"{path}: not JSON ({error})") from error
    return parse_document(document, path)


def parse_document(document: object, path: str) -> Trajectory:
    """Like `parse_trajectory`, but from parsed JSON.

    Raises:
        TrajectoryFormatError: it is not a trajectory.
    """
    read = reader_of(document)
    if read is None:
        raise TrajectoryFormatError(f"{path}: no trajectory of a known format (known: {_KNOWN})")
    try:
        return _with_sound_numbers(read(without_surrogates(document)))
    except TrajectoryFormatError as error:
        raise TrajectoryFormatError(f"{path}: {error}") from error
    except RecursionError as error:
        raise TrajectoryFormatError(f"{path}: it is nested too deeply") from error
    except (ValidationError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError) as error:
        raise TrajectoryFormatError(f"{path}: a field does not match the format ({fault_of(error)})") from error


def _with_sound_numbers(trajectory: Trajectory) -> Trajectory:
    """Replace numbers that no record can mean: they would lower what is charged, or could not be stored."""
    steps = tuple(
        step if step.usage is None else step.model_copy(update={"usage": _sound_usage(step.usage)})
        for step in trajectory.steps
    )
    update = {"usage": _sound_usage(trajectory.usage), "duration_s": _sound(trajectory.duration_s), "steps": steps}
    return trajectory.model_copy(update=update)


def _sound_usage(usage: Usage) -> Usage:
    return Usage(**{name: _sound(getattr(usage, name)) for name in Usage.model_fields})


def _sound(number: float) -> float:
    return number if 0 <= number < _MOST else type(number)(0)


def reader_of(document: object) -> Callable[[Any], Trajectory] | None:
    """Return the reader for a document, or None if it is not a trajectory."""
    if _are_events(document):
        return from_openhands
    if not isinstance(document, Mapping):
        return None
    if str(document.get("schema_version", "")).startswith("ATIF-v1."):
        return from_atif if is_ours(document) else from_foreign_atif
    if {"messages", "id", "epoch"} <= set(document):
        return from_inspect_sample
    if str(document.get("trajectory_format", "")).startswith("mini-swe-agent") or "messages" in document:
        return from_mini
    if isinstance(document.get("trajectory"), Sequence) and {"info", "history"} & set(document):
        return from_swe_agent
    if {"agent_steps", "llm_interactions"} <= set(document):
        return from_trae
    return Trajectory.model_validate if {"steps", "task_id"} <= set(document) else None


def _are_events(document: object) -> bool:
    """Whether a list starts like OpenHands' events."""
    first = document[0] if isinstance(document, list) and document else None
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(first, Mapping):
        return False
    typed = str(first.get("kind", "")).endswith(("Event", "Observation"))
    return typed or ("source" in first and bool({"action", "observation"} & set(first)))
