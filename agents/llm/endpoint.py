"""Shared state of one server's clients: concurrency limit, busy-time accounting and circuit breaker."""

import asyncio
import time

from core.aio import FairLimiter


class AdaptiveLimit(FairLimiter):
    """Adaptive limit on requests in flight, served in FIFO order; 429s lower it and successes raise it.

    With a fraction p of 429s it settles near 2 (1 - p) / p: close to the ceiling if they are rare, low if frequent.
    """

    def __init__(self, ceiling: int) -> None:
        super().__init__(ceiling)
        self.ceiling = ceiling

    def lower(self, ceiling: int) -> None:
        """Lower the ceiling; a larger value has no effect."""
        self.ceiling = min(self.ceiling, ceiling)
        self.limit = min(self.limit, self.ceiling)

    def throttled(self) -> None:
        """Handle a 429: reduce the limit by half a slot, so that a full round of 429s halves it.

        Free slots do not count, since lowering a limit far above the demand would take long to have an effect.
        """
        self.limit = max(1.0, min(self.limit, float(self.holders or self.limit)) - 0.5)

    def succeeded(self) -> None:
        """Handle a success: raise the limit by about one slot per round of successes."""
        self.limit = min(self.ceiling, self.limit + 1 / self.limit)


class BusyTime:
    """Time during which a server works for us, divided among the requests in flight.

    The shares of all requests add up to the time with at least one request in flight.
    """

    def __init__(self) -> None:
        self._in_flight = 0
        self._share = 0.0  # share of a request in flight since the start
        self._at = time.monotonic()

    def enter(self) -> float:
        """Start a request; pass the returned mark to `leave`."""
        self._advance()
        self._in_flight += 1
        return self._share

    def leave(self, mark: float) -> float:
        """End a request; returns its share in seconds."""
        self._advance()
        self._in_flight -= 1
        return self._share - mark

    def _advance(self) -> None:
        now = time.monotonic()
        if self._in_flight:
            self._share += (now - self._at) / self._in_flight
        self._at = now


class CircuitBreaker:
    """Holds callers back while a server is down; one probe at a time checks whether it has recovered.

    Args:
        threshold: consecutive failures that open the circuit.
        first_s: delay before the first probe in seconds; doubles with each failed probe, up to `cap_s`.
        cap_s: maximum delay between probes in seconds.
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
        """Whether the circuit is open, holding callers back."""
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
        """Finish the probe, regardless of its outcome."""
        self._probing = False
        self._notify()

    def succeeded(self) -> None:
        """Record that the server responded."""
        self._failures, self._pause = 0, self.first_s
        if self._probe_at is not None:
            self._probe_at = None
            self._notify()

    def failed(self, *, at_once: bool = False) -> None:
        """Record that the server was unreachable or reported being down; `at_once` opens the circuit immediately."""
        self._failures += 1
        if self._probing or ((at_once or self._failures >= self.threshold) and self._probe_at is None):
            self._probe_at = time.monotonic() + self._pause
            self._pause = min(self.cap_s, self._pause * 2)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
