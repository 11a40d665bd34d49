"""Admission control: limits a server's active sessions according to the KV-cache metrics it reports.

When more sessions take turns than fit in the cache, every turn evicts another session's prefix, which then has to be
recomputed. The number of admitted sessions is therefore lowered while the server is under pressure and raised
otherwise. The oldest sessions continue and the youngest wait; none is cancelled.
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
"""KV-cache utilization above which a server counts as under pressure."""
_LESS, _PAUSE_S = 0.8, 10.0
"""Factor applied when lowering the limit, and seconds before the next change, while turns in progress finish."""
_LOST = 0.6
"""Two consecutive hit rates below this fraction of the best rate mean that sessions evict each other's prefixes."""
_LEAST_QUERIES = 2000
"""Minimum number of prompt tokens for a meaningful hit rate."""
_PATIENCE_S = 300.0
"""Maximum wait of a started session for its turn, in seconds."""

Key = tuple[int, int]


@dataclass(slots=True)
class _Seat:
    key: Key
    used_at: float
    turns: list[asyncio.Future[None]] = field(default_factory=list)


class Seats:
    """The sessions at one server in service order; the first `limit` of them may send requests.

    Attributes:
        limit: infinite until the server first comes under pressure.
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
        """Give a session a seat unless it already has one."""
        seat = self._seats.get(session.id)
        if seat is None:
            self._came += 1
            seat = self._seats[session.id] = _Seat((session.order, self._came), 0.0)
            insort(self._keys, seat.key)
        seat.used_at = asyncio.get_running_loop().time()

    def leave(self, session_id: str) -> None:
        """Remove a session that has ended or moved to another server; its waiting requests proceed."""
        seat = self._seats.pop(session_id, None)
        if seat is not None:
            del self._keys[bisect_left(self._keys, seat.key)]
            _go_on(seat)
            self._serve()

    def priority(self, session_id: str) -> int:
        """Return the session's priority for a limiter; lower values are served first."""
        seat = self._seats.get(session_id)
        return (seat.key[0] << 32) + seat.key[1] if seat else 0

    async def turn(self, session_id: str, patience_s: float | None = _PATIENCE_S) -> None:
        """Wait until the session may send a request.

        Args:
            session_id: the session; without a seat, it proceeds immediately.
            patience_s: seconds after which it proceeds regardless; None waits indefinitely.
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
        """Update the limit from the latest counters: lower it under pressure, else raise it if sessions are waiting."""
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
