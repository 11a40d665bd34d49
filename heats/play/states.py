"""Rollouts that hand in the state of their sandbox: graded before it closes, kept as an image where that is wanted.

A sandbox that has to wait for its grading is kept as an image meanwhile: a kill takes the sandbox with it.

A task's own time-out can hold for everything that is done for it (`within_timeout`): a `Clock` then says until when a
heat's rollouts may work and until when its winners must be known.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.trajectory import Exit, Record, Trajectory
from envs.base import Grade, GradesStates, Patch, Task
from heats.config import HeatsConfig
from heats.play.keptstates import is_kept, keep, state_image
from heats.play.services import Services
from heats.rundir.files import read_record, write_record
from heats.rundir.store import RolloutStore
from sandbox.base import Sandbox
from sandbox.errors import SandboxError

SaveGrade = Callable[[str, Grade], None]
"""Puts a grade where only reports read it: rollout id and grade. There is no way to read one through it."""


class SpentTime(Record):
    """`clock.json` of a task: seconds of its time-out that are used up."""

    spent_s: float


class Clock:
    """The time of one task, shared out over its heats.

    Args:
        limit_s: the task's own time-out; None when time is not shared out.
        heats: T.
        select_share: part of each heat's time that is kept for summaries and votes.
        path: where the time that is used up is kept over restarts.
    """

    def __init__(self, limit_s: float | None, heats: int, select_share: float, path: Path) -> None:
        self._limit_s, self._heats, self._select_share, self._path = limit_s, heats, select_share, path
        stored = read_record(path, SpentTime) if limit_s is not None else None
        self._spent_s = stored.spent_s if stored else 0.0
        self._resumed_at: float | None = None
        self._rollouts_until: float | None = None
        self._winners_until: float | None = None

    def start_heat(self, heat: int) -> None:
        """From now on the time is that of a heat: an equal share of what is left, for it and those after it."""
        if self._limit_s is None:
            return
        now = time.monotonic()
        self._resumed_at = self._resumed_at or now
        left = max(0.0, self._limit_s - self.spent_s())
        share = left / max(1, self._heats - heat)
        self._rollouts_until = now + share * (1 - self._select_share)
        self._winners_until = now + share
        self.save()

    def spent_s(self) -> float:
        """Seconds used up so far."""
        return self._spent_s + (time.monotonic() - self._resumed_at if self._resumed_at is not None else 0.0)

    def save(self) -> None:
        """Keep the time that is used up."""
        if self._limit_s is not None:
            write_record(self._path, SpentTime(spent_s=self.spent_s()))

    def rollout_s(self, own_limit_s: float | None) -> float | None:
        """Seconds that a rollout may work from now on; None without a limit."""
        left = None if self._rollouts_until is None else max(0.0, self._rollouts_until - time.monotonic())
        limits = [limit for limit in (own_limit_s, left) if limit is not None]
        return min(limits) if limits else None

    def winners_s(self) -> float | None:
        """Seconds until the heat's winners must be known; None without a limit."""
        return None if self._winners_until is None else max(0.0, self._winners_until - time.monotonic())


async def in_time(run: Awaitable[Trajectory], limit_s: float | None, files: RolloutStore) -> Trajectory | None:
    """An agent's rollout, ended with exit `time_limit` when its time is up; None when it did not get to a step.

    Args:
        limit_s: seconds; None for no limit.
        files: where the agent saves its steps.
    """
    scope = asyncio.timeout(limit_s)
    try:
        async with scope:
            return await run
    except TimeoutError:
        if not scope.expired():
            raise
    so_far = files.trajectory()
    end = Exit(kind="time_limit", detail=f"{limit_s:.0f} seconds")
    return so_far.model_copy(update={"exit": end}) if so_far else None


@dataclass(slots=True)
class States:
    """The end states of one task's rollouts.

    Where time counts, sandboxes wait for their grading until the winner is known; else each is graded at once. Leaving
    the context closes all that wait.

    Attributes:
        order: of the task, for the worker slots.
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
        """Keep and grade the state of a sandbox whose attempt is over; whether it now waits here and stays open."""
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
        """The image that keeps the winner's state, where it was to be kept; else empty."""
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
        grade = await env.grade_state(self.task, sandbox)
        self.save_grade(rollout, grade)
        self.services.events.emit("graded", task=self.task.id, rollout=rollout, outcome=grade.outcome)


def clock_for(task: Task, config: HeatsConfig, path: Path) -> Clock:
    """The clock of one task: without limits unless its own time-out is to hold for everything."""
    limit_s = task.agent_timeout_s if config.within_timeout else None
    return Clock(limit_s, config.iterations, config.select_share, path)
