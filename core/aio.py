"""Helpers for asyncio: calls that run together, the error behind a group, and a limiter that serves in turn."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def first_error(error: BaseException) -> BaseException:
    """The error itself, or the first one in a group, however deep groups are nested."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run calls at the same time; the results are in the order of the calls.

    The first failure cancels the others and is raised by itself, not in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as errors:
        error = first_error(errors)
        raise error from error.__cause__
    return [task.result() for task in tasks]


class FairLimiter:
    """Up to `limit` holders at once. Who waits is served by priority, then first come, first served.

    It is the counter of a shop: a holder is being served, and a place that becomes free goes to the first in line. The
    limit may change at any time; holders above a lowered limit keep their places.

    Example:
        >>> async def fetch(limiter: FairLimiter) -> None:
        ...     async with limiter.hold():
        ...         ...  # at most `limit` of these run at once

    Args:
        limit: how many may hold a place at once; a fraction counts as the whole number below it.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.holders = 0
        """Places that are taken now."""
        self.peak = 0
        """The most that were ever taken at once."""
        self._line: list[tuple[int, int, asyncio.Future[None]]] = []
        self._came = 0

    @property
    def limit(self) -> float:
        """How many may hold a place at once. A higher one lets waiting callers in."""
        return self._limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._limit = limit
        self._serve()

    @property
    def waiting(self) -> int:
        """Callers that wait for a place."""
        return sum(not turn.done() for _, _, turn in self._line)

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        return max(int(self.limit) - self.holders, 0)

    @asynccontextmanager
    async def hold(self, priority: int = 0) -> AsyncIterator[None]:
        """Wait for a place and keep it for the block.

        Args:
            priority: a lower one is served first.
        """
        self._came += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (priority, self._came, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # the place was handed over at the very moment at which its taker was cancelled
            raise
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        self.holders -= 1
        self._serve()

    def _serve(self) -> None:
        while self._line and self.free:
            turn = heapq.heappop(self._line)[2]
            if not turn.done():
                self.holders += 1
                self.peak = max(self.peak, self.holders)
                turn.set_result(None)
