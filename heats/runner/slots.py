"""Worker slots: who may have a sandbox at work now.

One is held for every sandbox, from before its start to after its end. The oldest task goes first, so that tasks end
one after the other and not all at once; a further task is opened as soon as a slot would be idle, so that one task's
votes keep no slot waiting.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.aio import FairLimiter


class Slots(FairLimiter):
    """A fixed number of slots, given to the lowest order first, then to who came first.

    Args:
        count: how many sandboxes may be at work at once.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count
        self._expected: set[int] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, order: int = 0) -> AsyncIterator[None]:
        """Wait for a slot and keep it for the block.

        Args:
            order: of the task: a lower one goes first.
        """
        self._expected.discard(order)
        async with super().hold(order):
            yield

    def expect(self, order: int) -> None:
        """A task was opened and will ask for a slot soon: until it does, one counts as taken."""
        self._expected.add(order)

    def forget(self, order: int) -> None:
        """That task asks for none any more."""
        self._expected.discard(order)
        self._changed.set()

    async def idle(self) -> None:
        """Wait until a slot is free that nobody waits for or is about to ask for."""
        while self.free <= len(self._expected):
            self._changed.clear()
            await self._changed.wait()

    def _release(self) -> None:
        super()._release()
        self._changed.set()
