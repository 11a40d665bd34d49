"""Worker slots: who may have a sandbox at work now.

One is held for every sandbox, from before its start to after its end. The oldest task goes first, so that tasks end
one after the other and not all at once; a further task is opened as soon as a slot would be idle, so that one task's
votes keep no slot waiting.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """A fixed number of slots, given to the lowest order first, then to who came first.

    Args:
        count: how many sandboxes may be at work at once.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._came = 0
        self._expected: set[int] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, order: int = 0) -> AsyncIterator[None]:
        """Wait for a slot and keep it for the block.

        Args:
            order: of the task: a lower one goes first.
        """
        await self._take(order)
        try:
            yield
        finally:
            self._give()

    def expect(self, order: int) -> None:
        """A task was opened and will ask for a slot soon: until it does, one counts as taken."""
        self._expected.add(order)

    def forget(self, order: int) -> None:
        """That task asks for none any more."""
        self._expected.discard(order)
        self._changed.set()

    async def idle(self) -> None:
        """Wait until a slot is free that nobody waits for or is about to ask for."""
        while self._free <= len(self._expected):
            self._changed.clear()
            await self._changed.wait()

    async def _take(self, order: int) -> None:
        self._expected.discard(order)
        if self._free:
            self._free -= 1
            return
        self._came += 1
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, self._came, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()  # it was handed over in the moment in which its taker was cancelled
            raise

    def _give(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
        self._changed.set()
