"""The servers of one model: request routing and admission.

A session is assigned to the server with the fewest sessions and stays there, since its prefix is cached there. A dead
server is taken out of use, its sessions move elsewhere, and it is used again once it responds.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress

from agents.llm.admission import Seats
from agents.llm.base import Session
from agents.llm.chat_http import HttpFailed
from agents.llm.endpoint import AdaptiveLimit, BusyTime, CircuitBreaker
from agents.llm.gpu_turns import GpuTurns
from agents.llm.retry import RetryDecision
from agents.llm.server import Server

_LOOK_S = 2.0
"""Polling interval per server in seconds."""
_HOMES = 1 << 16
"""Maximum number of sessions whose server is remembered."""
_IDLE_S = 900.0
"""Seconds without a request after which an unreleased session counts as finished."""
_RELEASING_S = 5.0


class Watch:
    """Which pool reads a server's counters, whether the server has any (None if unknown), and who holds sessions there.

    Attributes:
        held: open sessions of each pool, by id.
    """

    def __init__(self) -> None:
        self.by: Pool | None = None
        self.counts: bool | None = None
        self.held: list[Mapping[str, int]] = []


class Endpoint:
    """One server as used by one model, and the state shared by all its clients.

    Args:
        server: HTTP side of the endpoint.
        ceiling: maximum number of requests in flight.
        longest_pause_s: maximum delay between two probes of a dead server, in seconds.
    """

    def __init__(self, server: Server, ceiling: int, longest_pause_s: float) -> None:
        self.server = server
        self.limit = AdaptiveLimit(ceiling)
        self.busy = BusyTime()
        self.breaker = CircuitBreaker(cap_s=longest_pause_s)
        self.seats = Seats()
        self.watch = Watch()
        self.gpu: GpuTurns | None = None

    def awake(self) -> AbstractAsyncContextManager[None]:
        """Keep the server awake for the block; see `GpuTurns.hold`. Without a shared GPU it never sleeps."""
        return nullcontext() if self.gpu is None else self.gpu.hold(self.server)

    @property
    def load(self) -> tuple[int, int]:
        """Number of sessions, then of requests in flight or waiting."""
        return len(self.seats), self.limit.holders + self.limit.waiting

    def join(self, other: "Endpoint") -> None:
        """Share the state of another model's endpoint on the same server, but not key, timeouts and extra fields."""
        other.limit.lower(self.limit.ceiling)
        self.limit, self.busy, self.breaker = other.limit, other.busy, other.breaker
        if other.watch is not self.watch:
            other.watch.held += self.watch.held
        self.seats, self.watch = other.seats, other.watch

    def answered(self) -> None:
        """Record a successful request."""
        self.limit.succeeded()
        self.breaker.succeeded()


