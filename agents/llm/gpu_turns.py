"""Several models on one GPU: the server in use is awake, the others sleep and leave it their memory.

Uses vLLM's sleep mode at level 1: weights move to main memory, and the KV cache is dropped. Falling asleep and waking
up take seconds, so the GPU changes hands only when its server has been idle for a moment, or when a long turn has
ended: in practice, between the phases of a heat.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.llm.server import Server

_IDLE_S, _TURN_S = 0.5, 60.0


class GpuTurns:
    """One GPU and the servers that share it.

    Args:
        idle_s: seconds without a request after which a server gives up the GPU to one that is waiting.
        turn_s: seconds after which it does so anyway, once its requests in flight are done.

    Attributes:
        switches: how often the GPU has changed hands.
    """

    def __init__(self, idle_s: float = _IDLE_S, turn_s: float = _TURN_S) -> None:
        self.idle_s, self.turn_s, self.switches = idle_s, turn_s, 0
        self._servers: dict[str, Server] = {}
        self._owner: str | None = None
        self._since = 0.0
        self._in_flight = 0
        self._free = asyncio.Event()
        self._free.set()
        self._idle: asyncio.TimerHandle | None = None
        self._waking: asyncio.Task[None] | None = None
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._moving: asyncio.Task[None] | None = None

    def add(self, server: Server) -> None:
        """Let a server take turns; models on the same server share them."""
        self._servers.setdefault(server.place, server)

    @asynccontextmanager
    async def hold(self, server: Server) -> AsyncIterator[None]:
        """Keep a server awake for the block, after waiting for its turn.

        Raises:
            ModelConfigError: a server has no sleep mode.
            HttpFailed, TimeoutError: the server did not answer.
        """
        await self._enter(server)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, server: Server) -> None:
        if self._owner != server.place or (self._waiting and self._turn_is_over()):
            await self._wait(server.place)
            return
        self._use()
        try:
            if self._in_flight == 1:  # whoever restarts another server may have put this one to sleep
                self._waking = asyncio.get_running_loop().create_task(server.wake())
                self._waking.add_done_callback(lambda task: task.cancelled() or task.exception())
            if self._waking is not None:
                await asyncio.shield(self._waking)
        except BaseException:
            self._leave()
            raise

    def _use(self) -> None:
        self._in_flight += 1
        self._free.clear()
        if self._idle is not None:
            self._idle.cancel()

    def _leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._waking = None
            delay = 0.0 if self._turn_is_over() else self.idle_s
            self._idle = asyncio.get_running_loop().call_later(delay, self._free.set)

    async def _wait(self, place: str) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(place, []).append(turn)
        if self._moving is None or self._moving.done():
            self._moving = loop.create_task(self._move())
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()
            raise

    async def _move(self) -> None:
        """Pass the GPU on until nobody is waiting for it."""
        while self._waiting:
            while not self._free.is_set():  # somebody may have come between its being set and this task's turn
                await self._free.wait()
            place = next(iter(self._waiting))
            problem = await self._switch(place)
            for turn in self._waiting.pop(place):
                if turn.done():
                    continue
                if problem is None:
                    self._use()
                    turn.set_result(None)
                else:
                    turn.set_exception(problem)

    def _turn_is_over(self) -> bool:
        return asyncio.get_running_loop().time() - self._since >= self.turn_s

    async def _switch(self, place: str) -> Exception | None:
        """Put the other servers to sleep and wake this one; returns what went wrong."""
        self._owner = None
        try:
            await asyncio.gather(*(one.sleep() for name, one in self._servers.items() if name != place))
            await self._servers[place].wake()
        except Exception as error:
            return error
        self.switches += 1
        self._owner, self._since = place, asyncio.get_running_loop().time()
        return None
