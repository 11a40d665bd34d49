"""Pipes as a wire: those of a child process, or named ones in a folder that both sides see."""

import asyncio
import contextlib
import os
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

from sandbox.channel import Channel
from sandbox.wire import WireClosed

_FLUSH_S = 30.0
_LAST_WORDS_S = 0.2
_BUFFERED = 1 << 20
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class PipeWire:
    """See `sandbox.wire.Wire`. It has no pipes until it is given some."""

    def __init__(self) -> None:
        self._inlet: asyncio.StreamWriter | None = None
        self._outlets: list[_Outlet] = []
        self._retired: list[_Outlet] = []
        self._ready: deque[tuple[int, bytes]] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended: set[int] = set()
        self._finished = False

    async def take_input(self, fd: int) -> None:
        """Send through this pipe from now on."""
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(fd, "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(lambda: _Inlet(self), pipe)
        self._inlet = asyncio.StreamWriter(transport, protocol, None, loop)

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

    async def send(self, data: bytes) -> None:
        """See `Wire.send`."""
        if self._inlet is None or self._inlet.is_closing():
            raise WireClosed("nobody reads any more")
        try:
            self._inlet.write(data)
            await self._inlet.drain()
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
        if self._inlet is not None:
            self._inlet.close()
        for outlet in self._outlets:
            outlet.retire()

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._inlet is not None and not self._inlet.is_closing():
            self._inlet.transport.abort()
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
    """Tells the wire when the far end is gone."""

    def __init__(self, wire: PipeWire) -> None:
        super().__init__()
        self._wire = wire

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._wire.ended(0)


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


class PipeFolder:
    """Named pipes between the orchestrator and a supervisor that sees their folder, too.

    A pipe has a name only until both sides have opened it: what runs in the sandbox later finds an empty folder.
    """

    def __init__(self, host: Path, inside: str) -> None:
        """`host` is the folder's path on this side, `inside` the one on the far side."""
        self._host = host
        self._inside = inside
        self._made = 0

    @asynccontextmanager
    async def fresh(self, wire: PipeWire, *, input_too: bool = False) -> AsyncIterator[list[str]]:
        """New pipes in the hands of a wire; within the context the supervisor has to open its ends.

        Each side opens while the other's end is there, so that neither waits: we first.

        Yields:
            As the supervisor sees them, the pipes for its output, its errors and, where asked, its input.

        Raises:
            WireClosed: they cannot be made.
        """
        self._made += 1
        paths = [self._host / f"{word}.{self._made}" for word in ("out", "err", "in")[: 3 if input_too else 2]]
        held = []
        try:
            try:
                for path in paths:
                    os.mkfifo(path)
                    path.chmod(0o666)  # the sandbox's user may be somebody else; nobody else gets to this folder
                await wire.take_outputs(*(os.open(path, _READ) for path in paths[:2]))
                if input_too:
                    held.append(os.open(paths[2], os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
                    await wire.take_input(os.open(paths[2], _WRITE))
            except OSError as error:
                raise WireClosed(f"no pipes in {self._host}: {error.strerror}") from error
            yield [f"{self._inside}/{path.name}" for path in paths]
        finally:
            for fd in held:
                os.close(fd)
            for path in paths:
                path.unlink(missing_ok=True)

    async def move(self, channel: Channel, wire: PipeWire, *, input_too: bool = False) -> None:
        """Have the supervisor write to a fresh pair of pipes, and read from a fresh one, too, where asked.

        Args:
            channel: a channel whose supervisor answers.
            wire: what the pipes are for; it becomes the channel's wire.

        Raises:
            ChannelBroken, WireClosed: the supervisor did not follow; the channel is unusable.
        """
        async with self.fresh(wire, input_too=input_too) as names:
            await channel.move(wire, *names)
