"""Grade existing attempts: predictions from any tool, or the rollouts of a run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.ids import RolloutId
from core.retry import with_retries
from envs.base import Env, Grade, Patch, Task
from envs.errors import PatchRejected
from envs.patches import read_patch
from heats.importing.attempts import Attempt, LeftOut
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
        name: file name in the grade store: the rollout, or the model and the digest of its patch.
        image: for tasks that submit a state: name of the image that would hold the state described by the patch.
    """

    task: Task
    name: str
    source: str
    patch: Patch
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A submission and its grade; None if the env cannot grade it.

    Attributes:
        gone: nothing is left to grade; the grade is the previous one, if any.
    """

    submission: Submission
    grade: Grade | None
    gone: bool = False


def submissions(
    attempts: Sequence[Attempt],
    tasks: Sequence[Task],
    known: Sequence[str],
    unusable: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Submission], list[LeftOut]]:
    """Match attempts with tasks. Attempts at other tasks are ignored.

    Args:
        attempts: all attempts that were read.
        tasks: the selected tasks.
        known: ids of all the tasks in the data set, selected or not.
        unusable: reasons by id, for selected tasks that cannot be graded.

    Returns:
        The submissions in task order, and the attempts that cannot be graded.
    """
    every = set(known)
    by_task: Mapping[str, list[Attempt]] = {task.id: [] for task in tasks}
    left_out = []
    for attempt in attempts:
        if attempt.instance in by_task:
            by_task[attempt.instance].append(attempt)
        elif attempt.instance in unusable:
            left_out.append(LeftOut(attempt.source, unusable[attempt.instance], attempt.instance))
        elif attempt.instance not in every:
            left_out.append(LeftOut(attempt.source, f"the data set has no task {attempt.instance}"))
    found = [
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
    return found, left_out


def _patch(attempt: Attempt) -> Patch:
    try:
        return read_patch(attempt.patch)
    except PatchRejected:  # the grader reports why; and the description of a state is not a diff
        return Patch(attempt.patch)


def _name(attempt: Attempt) -> str:
    """The rollout, for attempts from a run of heats; else model and patch, as another patch is another submission."""
    rollout = _place(attempt)[1]
    return rollout or f"{slug(attempt.model or 'unknown')}-{Patch(attempt.patch).sha256[:12]}"


def _image(attempt: Attempt, task: Task) -> str:
    directory, rollout = _place(attempt)
    if task.submission == "patch" or not rollout:
        return ""
    return state_image(RunStore(Path(directory)).manifest.run_id, task.id, rollout)


def _place(attempt: Attempt) -> tuple[str, str]:
    """The run of heats and the rollout that an attempt comes from; empty for other attempts."""
    directory, _, rollout = attempt.source.rpartition(f"/{attempt.instance}/")
    return (directory, rollout) if RolloutId.matches(rollout) else ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grader:
    """Where and how submissions are graded.

    Attributes:
        workers: number of submissions graded at the same time.
        retries: additional tries after an invalid grade.
        redo: also grade submissions that already have a grade.
        limits: limits of the sandboxes in which saved states are restarted, if their tasks set none.
    """

    env: Env
    backend: SandboxBackend
    grades: GradeStore
    workers: int
    retries: int
    redo: bool = False
    limits: SandboxLimits | None = None

    async def grade(self, wanted: Sequence[Submission], told: Listener) -> list[Graded]:
        """Grade all submissions, equal patches of a task only once; grades are stored as they arrive.

        An invalid grade never replaces a valid one.

        Raises:
            TaskError: the env, with its current options, cannot grade a task.
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
                # Two different end states can have the same description.
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
        """Whether it was a state of which only the description is left."""
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


def report_of(graded: Sequence[Graded], tasks: Sequence[str], left_out: Sequence[LeftOut] = ()) -> dict[str, Any]:
    """Counts and ids in the format of SWE-bench's run report; a task with several submissions counts by its first.

    What could not be read or graded counts as an error and stays in the denominator.

    Args:
        graded: the submissions with their grades.
        tasks: ids of the selected tasks, including those that cannot be graded.
        left_out: what could not be read or graded.
    """
    first: dict[str, Graded | None] = {}
    for one in graded:
        first.setdefault(one.submission.task.id, one)
    for lost in left_out:
        if lost.instance in tasks:
            first.setdefault(lost.instance, None)
    outcomes = {task: one.grade.outcome if one and one.grade else "invalid" for task, one in first.items()}
    ids: dict[str, list[str]] = {
        "submitted": list(first),
        "empty_patch": [task for task, one in first.items() if one is not None and not one.submission.patch],
        "resolved": [task for task, outcome in outcomes.items() if outcome == "pass"],
        "error": [task for task, outcome in outcomes.items() if outcome == "invalid"],
        "incomplete": [task for task in tasks if task not in first],
    }
    apart = {*ids["empty_patch"], *ids["resolved"], *ids["error"]}
    ids["unresolved"] = [task for task in first if task not in apart]
    ids["completed"] = sorted({*ids["resolved"], *ids["unresolved"]})
    counts = {f"{name}_instances": len(found) for name, found in ids.items() if name != "incomplete"}
    lists = {f"{name}_ids": sorted(found) for name, found in ids.items()}
    return {"total_instances": len(tasks), **counts, **lists, "schema_version": 2}
