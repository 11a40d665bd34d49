"""The run store: one directory per run, and the single source of truth about it.

What exists is done; what does not exist, or cannot be read, is redone. The LangGraph checkpoints beside it may be
deleted at any time. Grades are in `GradeStore`, which selection code never receives.

```
run.json  lock.json  events.jsonl  ledger.jsonl  passes.jsonl  run.lock  checkpoints.sqlite
tasks/<task>/task.json  baseline.json  policy.jsonl  result.json  failed.json
tasks/<task>/heat-0/rollout-03/{trajectory,outcome,summary,evidence}.json; trajectory.jsonl while it grows
tasks/<task>/heat-0/rollout-03/patch.diff, or end-state.txt for tasks that grade the end state
tasks/<task>/heat-0/rollout-03/attempts: how many were begun
tasks/<task>/heat-0/votes.jsonl tournament.json cross.json
tasks/<task>/routing.jsonl heat-0/small-votes.jsonl: with `routing`
tasks/<task>/heat-0/scripts.jsonl inquiries/: what a judge with the view `probe` executed
tasks/<task>/existing.json cross.jsonl (cross_store.py)
grades/<task>/heat-0/rollout-03.json
```
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from agents.trajectory import Trajectory
from core.ids import heat_name
from envs.base import EndState, Evidence, Grade, Patch, Task, TestReport
from heats.errors import RunInUse, UsageError
from heats.store.events import EventLog
from heats.store.faults import END_STATE, find_faults, keep_entrants, set_aside
from heats.store.files import LineLog, read_lines, read_record, slug, write_bytes, write_record
from heats.store.journal import TournamentJournal
from heats.store.records import Charge, Manifest, Outcome, StoredVotes, TaskResult
from heats.store.steplog import StepLog, read_steps
from summarizer.schema import Summary
from tournament.base import Bracket

_NO_LONGER_COMPARED = {"max_concurrency"}
"""Keys of old runs' identities that decide nothing but speed."""
_OLD_END_STATE = b"# heats: end state"
"""Older runs kept end states in `patch.diff`, beginning like this."""


class RolloutStore:
    """Files of one rollout."""

    def __init__(self, directory: Path, rollout: str) -> None:
        self.directory = directory
        self.rollout = rollout
        self._whole = directory / "trajectory.json"
        self._steps = StepLog(directory / "trajectory.jsonl")

    def trajectory(self) -> Trajectory | None:
        """The trajectory, complete or so far."""
        ended = read_record(self._whole, Trajectory)
        return ended or read_steps(self.directory / "trajectory.jsonl")

    def save_trajectory(self, trajectory: Trajectory) -> None:
        """Store the trajectory; called after every step. A finished trajectory is written as a whole, and durably."""
        if trajectory.exit is not None:
            write_record(self._whole, trajectory)
            self._steps.clear()
            return
        if self._steps.save(trajectory):
            self._whole.unlink(missing_ok=True)

    def outcome(self) -> Outcome | None:
        """The outcome; None while the rollout is not finished or its patch does not match it."""
        outcome = read_record(self.directory / "outcome.json", Outcome)
        if outcome is not None and self.patch().sha256 != (outcome.patch_sha256 or Patch(b"").sha256):
            return None
        return outcome

    def finish(self, outcome: Outcome, patch: Patch) -> None:
        """Store the patch, then the outcome that makes the rollout finished."""
        if patch:
            write_bytes(self.directory / (END_STATE if isinstance(patch, EndState) else "patch.diff"), patch.data)
        write_record(self.directory / "outcome.json", outcome)

    def attempt(self, *, fresh: bool) -> int:
        """The number of the attempt that starts now, or, unless it is a fresh one, goes on; from 1."""
        path = self.directory / "attempts"
        try:
            number = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            number = 0
        if fresh or not number:
            number += 1
            write_bytes(path, str(number).encode())
        return number

    def reopen(self) -> None:
        """Remove the rollout's outcome and everything derived from it, to continue the rollout."""
        for name in ("outcome.json", "summary.json", "evidence.json", "patch.diff", END_STATE):
            (self.directory / name).unlink(missing_ok=True)

    def patch(self) -> Patch:
        """The patch's exact bytes, or the description of an end state; empty if there is none."""
        state, path = self.directory / END_STATE, self.directory / "patch.diff"
        if state.exists():
            return EndState(state.read_bytes())
        data = path.read_bytes() if path.exists() else b""
        return EndState(data) if data.startswith(_OLD_END_STATE) else Patch(data)

    def summary(self) -> Summary | None:
        """The summary, once written."""
        return read_record(self.directory / "summary.json", Summary)

    def save_summary(self, summary: Summary) -> None:
        """Store the summary."""
        write_record(self.directory / "summary.json", summary)

    def evidence(self) -> Evidence | None:
        """The patch's evidence, once it exists."""
        return read_record(self.directory / "evidence.json", Evidence)

    def save_evidence(self, evidence: Evidence) -> None:
        """Store the evidence."""
        write_record(self.directory / "evidence.json", evidence)

    def keep_error(self, stage: str, text: bytes) -> str:
        """Store the error that ended a stage, such as `verification`; returns the file's name."""
        name = f"failed-{stage}.txt"
        write_bytes(self.directory / name, text)
        return name


