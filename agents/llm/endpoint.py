"""One server as its clients share it: requests at once, whose time it is, and whether it is worth asking now."""

import asyncio
import time

from core.aio import FairLimiter


class AdaptiveLimit(FairLimiter):
    """Requests in flight at once; falls with 429s and recovers with successes, first come first served.

    A share p of 429s settles it at about 2 (1 - p) / p: near the ceiling where they are rare, low where they rule.
    """

    def __init__(self, ceiling: int) -> None:
        super().__init__(ceiling)
        self.ceiling = ceiling

    def lower(self, ceiling: int) -> None:
        """Take a smaller ceiling; a larger one changes nothing."""
        self.ceiling = min(self.ceiling, ceiling)
        self.limit = min(self.limit, self.ceiling)

    def throttled(self) -> None:
        """A request was refused with a 429: half a place less, so that a whole round of them halves the limit.

        Places that nobody holds do not count: a limit far above what is asked for would take long to be felt.
        """
        self.limit = max(1.0, min(self.limit, float(self.holders or self.limit)) - 0.5)

    def succeeded(self) -> None:
        """A request was answered: about one more place per round of successes."""
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)


class BusyTime:
    """Time in which a server works for us, shared out among the requests in flight.

    The shares of all requests sum to the time in which there was at least one.
    """

    def __init__(self) -> None:
        self._in_flight = 0
        self._share = 0.0  # of a request that was in flight from the beginning on
        self._at = time.monotonic()

    def enter(self) -> float:
        """A request starts; give what this returns to `leave`."""
        self._advance()
        self._in_flight += 1
        return self._share

    def leave(self, mark: float) -> float:
        """The request ends; returns its share in seconds."""
        self._advance()
        self._in_flight -= 1
        return self._share - mark

    def _advance(self) -> None:
        now = time.monotonic()
        if self._in_flight:
            self._share += (now - self._at) / self._in_flight
        self._at = now


class CircuitBreaker:
    """Holds callers back while a server is down; one probe at a time asks whether it is back.

    Args:
        threshold: failures in a row that open the circuit.
        first_s: wait before the first probe; doubles with each failed one up to `cap_s`.
    """

    def __init__(self, threshold: int = 5, first_s: float = 0.5, cap_s: float = 20.0) -> None:
        self.threshold, self.first_s, self.cap_s = threshold, first_s, cap_s
        self.probes = 0
        self._failures = 0
        self._pause = first_s
        self._probe_at: float | None = None
        self._probing = False
        self._changed = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether callers are being held back."""
        return self._probe_at is not None

    async def admit(self) -> bool:
        """Wait until a request may be sent; True makes the caller the probe, which must `release` its turn."""
        while self._probe_at is not None:
            wait = self._probe_at - time.monotonic()
            if wait <= 0 and not self._probing:
                self._probing = True
                self.probes += 1
                return True
            try:
                async with asyncio.timeout(None if self._probing else max(wait, 0)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return False

    def release(self) -> None:
        """The probe is over, however it ended."""
        self._probing = False
        self._notify()

    def succeeded(self) -> None:
        """The server answered."""
        self._failures, self._pause = 0, self.first_s
        if self._probe_at is not None:
            self._probe_at = None
            self._notify()

    def failed(self, *, at_once: bool = False) -> None:
        """The server could not be reached or said that it is down; `at_once` opens the circuit for this one failure."""
        self._failures += 1
        if self._probing or ((at_once or self._failures >= self.threshold) and self._probe_at is None):
            self._probe_at = time.monotonic() + self._pause
            self._pause = min(self.cap_s, self._pause * 2)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
