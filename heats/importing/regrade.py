"""Grading attempts that are already there: predictions of anybody, or the rollouts of a run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.ids import RolloutId
from core.retry import with_retries
from envs.base import Env, Grade, Patch, Task
from envs.errors import PatchRejected
from envs.patches import read_patch
from heats.errors import UsageError
from heats.importing.read import Attempt
from heats.runner.snapshots import grade_from, is_kept, state_image
from heats.store.files import slug
from heats.store.store import GradeStore, RunStore
from sandbox.base import SandboxBackend, SandboxLimits
from sandbox.errors import SandboxError

Listener = Callable[["Graded"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One patch to grade.

    Attributes:
        name: its file in the grade store: the rollout, or who predicted which patch.
        image: that would keep the state which the patch describes, for tasks that hand in one.
    """

    task: Task
    name: str
    source: str
    patch: Patch
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A submission and its grade; None when the env has nothing to grade it by.

    Attributes:
        gone: there is nothing left that could be graded; the grade is the one from before, if there was one.
    """

    submission: Submission
    grade: Grade | None
    gone: bool = False


def submissions(attempts: Sequence[Attempt], tasks: Sequence[Task], known: Sequence[str]) -> list[Submission]:
    """What there is to grade, by task in the tasks' order. Attempts at tasks that were not chosen are left out.

    Args:
        known: ids of all the tasks of the data set, chosen or not.

    Raises:
        UsageError: an attempt at a task that the data set does not have, or at none.
    """
    strangers = sorted({attempt.instance or attempt.source for attempt in attempts} - set(known))
    if strangers:
        more = f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
        raise UsageError(f"the data set has no task {', '.join(strangers[:5])}{more}")
    by_task: Mapping[str, list[Attempt]] = {task.id: [] for task in tasks}
    for attempt in attempts:
        if attempt.instance in by_task:
            by_task[attempt.instance].append(attempt)
    return [
        Submission(
            task=task,
            name=_name(attempt),
            source=attempt.source,
            patch=_patch(attempt),
            image=_image(attempt, task),
        )
        for task in tasks
        for attempt in by_task[task.id]
    ]


def _patch(attempt: Attempt) -> Patch:
    try:
        return read_patch(attempt.patch)
    except PatchRejected:  # the grader says why; and the description of a state is no diff
        return Patch(attempt.patch)


def _name(attempt: Attempt) -> str:
    """The rollout where it is one of a run of heats; else the model and the patch: another patch is not the same."""
    rollout = _place(attempt)[1]
    return rollout or f"{slug(attempt.model or 'unknown')}-{Patch(attempt.patch).sha256[:12]}"


def _image(attempt: Attempt, task: Task) -> str:
    directory, rollout = _place(attempt)
    if task.submission == "patch" or not rollout:
        return ""
    return state_image(RunStore(Path(directory)).manifest.run_id, task.id, rollout)


def _place(attempt: Attempt) -> tuple[str, str]:
    """The run of heats and the rollout that an attempt is of; empty where it is of none."""
    directory, _, rollout = attempt.source.rpartition(f"/{attempt.instance}/")
    return (directory, rollout) if RolloutId.matches(rollout) else ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grader:
    """Where and how submissions are graded.

    Attributes:
        workers: submissions graded at the same time.
        retries: further tries of a grade that says nothing.
        redo: grade again what has a grade.
        limits: of the sandboxes that states are started in again, where their tasks name none.
    """

    env: Env
    backend: SandboxBackend
    grades: GradeStore
    workers: int
    retries: int
    redo: bool = False
    limits: SandboxLimits | None = None

    async def grade(self, wanted: Sequence[Submission], told: Listener) -> list[Graded]:
        """Grade all of them: equal patches of a task once; grades are kept as they come.

        One that says nothing never takes the place of one that did.

        Raises:
            TaskError: the env cannot grade a task as it was opened.
        """
        slots = asyncio.Semaphore(self.workers)
        running: dict[tuple[str, str], asyncio.Task[Grade | None]] = {}

        async def one(submission: Submission) -> Graded:
            kept = self.grades.grade(submission.task.id, submission.name)
            grade = None if self.redo else kept
            gone = await self._gone(submission)
            if gone:
                grade = kept or await self.env.grade(submission.task, submission.patch, self.backend)
            elif grade is None or grade.outcome == "invalid":
                # Descriptions of states leave much out: equal ones may be of states that are not.
                key = submission.task.id, submission.image or submission.patch.sha256
                if key not in running:
                    running[key] = group.create_task(self._graded(submission, slots))
                grade = await running[key]
                said_something = kept is not None and kept.outcome != "invalid"
                if grade is not None and not (grade.outcome == "invalid" and said_something):
                    self.grades.save(submission.name, grade)
            graded = Graded(submission=submission, grade=grade, gone=gone)
            told(graded)
            return graded

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(submission)) for submission in wanted]
        return [task.result() for task in tasks]

    async def _gone(self, submission: Submission) -> bool:
        """Whether it was a state of which nothing is left but its description."""
        if submission.task.submission == "patch":
            return False
        return not await is_kept(self.backend, submission.image, submission.patch)

    async def _graded(self, submission: Submission, slots: asyncio.Semaphore) -> Grade | None:
        async def attempt() -> Grade | None:
            async with slots:
                try:
                    return await self._grade_once(submission)
                except SandboxError as error:
                    return Grade(task_id=submission.task.id, outcome="invalid", reason=str(error))

        return await with_retries(
            attempt,
            attempts=1 + self.retries,
            wait_s=0,
            useless=lambda grade: grade is not None and grade.outcome == "invalid",
        )

    async def _grade_once(self, submission: Submission) -> Grade | None:
        task, patch = submission.task, submission.patch
        if not submission.image:
            grade = await self.env.grade(task, patch, self.backend)
            if grade is None or not patch.notes:
                return grade
            return grade.model_copy(update={"reason": f"{grade.reason} ({'; '.join(patch.notes[:3])})"})
        return await grade_from(submission.image, self.env, task, patch, self.backend, limits=self.limits)


def report_of(graded: Sequence[Graded], tasks: Sequence[Task]) -> dict[str, Any]:
    """Counts and ids in the form of SWE-bench's run report; a task of several submissions counts by its first one.

    What could not be graded stays in the denominator: it is an error, never left out.
    """
    first: dict[str, Graded] = {}
    for one in graded:
        first.setdefault(one.submission.task.id, one)
    ids: dict[str, list[str]] = {
        "submitted": list(first),
        "empty_patch": [task for task, one in first.items() if not one.submission.patch],
        "resolved": [task for task, one in first.items() if one.grade is not None and one.grade.outcome == "pass"],
        "error": [task for task, one in first.items() if one.grade is None or one.grade.outcome == "invalid"],
        "incomplete": [task.id for task in tasks if task.id not in first],
    }
    apart = {*ids["empty_patch"], *ids["resolved"], *ids["error"]}
    ids["unresolved"] = [task for task in first if task not in apart]
    ids["completed"] = sorted({*ids["resolved"], *ids["unresolved"]})
    counts = {f"{name}_instances": len(found) for name, found in ids.items() if name != "incomplete"}
    lists = {f"{name}_ids": sorted(found) for name, found in ids.items()}
    return {"total_instances": len(tasks), **counts, **lists, "schema_version": 2}