class TaskStore:
    """Files of one task. Gives no access to its grades."""

    def __init__(self, directory: Path, task_id: str) -> None:
        self.directory = directory
        self.task_id = task_id

    def save_task(self, task: Task) -> None:
        """Store what an agent may know of the task, for reports."""
        write_record(self.directory / "task.json", task)

    def rollout(self, rollout: str) -> RolloutStore:
        """The rollout `heat-0/rollout-03`."""
        return RolloutStore(self.directory / rollout, rollout)

    def inquiry(self, heat: int, name: str) -> RolloutStore:
        """The conversation of a judge in a sandbox, as a rollout that hands in nothing."""
        rollout = f"{heat_name(heat)}/inquiries/{name}"
        return RolloutStore(self.directory / rollout, rollout)

    def rollouts(self, heat: int) -> list[str]:
        """Ids of the rollouts of one heat that have files, in order."""
        folder = self.directory / heat_name(heat)
        names = (f"{folder.name}/{path.name}" for path in folder.glob("rollout-*") if path.is_dir())
        return sorted(names, key=lambda name: (len(name), name))

    def baseline(self) -> TestReport | None:
        """Report of the task's own tests on the unpatched tree."""
        return read_record(self.directory / "baseline.json", TestReport)

    def save_baseline(self, report: TestReport) -> None:
        """Store the baseline."""
        write_record(self.directory / "baseline.json", report)

    def journal(self, heat: int, events: EventLog) -> TournamentJournal:
        """The votes of one heat's tournament; close it after use."""
        return TournamentJournal(self.directory / heat_name(heat) / "votes.jsonl", events, self.task_id, heat)

    def small_votes(self, heat: int) -> TournamentJournal:
        """The small model's votes in matches that both models judge, which decide nothing; close it after use."""
        return TournamentJournal(self.directory / heat_name(heat) / "small-votes.jsonl", None, self.task_id, heat)

    def votes(self, heat: int) -> list[StoredVotes]:
        """The votes of one heat's tournament, in the order in which they were cast."""
        return list(read_lines(self.directory / heat_name(heat) / "votes.jsonl", StoredVotes))

    def bracket(self, heat: int) -> Bracket | None:
        """One heat's finished tournament."""
        return read_record(self.directory / heat_name(heat) / "tournament.json", Bracket)

    def save_bracket(self, heat: int, bracket: Bracket) -> None:
        """Store a finished tournament, with digests of what it was decided on."""
        keep_entrants(self.directory, heat, bracket.ranking)
        write_record(self.directory / heat_name(heat) / "tournament.json", bracket)

    def result(self) -> TaskResult | None:
        """How the task ended, once it has."""
        return read_record(self.directory / "result.json", TaskResult)

    def save_result(self, result: TaskResult) -> None:
        """Store the result; the task is finished."""
        write_record(self.directory / "result.json", result)
        (self.directory / "failed.json").unlink(missing_ok=True)

    def failed(self) -> TaskResult | None:
        """Why the task has no result, if it was tried; resuming the run tries again."""
        return read_record(self.directory / "failed.json", TaskResult)

    def save_failed(self, result: TaskResult) -> None:
        """Store why there is no result."""
        write_record(self.directory / "failed.json", result)


