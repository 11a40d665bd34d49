"""Runs of tests on trees for evidence: each once over heats and resumes, within the task's budget, and paid for."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.aio import first_error
from core.ids import heat_name
from envs.errors import SetupFailed
from heats.retries import RetryBudget, class_of
from heats.runner.boundary import described, ends_more
from heats.runner.rollout import TaskRun
from heats.runner.sandbox_time import paid
from heats.store.cross_store import CrossStore
from heats.store.records import CrossCell
from sandbox.errors import SandboxError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be made.

    Attributes:
        tests: digest of the tests, and `patch` the key of the tree they run on.
        level: evidence class that it helps to order; higher goes first.
        make: runs them in a fresh sandbox.
    """

    tests: str
    patch: str
    level: int
    make: Callable[[], Awaitable[CrossCell]]


class EvidenceCells:
    """The runs of one task, those of earlier heats and processes among them."""

    def __init__(self, run: TaskRun, heat: int, store: CrossStore) -> None:
        self.task_run, self.heat, self._store = run, heat, store
        self.cells = store.cells()
        self.left_out = 0
        self._spent_s = sum(cell.seconds for cell in self.cells.values())
        self._done = self._total = 0

    async def run(self, jobs: Sequence[Job]) -> None:
        """Make those that are missing, the highest level first; what the budget does not allow is left out."""
        missing = [job for job in jobs if (job.tests, job.patch) not in self.cells]
        self._total += len(missing)
        self._tell()
        async with asyncio.TaskGroup() as group:
            for job in sorted(missing, key=lambda one: -one.level):
                group.create_task(self._make(job))

    async def surely(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Try again as rollouts are; None where no sandbox could be had: that is no reason to lose a task."""
        attempts = RetryBudget(self.task_run.services.config.retries)
        while True:
            try:
                async with self.task_run.services.slots.hold(self.task_run.order):
                    with paid(self.task_run.ledger, f"{self.task_run.task.id}/{heat_name(self.heat)}"):
                        return await work()
            except SetupFailed:
                return None
            except SandboxError as error:
                if not await attempts.again(class_of(error)):
                    return None
            except Exception as error:
                cause = first_error(error)
                if ends_more(cause):
                    raise cause from error
                text = f"tests could not be run for evidence: {described(cause)}"
                self.task_run.services.events.emit("warning", task=self.task_run.task.id, text=text)
                return None

    async def _make(self, job: Job) -> None:
        async def timed() -> CrossCell | None:
            if not self.affordable:
                self.left_out += 1
                return None
            started = time.monotonic()
            cell = await job.make()
            return cell.model_copy(update={"seconds": round(time.monotonic() - started, 2)})

        cell = await self.surely(timed)
        if cell is not None:
            self.keep(cell)
        self._done += 1
        self._tell()

    @property
    def affordable(self) -> bool:
        """Whether the task's budget allows another sandbox."""
        limits = self.task_run.services.config.execution
        return self._spent_s < limits.task_s and len(self.cells) < limits.sandboxes

    def keep(self, cell: CrossCell) -> None:
        """Store a run, which counts towards the budget."""
        self.cells[cell.tests, cell.patch] = cell
        self._spent_s += cell.seconds
        self._store.add(cell)

    def _tell(self) -> None:
        if self._total:
            emit = self.task_run.services.events.emit
            emit("crossing", task=self.task_run.task.id, heat=self.heat, done=self._done, total=self._total)
