"""A growing trajectory: one line per step, appended.

Rewriting the whole file after every step costs time proportional to its length, and on some file systems a rename waits
for the disk, with all other rollouts waiting behind it.
"""

import os
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from agents.llm.ledger import Usage
from agents.trajectory import Step, Trajectory
from core.record import Record
from heats.store.files import NOT_A_FILE, append_whole, write_bytes


class StepLine(Record):
    """One step and the trajectory's totals up to it; a later line for the same step replaces it."""

    step: Step
    usage: Usage
    duration_s: float


class StepLog:
    """Writes one trajectory's steps to a file that survives a kill, except for a torn last line that readers skip.

    Args:
        path: the file, replaced by the first `save`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: list[Step] = []

    def save(self, trajectory: Trajectory) -> bool:
        """Append what is not in the file yet.

        Returns:
            Whether the file had to be rewritten.

        Raises:
            OSError: the disk is full, or the directory is not writable.
        """
        known, steps = self._saved, trajectory.steps
        anew = not known or len(steps) < len(known) or steps[0] is not known[0]
        if anew:
            head = trajectory.model_copy(update={"steps": ()}).model_dump_json(exclude_defaults=True)
            data = head.encode() + b"\n" + _lines(trajectory, 0)
            write_bytes(self._path, data, durable=False)
        elif data := _lines(trajectory, _first_new(known, steps)):
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                append_whole(handle, data)
            finally:
                os.close(handle)
        self._saved = list(steps)
        return anew

    def clear(self) -> None:
        """Remove the file: the trajectory is now stored elsewhere."""
        self._saved = []
        self._path.unlink(missing_ok=True)


def read_steps(path: Path) -> Trajectory | None:
    """The trajectory as far as it was written and can be read; None if there is none."""
    try:
        head, *lines = path.read_bytes().split(b"\n")[:-1]
        trajectory = Trajectory.model_validate_json(head)
    except (*NOT_A_FILE, ValueError):
        return None
    found: list[StepLine] = []
    with suppress(ValidationError):
        found.extend(StepLine.model_validate_json(line) for line in lines)
    if not found:
        return trajectory
    steps = {line.step.id: line.step for line in found}
    last = found[-1]
    so_far = {"steps": tuple(steps.values()), "usage": last.usage, "duration_s": last.duration_s}
    return trajectory.model_copy(update=so_far)


def _first_new(known: list[Step], steps: tuple[Step, ...]) -> int:
    """Index of the first step to write: of the known steps, only the last may change, when its observations arrive."""
    newest = len(known) - 1
    return newest if steps[newest] is not known[newest] else len(known)


def _lines(trajectory: Trajectory, start: int) -> bytes:
    lines = (
        StepLine(step=step, usage=trajectory.usage, duration_s=trajectory.duration_s)
        for step in trajectory.steps[start:]
    )
    return b"".join(line.model_dump_json(exclude_defaults=True).encode() + b"\n" for line in lines)
