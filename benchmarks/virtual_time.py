"""An asyncio event loop whose clock jumps to the next timer, so that hours of waiting are simulated in milliseconds."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Never waits: advances the clock instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Poll, and treat the timeout as elapsed."""
        ready = super().select(0)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """`loop.time()` and `asyncio.sleep` run on virtual seconds."""

    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._clock.now


def run(main: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Run to the end; returns the result and the virtual seconds it took."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main), loop.time()
    finally:
        loop.close()
