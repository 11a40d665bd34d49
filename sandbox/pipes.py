"""Pipes as a wire: those of a child process, or others that it is given."""

import asyncio
import contextlib
import os
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

from sandbox.wire import WireClosed

_FLUSH_S = 30.0
_LAST_WORDS_S = 0.2
_BUFFERED = 1 << 20


class PipeWire:
    """See `sandbox.wire.Wire`. It has no pipes until it is given some."""

    def __init__(self) -> None:
        self._inlet: asyncio.StreamWriter | None = None
        self._desk: asyncio.StreamWriter | None = None
        self._outlets: list[_Outlet] = []
        self._retired: list[_Outlet] = []
        self._ready: deque[tuple[int, bytes]] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended: set[int] = set()
        self._finished = False

    async def take_input(self, fd: int) -> None:
        """Send through this pipe from now on."""
        self._inlet = await _writer(fd, partial(self.ended, 0))

    async def take_desk(self, fd: int) -> None:
        """Send what is for the worker through this pipe from now on."""
        former, self._desk = self._desk, await _writer(fd)
        _abort(former)

    @property
    def staffed(self) -> bool:
        """Whether there is a worker who reads what is sent to it."""
        return self._desk is not None and not self._desk.is_closing()

    async def take_outputs(self, out: int, err: int) -> None:
        """Receive from these two from now on; what still comes through the former ones is thrown away."""
        for former in self._outlets:
            former.retire()
        self._retired = [one for one in (*self._retired, *self._outlets) if not one.ended]
        self._ready.clear()
        self._buffered = 0
        self._ended &= {0}
        loop = asyncio.get_running_loop()
        self._outlets = [_Outlet(self, 1), _Outlet(self, 2)]
        for outlet, fd in zip(self._outlets, (out, err), strict=True):
            await loop.connect_read_pipe(partial(_same, outlet), os.fdopen(fd, "rb", buffering=0))

    async def send(self, data: bytes, *, worker: bool = False) -> None:
        """See `Wire.send`; to the worker where asked."""
        pipe = self._desk if worker else self._inlet
        if pipe is None or pipe.is_closing():
            raise WireClosed("nobody reads any more")
        try:
            pipe.write(data)
            await pipe.drain()
        except (OSError, RuntimeError) as error:
            raise WireClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        """See `Wire.receive`."""
        while not self._ready:
            if self._finished:
                raise WireClosed("end of stream")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        stream, data = self._ready.popleft()
        if self._buffered > _BUFFERED >= self._buffered - len(data):
            for outlet in self._outlets:
                outlet.go_on()
        self._buffered -= len(data)
        return stream, data

    async def hang_up(self) -> None:
        """See `Wire.hang_up`."""
        for pipe in (self._inlet, self._desk):
            if pipe is not None:
                pipe.close()
        for outlet in self._outlets:
            outlet.retire()

    async def close(self) -> None:
        """See `Wire.close`."""
        _abort(self._inlet)
        _abort(self._desk)
        for outlet in (*self._outlets, *self._retired):
            outlet.close()

    def arrived(self, stream: int, data: bytes) -> bool:
        """Take what came; returns whether more can be taken just now."""
        self._ready.append((stream, data))
        self._buffered += len(data)
        self._wake()
        return self._buffered <= _BUFFERED

    def ended(self, stream: int) -> None:
        """A stream has come to its end; 0 is the one that is written to.

        After the end of input or of standard output only what is already on its way is of interest.
        """
        self._ended.add(stream)
        if self._ended >= {1, 2}:
            self._finish()
        elif stream < 2:
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._finish)

    def _finish(self) -> None:
        self._finished = bool(self._ended)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ProcessWire(PipeWire):
    """The pipes of a child process.

    Attributes:
        process: whose pipes these are, or were at first.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.process = process

    @classmethod
    async def spawn(cls, argv: Sequence[str], *, env: Mapping[str, str], cwd: str) -> "ProcessWire":
        """Start a process and hold its three streams.

        The process is made by the calling thread: its parent-death signal is tied to that thread, not to the process.

        Raises:
            OSError: it cannot be started.
        """
        ours_in, theirs_out, theirs_err = os.pipe(), os.pipe(), os.pipe()
        theirs = (ours_in[0], theirs_out[1], theirs_err[1])
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - see above; it returns as soon as the program is executed
                argv,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            for fd in (ours_in[1], theirs_out[0], theirs_err[0]):
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        wire = cls(process)
        await wire.take_input(ours_in[1])
        await wire.take_outputs(theirs_out[0], theirs_err[0])
        return wire

    async def close(self) -> None:
        """See `Wire.close`; the process is killed."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await super().close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, _FLUSH_S)


class _Inlet(asyncio.streams.FlowControlMixin):
    """Tells when the far end is gone."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self._tell = ended

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._tell()


async def _writer(fd: int, ended: Callable[[], None] = lambda: None) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(fd, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(lambda: _Inlet(ended), pipe)
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _abort(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None and not writer.is_closing():
        writer.transport.abort()


class _Outlet(asyncio.Protocol):
    """Moves one stream into the wire, or, once retired, to nowhere, so that whoever writes is not blocked."""

    def __init__(self, wire: PipeWire, stream: int) -> None:
        self._wire: PipeWire | None = wire
        self._stream = stream
        self._transport: asyncio.ReadTransport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Those of other event loops, such as uvloop's, are no subclasses.
        self._transport = cast(asyncio.ReadTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._wire is not None and not self._wire.arrived(self._stream, data) and self._transport is not None:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if self._wire is not None:
            self._wire.ended(self._stream)

    def go_on(self) -> None:
        """Read again after a pause."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def retire(self) -> None:
        """Throw away what comes from now on."""
        self._wire = None
        self.go_on()

    def close(self) -> None:
        """Stop reading."""
        self._wire = None
        if self._transport is not None:
            self._transport.close()


def _same(outlet: _Outlet) -> _Outlet:
    return outlet