class GradeStore:
    """Grades by the envs' graders. Opened by reports and by grading, never by selection."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def grade(self, task_id: str, rollout: str) -> Grade | None:
        """The grade of one rollout, if it was graded."""
        return read_record(self._directory / slug(task_id) / f"{rollout}.json", Grade)

    def save(self, rollout: str, grade: Grade) -> None:
        """Store a grade."""
        write_record(self._directory / slug(grade.task_id) / f"{rollout}.json", grade)


class RunStore:
    """One run's directory: `RunStore.open` to work in it, `RunStore(path)` to read it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults: tuple[str, ...] = ()
        """Faults that `open` found in the directory, one line each, for a caller that can report them."""
        self._lock: int | None = None

    @classmethod
    def open(cls, directory: Path, manifest: Manifest, *, extend: bool = False) -> "RunStore":
        """Lock the run directory for this process, creating it if necessary.

        Args:
            directory: the run directory.
            manifest: identity of the run.
            extend: allow adding tasks that the run does not have yet.

        Raises:
            RunInUse: another process is using it.
            UsageError: it holds a run with another identity, or is not a run directory.
        """
        store = cls(directory)
        if directory.exists() and not directory.is_dir():
            raise UsageError(f"{directory} is not a directory: choose another --out")
        if directory.is_dir() and any(directory.iterdir()) and not (directory / "run.lock").exists():
            raise UsageError(f"{directory} is not empty and is not a heats run directory: choose another --out")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        store._take_lock()
        try:
            store._check_identity(manifest, extend)
            faults = find_faults(directory, unfinished_only=True)
            store.faults = tuple(set_aside(directory, fault) for fault in faults)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def hold(cls, directory: Path) -> "RunStore":
        """Lock an existing run directory, whatever it contains, to move or remove it.

        Raises:
            RunInUse: another process is using it.
        """
        store = cls(directory)
        store._take_lock()
        return store

    @property
    def manifest(self) -> Manifest:
        """The run's manifest.

        Raises:
            UsageError: the directory is not a run.
        """
        manifest = read_record(self.directory / "run.json", Manifest)
        if manifest is None:
            raise UsageError(f"{self.directory} is not a heats run directory (no readable run.json)")
        return manifest

    @property
    def events_path(self) -> Path:
        """`events.jsonl`."""
        return self.directory / "events.jsonl"

    @property
    def grades(self) -> GradeStore:
        """The grades, for reports and graders."""
        return GradeStore(self.directory / "grades")

    def task(self, task_id: str) -> TaskStore:
        """One task's files."""
        return TaskStore(self.directory / "tasks" / slug(task_id), task_id)

    def charges(self) -> list[Charge]:
        """Every charge of the run so far."""
        return list(read_lines(self.directory / "ledger.jsonl", Charge))

    def ledger_log(self) -> LineLog:
        """The log that charges are appended to."""
        return LineLog(self.directory / "ledger.jsonl")

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        handle = os.open(self.directory / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            message = f"{self.directory} is in use by process {holder}: wait for it or choose another --out"
            raise RunInUse(message) from None
        except OSError as error:
            os.close(handle)
            message = f"{self.directory} is on a file system without locks ({error}): choose another --out"
            raise UsageError(message) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._lock = handle

    def _check_identity(self, manifest: Manifest, extend: bool) -> None:
        path = self.directory / "run.json"
        stored = read_record(path, Manifest)
        if not (
            self.directory / "tasks"
        ).exists():  # nothing was done yet: the preflight of an earlier start may have failed
            write_record(path, manifest)
            return
        if stored is None:
            raise UsageError(f"{path} cannot be read by this version of heats: choose another --out")
        wanted = json.loads(json.dumps(manifest.identity))
        if extend:  # tasks that are not requested now stay, and new ones are added
            wanted["tasks"] = {**stored.identity.get("tasks", {}), **wanted["tasks"]}
            held = {task: wanted["tasks"][task] for task in stored.identity.get("tasks", {})}
            changed = _differences(stored.identity, {**wanted, "tasks": held})
        else:
            changed = _differences(stored.identity, wanted)
        if changed:
            raise UsageError(
                f"{self.directory} holds a run with a different {', '.join(changed[:4])}: "
                "choose another --out, or --redo to move the old run aside"
            )
        if wanted != stored.identity:
            write_record(path, stored.model_copy(update={"identity": wanted}))


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Dotted names of the values in which two nested mappings differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted((old.keys() - _NO_LONGER_COMPARED) | new.keys())
        return [path for name in names for path in _differences(old.get(name), new.get(name), f"{prefix}{name}.")]
    # Runs of older versions lack newer settings; as long as these are unset, nothing changes.
    same = old == new or (old in (None, {}) and new in (None, {}))
    return [] if same else [prefix.rstrip(".") or "identity"]
