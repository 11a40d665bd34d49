"""Grade finished rollouts with the env's hidden tests, after the selection, which must not know the results."""

import asyncio
from collections.abc import Iterator

from core.aio import first_error
from core.retry import with_retries
from envs.base import Grade, Patch, Task
from envs.errors import TaskError
from heats.config import HeatsConfig
from heats.runner.boundary import described, ends_more
from heats.runner.services import Services
from heats.runner.snapshots import drop, grade_from, is_kept, state_image
from heats.store.store import GradeStore, TaskStore
from sandbox.errors import SandboxError


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
    graded: dict[str, asyncio.Task[Grade | None]] = {}

    async def one(rollout: str) -> None:
        patch = files.rollout(rollout).patch()
        # Two different end states can have the same description.
        key = patch.sha256 if task.submission == "patch" else rollout
        if key not in graded:
            image = state_image(services.run_id, task.id, rollout) if task.submission == "state" else ""
            gone = bool(image) and not await is_kept(services.backend, image, patch)
            if gone and grades.grade(task.id, rollout) is not None:
                return
            graded[key] = asyncio.ensure_future(_graded(services, task, patch, order, "" if gone else image))
        grade = await graded[key]
        if grade is not None:
            grades.save(rollout, grade)
            services.events.emit("graded", task=task.id, rollout=rollout, outcome=grade.outcome)

    missing = list(ungraded(services.config, task, files, grades))
    if not missing:
        return
    services.events.emit("grading", task=task.id, rollouts=missing)
    try:
        async with asyncio.TaskGroup() as group:
            for rollout in missing:
                group.create_task(one(rollout))
    finally:
        for waiting in graded.values():
            waiting.cancel()
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


async def _graded(services: Services, task: Task, patch: Patch, order: int, image: str) -> Grade | None:
    """Grade one patch, or the state in an image; an invalid grade is retried before it is accepted."""

    async def attempt() -> Grade | None:
        try:
            async with services.slots.hold(order):
                if not image:
                    return await services.env.grade(task, patch, services.backend)
                labels, limits = {"run": services.run_id}, services.config.sandbox.limits
                return await grade_from(
                    image, services.env, task, patch, services.backend, labels=labels, limits=limits
                )
        except SandboxError as error:
            return Grade(task_id=task.id, outcome="invalid", reason=f"no sandbox to grade in: {error}")
        except Exception as error:
            cause = first_error(error)
            if ends_more(cause) or isinstance(cause, TaskError):
                raise cause from error
            return Grade(task_id=task.id, outcome="invalid", reason=f"grading failed inside heats: {described(cause)}")

    gone, retries = task.submission == "state" and not image, services.config.retries
    return await with_retries(
        attempt,
        attempts=1 if gone else 1 + retries.grading,
        wait_s=retries.wait_s,
        useless=lambda grade: grade is not None and grade.outcome == "invalid",
    )
