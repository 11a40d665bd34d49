"""Rollouts that submit the state of their sandbox: graded before it closes, and kept as an image if requested.

A sandbox that waits for grading is also kept as an image, since a killed process takes its sandboxes with it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from envs.base import Grade, GradesStates, Patch, Task
from heats.runner.services import Services
from heats.runner.snapshots import is_kept, keep, state_image
from sandbox.base import Sandbox
from sandbox.errors import SandboxError

SaveGrade = Callable[[str, Grade], None]
"""Stores a grade where only reports read it, given rollout id and grade. It offers no way to read one."""


@dataclass(slots=True)
class States:
    """The end states of one task's rollouts.

    If the task's time is limited, sandboxes wait for grading until the winner is known; otherwise each is graded at
    once. Leaving the context closes all waiting sandboxes.

    Attributes:
        order: the task's position, for the worker slots.
    """

    services: Services
    task: Task
    save_grade: SaveGrade | None = None
    order: int = 0
    _waiting: dict[str, Sandbox] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                async with asyncio.TaskGroup() as group:
                    for rollout, sandbox in self._waiting.items():
                        group.create_task(self._grade_waiting(rollout, sandbox))
        finally:
            for sandbox in self._waiting.values():
                await sandbox.close()
            self._waiting.clear()

    async def hand_in(self, rollout: str, sandbox: Sandbox, description: Patch) -> bool:
        """Keep and grade the state of a finished attempt's sandbox.

        Args:
            rollout: id of the rollout.
            sandbox: its sandbox, with all processes still running.
            description: the state's description.

        Returns:
            Whether the sandbox now waits here and stays open.
        """
        if self.task.submission != "state":
            return False
        config = self.services.config
        if config.keep_state != "none" or (config.within_timeout and config.grade):
            await self._keep(rollout, sandbox, description)
        if config.within_timeout:
            self._waiting[rollout] = sandbox
            return True
        await self._grade(rollout, sandbox)
        return False

    async def kept(self, winner: str, description: Patch) -> str:
        """The image that keeps the winner's state; empty if it was not to be kept."""
        if self.task.submission != "state" or self.services.config.keep_state == "none":
            return ""
        image = self._image(winner)
        return image if await is_kept(self.services.backend, image, description) else ""

    def _image(self, rollout: str) -> str:
        return state_image(self.services.run_id, self.task.id, rollout)

    async def _keep(self, rollout: str, sandbox: Sandbox, description: Patch) -> None:
        try:
            labels = {"run": self.services.run_id, "task": self.task.id, "rollout": rollout}
            await keep(self.services.backend, sandbox, self._image(rollout), description, labels)
        except SandboxError as error:
            text = f"the state could not be kept: {error}"
            self.services.events.emit("warning", task=self.task.id, rollout=rollout, text=text)

    async def _grade_waiting(self, rollout: str, sandbox: Sandbox) -> None:
        async with self.services.slots.hold(self.order):
            await self._grade(rollout, sandbox)
            await sandbox.close()

    async def _grade(self, rollout: str, sandbox: Sandbox) -> None:
        env = self.services.env
        if not self.services.config.grade or self.save_grade is None or not isinstance(env, GradesStates):
            return
        grade = await env.grade_state(self.task, sandbox, self.services.backend)
        self.save_grade(rollout, grade)
        self.services.events.emit("graded", task=self.task.id, rollout=rollout, outcome=grade.outcome)
