"""Asyncio helpers: concurrent calls, error-group unwrapping and a priority limiter."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def first_error(error: BaseException) -> BaseException:
    """Unwrap nested exception groups and return the first error inside."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines concurrently and return their results in call order.

    The first failure cancels the rest and is raised bare, not in an exception group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        error = first_error(errors)
        raise error from error.__cause__
    return [task.result() for task in tasks]


async def in_turn(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines one after the other and return their results; the first failure leaves out the rest."""
    waiting = list(calls)
    try:
        return [await call for call in waiting]
    finally:
        for call in waiting:
            call.close()


async def stopped(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; its result or error is ignored."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class FairLimiter:
    """A semaphore with priorities and an adjustable limit. Equal priorities are served in arrival order.

    The limit may change at any time. Lowering it evicts nobody: current holders finish first.

    Example:
        >>> async def fetch(limiter: FairLimiter) -> None:
        ...     async with limiter.hold():
        ...         ...  # at most `limit` of these run at once

    Args:
        limit: maximum number of concurrent holders; fractions are rounded down.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.holders = 0
        """Number of current holders."""
        self.peak = 0
        """Highest number of concurrent holders seen so far."""
        self._line: list[tuple[int, int, asyncio.Future[None]]] = []
        self._came = 0

    @property
    def limit(self) -> float:
        """Maximum number of concurrent holders. Raising it admits waiting callers at once."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._limit = limit
        self._serve()

    @property
    def waiting(self) -> int:
        """Number of callers waiting for a slot."""
        return sum(not turn.done() for _, _, turn in self._line)

    @property
    def free(self) -> int:
        """Number of free slots."""
        return max(int(self.limit) - self.holders, 0)

    @asynccontextmanager
    async def hold(self, priority: int = 0) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the duration of the block.

        Args:
            priority: lower values are served first.
        """
        self._came += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (priority, self._came, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the slot was handed over at the very moment its taker was cancelled
            raise
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def spare(self) -> Iterator[bool]:
        """Hold a slot for the duration of the block if one is free now; yields whether it does."""
        taken = self.free > 0
        if taken:
            self._take()
        try:
            yield taken
        finally:
            if taken:
                self._release()

    def _take(self) -> None:
        self.holders += 1
        self.peak = max(self.peak, self.holders)

    def _release(self) -> None:
        self.holders -= 1
        self._serve()

    def _serve(self) -> None:
        while self._line and self.free:
            turn = heapq.heappop(self._line)[2]
            if not turn.done():
                self._take()
                turn.set_result(None)
