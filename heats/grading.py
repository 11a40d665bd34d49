"""Grading what is finished, by the env's hidden tests, after the selection that must not know of it."""

import asyncio
from collections.abc import Iterator

from envs.base import Grade, Patch, Task
from heats.config import HeatsConfig
from heats.services import Services
from heats.store import GradeStore, TaskStore
from sandbox.errors import SandboxError


async def grade_task(services: Services, files: TaskStore, grades: GradeStore, task: Task, order: int = 0) -> None:
    """Grade every finished rollout of a task: equal patches once. Grades are kept, but for those that say nothing.

    Args:
        order: of the task, for the worker slots.
    """
    if not services.config.grade:
        return
    graded: dict[str, asyncio.Task[Grade | None]] = {}

    async def one(rollout: str) -> None:
        patch = files.rollout(rollout).patch()
        if patch.sha256 not in graded:
            graded[patch.sha256] = asyncio.ensure_future(_graded(services, task, patch, order))
        grade = await graded[patch.sha256]
        if grade is not None:
            grades.save(rollout, grade)
            services.events.emit("graded", task=task.id, rollout=rollout, outcome=grade.outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for rollout in ungraded(services.config, task, files, grades):
                group.create_task(one(rollout))
    finally:
        for waiting in graded.values():
            waiting.cancel()


def ungraded(config: HeatsConfig, task: Task, files: TaskStore, grades: GradeStore) -> Iterator[str]:
    """Finished rollouts of a task without a grade that says something."""
    for heat in range(config.iterations):
        for rollout in files.rollouts(heat):
            grade = grades.grade(files.task_id, rollout)
            # A state is graded where it is, once: its sandbox is gone.
            again = grade is not None and grade.outcome == "invalid" and task.submission == "patch"
            if files.rollout(rollout).outcome() is not None and (grade is None or again):
                yield rollout


async def _graded(services: Services, task: Task, patch: Patch, order: int) -> Grade | None:
    """One patch's grade; one that says nothing is tried again before it is taken."""
    attempts = 1 + services.config.retries.grading
    while True:
        attempts -= 1
        try:
            async with services.slots.hold(order):
                grade = await services.env.grade(task, patch, services.backend)
        except SandboxError as error:
            grade = Grade(task_id=task.id, outcome="invalid", reason=f"no sandbox to grade in: {error}")
        if grade is None or grade.outcome != "invalid" or not attempts:
            return grade
        await asyncio.sleep(services.config.retries.wait_s)
