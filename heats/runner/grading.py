"""Grading by an env's hidden tests: submissions of any origin, and the rollouts of a run once selection is over."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from core.aio import first_error
from core.retry import with_retries
from envs.base import Env, Grade, Patch, Task
from envs.errors import TaskError
from heats.config import HeatsConfig
from heats.runner.boundary import described, ends_more
from heats.runner.services import Services
from heats.runner.snapshots import drop, grade_from, is_kept, state_image
from heats.store.store import GradeStore, TaskStore
from sandbox.base import SandboxBackend, SandboxLimits
from sandbox.errors import SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One patch, or the description of one end state, to grade.

    Attributes:
        name: file name in the grade store: the rollout, or the model and the digest of its patch.
        source: where it was read from, for messages.
        image: the image that holds the described end state, if it was kept; empty for patches.
    """

    task: Task
    name: str
    patch: Patch
    source: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A submission and its grade; None if the env cannot grade it.

    Attributes:
        gone: the end state no longer exists, so the grade is the earlier one or comes from the description alone.
    """

    submission: Submission
    grade: Grade | None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grader:
    """Grades submissions, equal patches of a task only once, and stores the grades as they arrive.

    Attributes:
        slot: a context that limits how many submissions are graded at the same time.
        retries: additional attempts after an invalid grade.
        wait_s: seconds before the first retry, doubled before each further one.
        redo: also grade submissions that already have a grade.
        labels: labels of the sandboxes that end states are started in.
        limits: limits of these sandboxes that apply where their tasks set none.
    """

    env: Env
    backend: SandboxBackend
    grades: GradeStore
    slot: Callable[[], AbstractAsyncContextManager[object]]
    retries: int
    wait_s: float = 0
    redo: bool = False
    labels: Mapping[str, str] | None = None
    limits: SandboxLimits | None = None

    async def grade(
        self, submissions: Sequence[Submission], on_graded: Callable[[Graded], None] = lambda graded: None
    ) -> list[Graded]:
        """Grade all submissions. An invalid grade never replaces a valid one.

        Args:
            submissions: the submissions.
            on_graded: called for each submission as soon as its grade is known.

        Raises:
            TaskError: the env, with its current options, cannot grade a task.
        """
        running: dict[tuple[str, str], asyncio.Task[Grade | None]] = {}

        async def one(submission: Submission) -> Graded:
            task, kept = submission.task, self.grades.grade(submission.task.id, submission.name)
            gone = await self._gone(submission)
            settled = kept is not None and kept.outcome != "invalid"
            if settled and (gone or not self.redo):
                grade = kept
            else:
                # Two different end states can have the same description.
                key = task.id, submission.patch.sha256 if task.submission == "patch" else submission.name
                if key not in running:
                    running[key] = group.create_task(self._graded(submission, gone))
                grade = await running[key]
                if grade is not None and not (grade.outcome == "invalid" and settled):
                    self.grades.save(submission.name, grade)
            graded = Graded(submission=submission, grade=grade, gone=gone)
            on_graded(graded)
            return graded

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(submission)) for submission in submissions]
        return [task.result() for task in tasks]

    async def _gone(self, submission: Submission) -> bool:
        if submission.task.submission == "patch":
            return False
        return not submission.image or not await is_kept(self.backend, submission.image, submission.patch)

    async def _graded(self, submission: Submission, gone: bool) -> Grade | None:
        task = submission.task

        async def attempt() -> Grade | None:
            try:
                async with self.slot():
                    return await self._grade_once(submission, gone)
            except SandboxError as error:
                return Grade(task_id=task.id, outcome="invalid", reason=f"no sandbox to grade in: {error}")
            except Exception as error:
                cause = first_error(error)
                if ends_more(cause) or isinstance(cause, TaskError):
                    raise cause from error
                reason = f"grading failed inside heats: {described(cause)}"
                return Grade(task_id=task.id, outcome="invalid", reason=reason)

        return await with_retries(
            attempt,
            attempts=1 if gone else 1 + self.retries,
            wait_s=self.wait_s,
            useless=lambda grade: grade is not None and grade.outcome == "invalid",
        )

    async def _grade_once(self, submission: Submission, gone: bool) -> Grade | None:
        task, patch = submission.task, submission.patch
        if submission.image and not gone:
            return await grade_from(
                submission.image, self.env, task, patch, self.backend, labels=self.labels, limits=self.limits
            )
        grade = await self.env.grade(task, patch, self.backend)
        if grade is None or not patch.notes:
            return grade
        return grade.model_copy(update={"reason": f"{grade.reason} ({'; '.join(patch.notes[:3])})"})


async def grade_task(services: Services, files: TaskStore, grades: GradeStore, task: Task, order: int = 0) -> None:
    """Grade every finished rollout of a task, equal patches once. All grades but invalid ones are final.

    A state was usually graded in place; otherwise it is graded from its image, if that was kept. Images that are no
    longer needed are removed.

    Args:
        services: shared parts of the run.
        files: the task's store.
        grades: receives the grades.
        task: the task.
        order: the task's position, for the worker slots.
    """
    if services.config.grade:
        await _grade_missing(services, files, grades, task, order)
    if task.submission == "state" and (services.config.within_timeout or services.config.keep_state != "none"):
        await drop(services.backend, list(_spare(services, files, grades, task)))


async def _grade_missing(services: Services, files: TaskStore, grades: GradeStore, task: Task, order: int) -> None:
    missing = list(ungraded(services.config, task, files, grades))
    if not missing or not getattr(services.env, "grades", True):
        return
    config, state = services.config, task.submission == "state"
    grader = Grader(
        env=services.env,
        backend=services.backend,
        grades=grades,
        slot=lambda: services.slots.hold(order),
        retries=config.retries.grading,
        wait_s=config.retries.wait_s,
        labels={"run": services.run_id},
        limits=config.sandbox.limits,
    )
    submissions = [
        Submission(
            task=task,
            name=rollout,
            patch=files.rollout(rollout).patch(),
            image=state_image(services.run_id, task.id, rollout) if state else "",
        )
        for rollout in missing
    ]

    def announce(graded: Graded) -> None:
        if graded.grade is not None:
            name = graded.submission.name
            services.events.emit("graded", task=task.id, rollout=name, outcome=graded.grade.outcome)

    services.events.emit("grading", task=task.id, rollouts=missing)
    try:
        await grader.grade(submissions, announce)
    finally:
        services.events.emit("grading", task=task.id, rollouts=[])


def ungraded(config: HeatsConfig, task: Task, files: TaskStore, grades: GradeStore) -> Iterator[str]:
    """Finished rollouts of a task without a valid grade.

    Args:
        config: the run's configuration.
        task: the task.
        files: the task's store.
        grades: the existing grades.
    """
    for rollout in _finished(config, files):
        grade = grades.grade(task.id, rollout)
        if grade is None or grade.outcome == "invalid":
            yield rollout


def _finished(config: HeatsConfig, files: TaskStore) -> Iterator[str]:
    for heat in range(config.iterations):
        for rollout in files.rollouts(heat):
            if files.rollout(rollout).outcome() is not None:
                yield rollout


def _spare(services: Services, files: TaskStore, grades: GradeStore, task: Task) -> Iterator[str]:
    """Images of states that need no more grading and are not to be kept."""
    config, result = services.config, files.result()
    if config.keep_state == "all" or (config.keep_state == "winner" and result is None):
        return
    waiting = set(ungraded(config, task, files, grades)) if config.grade else set()
    for rollout in _finished(config, files):
        wanted = config.keep_state == "winner" and result is not None and rollout == result.selected
        if rollout not in waiting and not wanted:
            yield state_image(services.run_id, task.id, rollout)
