"""Find what cannot be read in a run directory, and what changed after a tournament was decided on it.

A truncated record, or one written by a newer version, is set aside under another name when the run is resumed, and its
work is redone; readers skip it. Either way, it is reported.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ValidationError

from agents.trajectory import Trajectory
from core.record import Record
from envs.base import Evidence, Grade, Task, TestReport
from envs.regression import ExistingTests
from heats.store.events import RunEvent
from heats.store.files import NOT_A_FILE, read_record, write_bytes, write_record
from heats.store.records import (
    Charge,
    CrossCell,
    CrossTable,
    Outcome,
    PassDecisions,
    PolicyDecision,
    ProbeScript,
    RoutingLine,
    StoredVotes,
    TaskResult,
)
from summarizer.schema import Summary
from tournament.base import Bracket

_RECORDS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "task.json": Task,
        "baseline.json": TestReport,
        "result.json": TaskResult,
        "failed.json": TaskResult,
        "tournament.json": Bracket,
        "cross.json": CrossTable,
        "existing.json": ExistingTests,
        "outcome.json": Outcome,
        "trajectory.json": Trajectory,
        "summary.json": Summary,
        "evidence.json": Evidence,
    }
)
_LOGS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "events.jsonl": RunEvent,
        "ledger.jsonl": Charge,
        "votes.jsonl": StoredVotes,
        "small-votes.jsonl": StoredVotes,
        "routing.jsonl": RoutingLine,
        "cross.jsonl": CrossCell,
        "policy.jsonl": PolicyDecision,
        "passes.jsonl": PassDecisions,
        "scripts.jsonl": ProbeScript,
    }
)
END_STATE = "end-state.txt"
_DECIDED_ON = ("outcome.json", "patch.diff", END_STATE, "summary.json", "evidence.json")
ENTRANTS = "entrants.json"
ASIDE = ".set-aside"


class Entrants(Record):
    """`heat-0/entrants.json`: digests of the files that a finished tournament was based on, by path."""

    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """One faulty file.

    Attributes:
        kind: a `record` or some `lines` of a log that cannot be read, or a file that `changed`.
        path: path relative to the run directory.
        why: the reason, in one line.
        lines: line numbers, from 1.
    """

    kind: Literal["record", "lines", "changed"]
    path: str
    why: str
    lines: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def find_faults(run: Path, *, unfinished_only: bool = False) -> list[Fault]:
    """Search a run directory for faults, even while a process is working in it.

    Args:
        run: the run directory.
        unfinished_only: skip the records of finished tasks, which resuming does not read.
    """
    found = [fault for name in ("events.jsonl", "ledger.jsonl") for fault in _log(run, run / name)]
    for task in sorted(path for path in (run / "tasks").glob("*") if path.is_dir()):
        finished = read_record(task / "result.json", TaskResult) is not None
        if not (finished and unfinished_only):
            for path in sorted(task.rglob("*")):
                if path.name in _RECORDS:
                    found += _record(run, path, _RECORDS[path.name])
                elif path.name in _LOGS:
                    found += _log(run, path)
        found += _changed(run, task)
    if not unfinished_only:
        found += [fault for path in sorted((run / "grades").rglob("*.json")) for fault in _record(run, path, Grade)]
    return found


def _record(run: Path, path: Path, model: type[BaseModel]) -> Iterator[Fault]:
    try:
        model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return
    except ValidationError as error:
        yield Fault("record", str(path.relative_to(run)), _why(error))
    except NOT_A_FILE as error:
        yield Fault("record", str(path.relative_to(run)), f"cannot be read: {error.strerror}")


def _log(run: Path, path: Path) -> Iterator[Fault]:
    bad: dict[int, str] = {}
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    _LOGS[path.name].model_validate_json(line)
                    if not line.endswith(b"\n"):
                        bad[number] = "is truncated"
                except ValidationError as error:
                    bad[number] = _why(error)
    except FileNotFoundError:
        return
    except NOT_A_FILE as error:
        yield Fault("record", str(path.relative_to(run)), f"cannot be read: {error.strerror}")
        return
    if bad:
        number, why = next(iter(bad.items()))
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        yield Fault("lines", str(path.relative_to(run)), f"line {number} {why}{more}", tuple(bad))


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"has a field unknown to this version of heats ({where}); it may come from a newer version"
    if first["type"] == "json_invalid":
        return "is truncated or not JSON"
    return f"is invalid: {where}: {first['msg'].removeprefix('Value error, ')}"[:200]


def _changed(run: Path, task: Path) -> Iterator[Fault]:
    for path in sorted(task.glob(f"heat-*/{ENTRANTS}")):
        known = read_record(path, Entrants)
        for name, digest in (known.files if known is not None else {}).items():
            if _digest(task / name) != digest:
                why = f"was changed or removed after the tournament of {path.parent.name} was decided"
                yield Fault("changed", str((task / name).relative_to(run)), why)


def keep_entrants(task: Path, heat: int, rollouts: tuple[str, ...]) -> None:
    """Store the digests of the files that a tournament was decided on.

    Args:
        task: the task's directory.
        heat: number of the heat.
        rollouts: ids of the tournament's entrants.
    """
    names = [f"{rollout}/{name}" for rollout in rollouts for name in _DECIDED_ON]
    digests = {name: digest for name in names if (digest := _digest(task / name))}
    write_record(task / f"heat-{heat}" / ENTRANTS, Entrants(files=digests))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except NOT_A_FILE:
        return ""


def set_aside(run: Path, fault: Fault) -> str:
    """Move a record, or lines of a log, out of the way; only for the holder of the run's lock.

    Returns:
        What to report, in one line.
    """
    path = run / fault.path
    if fault.kind == "changed":
        return str(fault)
    aside = _free(path)
    if fault.kind == "record":
        path.replace(aside)
    else:
        lines = io.BytesIO(path.read_bytes()).readlines()
        bad = set(fault.lines)
        write_bytes(aside, b"".join(line for number, line in enumerate(lines, 1) if number in bad))
        write_bytes(path, b"".join(line for number, line in enumerate(lines, 1) if number not in bad))
    return f"{fault} (moved to {aside.name})"


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.name}{ASIDE}{number or ''}") for number in range(1000))
    return next(name for name in names if not name.exists())
