"""One task's time, shared out over its heats.

A task's own time-out can cover everything that is done for it (`within_timeout`): a `TimeBudget` then says until when a
heat's rollouts may work and by when its winners must be known.
"""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

from agents.trajectory import Exit, Trajectory
from core.record import Record
from envs.base import Task
from heats.config import HeatsConfig
from heats.store.files import read_record, write_record
from heats.store.store import RolloutStore


class SpentTime(Record):
    """`clock.json` of a task: seconds of its time-out that are used up."""

    spent_s: float


class TimeBudget:
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


def time_budget_for(task: Task, config: HeatsConfig, path: Path) -> TimeBudget:
    """The clock of one task: without limits unless its own time-out is to hold for everything."""
    limit_s = task.agent_timeout_s if config.within_timeout else None
    return TimeBudget(limit_s, config.iterations, config.select_share, path)
