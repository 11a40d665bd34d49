"""Worker slots: which sandboxes may work now.

A slot is held for every sandbox, from before its start until after its end. The oldest task goes first, so that tasks
finish one after another and not all at once. A new task is opened as soon as a slot would be idle, so that one task's
votes never keep a slot waiting.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

from core.aio import FairLimiter


class Slots(FairLimiter):
    """A fixed number of slots, granted by lowest order, then first come, first served.

    Args:
        count: maximum number of sandboxes working at the same time.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count
        self._expected: set[int] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, order: int = 0) -> AsyncIterator[None]:
        """Wait for a slot and hold it for the block.

        Args:
            order: the task's position; lower ones go first.
        """
        self._expected.discard(order)
        async with super().hold(order):
            yield

    @contextmanager
    def spare(self) -> Iterator[bool]:
        """Hold a slot for the block if one is free that no new task has reserved; yields whether it does."""
        with super().spare() if self.free > len(self._expected) else nullcontext(False) as taken:
            yield taken

    def expect(self, order: int) -> None:
        """Reserve a slot for a newly opened task until it asks for one."""
        self._expected.add(order)

    def forget(self, order: int) -> None:
        """Cancel the reservation of a task."""
        self._expected.discard(order)
        self._changed.set()

    async def idle(self) -> None:
        """Wait until a slot is free that nobody is waiting for or has reserved."""
        while self.free <= len(self._expected):
            self._changed.clear()
            await self._changed.wait()

    def _release(self) -> None:
        super()._release()
        self._changed.set()
