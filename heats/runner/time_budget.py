"""One task's time, divided among its heats.

A task's own time-out can cover everything done for it (`within_timeout`). A `TimeBudget` then says until when a heat's
rollouts may work, and by when its winners must be known.
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
    """`clock.json` of a task: seconds of its time-out already used."""

    spent_s: float


class TimeBudget:
    """The time of one task, divided among its heats.

    Args:
        limit_s: the task's own time-out; None if time is not limited.
        heats: T.
        select_share: share of each heat's time reserved for summaries and votes.
        path: file that keeps the time used across restarts.
    """

    def __init__(self, limit_s: float | None, heats: int, select_share: float, path: Path) -> None:
        self._limit_s, self._heats, self._select_share, self._path = limit_s, heats, select_share, path
        stored = read_record(path, SpentTime) if limit_s is not None else None
        self._spent_s = stored.spent_s if stored else 0.0
        self._resumed_at: float | None = None
        self._rollouts_until: float | None = None
        self._winners_until: float | None = None

    def start_heat(self, heat: int) -> None:
        """Start a heat's clock: it gets an equal share of the time left for it and the heats after it."""
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
        """Seconds used so far."""
        return self._spent_s + (time.monotonic() - self._resumed_at if self._resumed_at is not None else 0.0)

    def left_s(self) -> float | None:
        """Seconds left of the task's own time-out; None without a limit."""
        return None if self._limit_s is None else max(0.0, self._limit_s - self.spent_s())

    def save(self, *, durable: bool = True) -> None:
        """Save the time used; `durable` is that of `write_bytes`."""
        if self._limit_s is not None:
            write_record(self._path, SpentTime(spent_s=self.spent_s()), durable=durable)

    def rollout_s(self, own_limit_s: float | None) -> float | None:
        """Seconds that a rollout may work from now on; None without a limit."""
        left = None if self._rollouts_until is None else max(0.0, self._rollouts_until - time.monotonic())
        limits = [limit for limit in (own_limit_s, left) if limit is not None]
        return min(limits) if limits else None

    def winners_s(self) -> float | None:
        """Seconds until the heat's winners must be known; None without a limit."""
        return None if self._winners_until is None else max(0.0, self._winners_until - time.monotonic())


async def in_time(run: Awaitable[Trajectory], limit_s: float | None, files: RolloutStore) -> Trajectory | None:
    """Run an agent, ending it with exit `time_limit` when its time is up.

    Args:
        run: the agent's run.
        limit_s: seconds; None for no limit.
        files: where the agent saves its steps.

    Returns:
        The trajectory; None if time was up before the first step.
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
    """The clock of one task; unlimited unless the task's own time-out covers everything.

    Args:
        task: the task.
        config: the run's configuration.
        path: file that keeps the time used.
    """
    limit_s = task.agent_timeout_s if config.within_timeout else None
    return TimeBudget(limit_s, config.iterations, config.select_share, path)