class Pool:
    """Endpoints that serve the same model.

    Args:
        endpoints: one or more endpoints.
        notes: list to which messages for the user are appended.
    """

    def __init__(self, endpoints: Sequence[Endpoint], notes: list[str]) -> None:
        self.endpoints, self.notes = list(endpoints), notes
        self._homes: OrderedDict[str, Endpoint] = OrderedDict()
        self._held: dict[str, int] = {}
        for one in self.endpoints:
            one.watch.held.append(self._held)
        self._back = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._releasing: set[asyncio.Task[None]] = set()
        self._cap_reported = False

    async def begin(self, session: Session) -> None:
        """Open a session once its server has room for it; every `begin` needs a matching `end`."""
        self._held[session.id] = self._held.get(session.id, 0) + 1
        try:
            await self.place(session).seats.turn(session.id, None)
        except BaseException:
            self.end(session)
            raise

    def end(self, session: Session) -> None:
        """End a session; the last matching call releases it."""
        left = self._held.pop(session.id, 1) - 1
        if left:
            self._held[session.id] = left
            return
        home = self._homes.get(session.id)
        if home is not None and session.id in home.seats:
            home.seats.leave(session.id)
            task = asyncio.get_running_loop().create_task(home.server.finish(session.id))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def admit(self, session: Session | None) -> None:
        """Wait until a session may send its next request."""
        if session is not None:
            await self.place(session).seats.turn(session.id)

    @asynccontextmanager
    async def turn(self, session: Session | None, *, capped: bool) -> AsyncIterator[Endpoint]:
        """Wait for a slot at the session's server and hold it for the block.

        Args:
            session: the session of the request.
            capped: whether the user set the limit on requests in flight; if so, the user is notified once when it
                delays requests.
        """
        self._look()
        endpoint, probe = self.place(session), False
        if len(self.endpoints) == 1:
            probe = await endpoint.breaker.admit()
        else:
            while endpoint.breaker.open:
                with suppress(TimeoutError):  # a request in flight may reveal that the server is alive
                    async with asyncio.timeout(_LOOK_S):
                        await self._back.wait()
                endpoint = self.place(session)
        try:
            if capped:
                self._tell_of_cap(endpoint)
            async with endpoint.limit.hold(endpoint.seats.priority(session.id) if session else 0):
                yield endpoint
        finally:
            if probe:
                endpoint.breaker.release()

    def place(self, session: Session | None) -> Endpoint:
        """Return the session's endpoint: the current one if it is alive, else the least loaded live endpoint."""
        living = [one for one in self.endpoints if not one.breaker.open] or self.endpoints
        if session is None:
            return min(living, key=lambda one: one.load[::-1])
        home = self._homes.get(session.id)
        if home not in living:
            if home is not None:
                home.seats.leave(session.id)
            home = self._homes[session.id] = min(living, key=lambda one: one.load)
            if len(self._homes) > _HOMES:
                self._homes.popitem(last=False)
        home.seats.take(session)
        return home

    def account(self, endpoint: Endpoint, decision: RetryDecision) -> None:
        """Record a failed request, which may take the server out of use or lower its limit on requests in flight."""
        if decision.server_down:
            endpoint.breaker.failed(at_once=len(self.endpoints) > 1 and not decision.sent)
            return
        if decision.sent:
            endpoint.breaker.succeeded()
        if decision.kind == "rate_limit":
            endpoint.limit.throttled()

    def share(self, known: dict[str, Endpoint]) -> None:
        """Share the state of known endpoints on the same servers and register the others; the lowest limit applies."""
        for one in self.endpoints:
            one.join(known.setdefault(one.server.place, one))

    def share_gpu(self, gpu: GpuTurns) -> None:
        """Let the servers take turns with others on a GPU."""
        for one in self.endpoints:
            one.gpu = gpu
            gpu.add(one.server)

    async def close(self) -> None:
        """Stop polling and finish pending releases."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for one in self.endpoints:
            one.watch.by = None if one.watch.by is self else one.watch.by
            one.watch.held = [held for held in one.watch.held if held is not self._held]
        if self._releasing:
            await asyncio.wait(self._releasing, timeout=_RELEASING_S)

    def _tell_of_cap(self, endpoint: Endpoint) -> None:
        limit, sessions = endpoint.limit, len(endpoint.seats)
        if self._cap_reported or limit.limit < limit.ceiling or limit.free or sessions <= limit.ceiling:
            return
        self._cap_reported = True
        self.notes.append(
            f"{limit.holders} requests in flight of {sessions} rollouts at work; raise model.max_concurrency"
        )

    def _look(self) -> None:
        """Start polling the servers, unless polling is already running or there is nothing to poll."""
        if self._looking is None or (self._looking.done() and len(self.endpoints) > 1):
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        while len(self.endpoints) > 1 or self.endpoints[0].watch.counts is not False:
            await asyncio.gather(*map(self._look_at, self.endpoints))
            await asyncio.sleep(_LOOK_S)

    async def _look_at(self, endpoint: Endpoint) -> None:
        if endpoint.breaker.open and len(self.endpoints) > 1:
            if await endpoint.server.answers():
                endpoint.breaker.succeeded()
                self._back.set()
                self._back = asyncio.Event()
            return
        watch = endpoint.watch
        if watch.counts is not False and watch.by in (None, self):
            watch.by = self
            with suppress(HttpFailed, TimeoutError):  # asked again later
                counters = await endpoint.server.poll()
                watch.counts = watch.counts or counters is not None
                if counters is not None:
                    endpoint.seats.adjust(counters)
        endpoint.seats.expire({name for held in watch.held for name in held}, _IDLE_S)
