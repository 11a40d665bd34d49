"""How many sessions a server works for at once, by what it says of its KV cache.

When more sessions take turns than the cache holds, each turn evicts another session's prefix and everything is
computed again. So the number of sessions that may ask is lowered while the server is strained and raised while it is
not. The oldest sessions go on; the youngest wait, and none is cancelled.
"""

import asyncio
import math
from bisect import bisect_left, insort
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

from agents.llm.base import Session
from agents.llm.counters import Counters

_FULL = 0.8
"""Share of the KV cache in use above which a server is strained."""
_LESS, _PAUSE_S = 0.8, 10.0
"""Factor by which the limit falls, and seconds until it may fall again: turns that are being served still count."""
_LOST = 0.6
"""A hit rate below this share of the best one, twice in a row, means that sessions evict each other's prefixes."""
_LEAST_QUERIES = 2000
"""Prompt tokens without which a hit rate says nothing."""
_PATIENCE_S = 300.0
"""Seconds that a session which has begun waits for its turn at most."""

Key = tuple[int, int]


@dataclass(slots=True)
class _Seat:
    key: Key
    used_at: float
    turns: list[asyncio.Future[None]] = field(default_factory=list)


class Seats:
    """The sessions at one server in the order in which they are served; the first `limit` of them may ask.

    Attributes:
        limit: infinite until the server is strained for the first time.
    """

    def __init__(self) -> None:
        self.limit = math.inf
        self._seats: dict[str, _Seat] = {}
        self._keys: list[Key] = []
        self._came = 0
        self._seen: Counters | None = None
        self._best, self._low = 0.0, 0
        self._calm_at = -math.inf

    def __len__(self) -> int:
        return len(self._seats)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._seats

    def take(self, session: Session) -> None:
        """Give a session a seat, if it has none."""
        seat = self._seats.get(session.id)
        if seat is None:
            self._came += 1
            seat = self._seats[session.id] = _Seat((session.order, self._came), 0.0)
            insort(self._keys, seat.key)
        seat.used_at = asyncio.get_running_loop().time()

    def leave(self, session_id: str) -> None:
        """Remove a session that has ended or moves to another server; its waiting requests go ahead."""
        seat = self._seats.pop(session_id, None)
        if seat is not None:
            del self._keys[bisect_left(self._keys, seat.key)]
            _go_on(seat)
            self._serve()

    def priority(self, session_id: str) -> int:
        """The session's place in the order, for a limiter; a lower one is served first."""
        seat = self._seats.get(session_id)
        return (seat.key[0] << 32) + seat.key[1] if seat else 0

    async def turn(self, session_id: str, patience_s: float | None = _PATIENCE_S) -> None:
        """Wait until the session may ask.

        Args:
            session_id: one without a seat may ask at once.
            patience_s: seconds after which it may ask in any case; None waits as long as it takes.
        """
        seat = self._seats.get(session_id)
        if seat is None or self._rank(seat) < self.limit:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seat.turns.append(turn)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await turn
        finally:
            seat.turns.remove(turn)

    def adjust(self, seen: Counters) -> None:
        """Set the limit by the server's latest counters: lower if it is strained, higher if it is not and some wait."""
        now = asyncio.get_running_loop().time()
        before, self._seen = self._seen, seen
        if before is None or seen.prompt_tokens < before.prompt_tokens:
            return
        if self._strained(seen, seen - before):
            if now >= self._calm_at:
                self.limit = max(1.0, math.floor(min(self.limit, len(self)) * _LESS))
                self._calm_at = now + _PAUSE_S
        elif now >= self._calm_at and self.limit < len(self):
            self.limit += 1
            self._serve()

    def expire(self, held: Collection[str], idle_s: float) -> None:
        """Remove sessions that are not in `held` and have made no request for `idle_s` seconds."""
        oldest = asyncio.get_running_loop().time() - idle_s
        for name in [name for name, seat in self._seats.items() if name not in held and seat.used_at < oldest]:
            self.leave(name)

    def _strained(self, seen: Counters, since: Counters) -> bool:
        rate = since.hit_rate if since.prefix_queries >= _LEAST_QUERIES else None
        if rate is not None:
            self._low = self._low + 1 if rate < _LOST * self._best else 0
            self._best = max(self._best, rate)
        return seen.kv_use > _FULL or since.preemptions > 0 or self._low > 1

    def _rank(self, seat: _Seat) -> int:
        return bisect_left(self._keys, seat.key)

    def _serve(self) -> None:
        """Wake every session that is now within the limit."""
        for seat in self._seats.values():
            if seat.turns and self._rank(seat) < self.limit:
                _go_on(seat)


def _go_on(seat: _Seat) -> None:
    for turn in seat.turns:
        if not turn.done():
            turn.set_result(None)
