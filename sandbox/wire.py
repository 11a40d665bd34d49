"""Byte transports between the orchestrator and one supervisor."""

import asyncio
import contextlib
import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from sandbox.stream import FrameDecoder

_CHUNK = 1 << 18
_FLUSH_S = 30.0
_LAST_WORDS_S = 0.2


class WireClosed(Exception):
    """The far end is gone, or the connection to it."""


class Wire(Protocol):
    """Two output streams and one input stream."""

    async def send(self, data: bytes) -> None:
        """Write everything.

        Raises:
            WireClosed: the far end does not take it.
        """
        ...

    async def receive(self) -> tuple[int, bytes]:
        """The next (stream, bytes); stream is 1 or 2. Safe to cancel.

        Raises:
            WireClosed: nothing more will come.
        """
        ...

    async def hang_up(self) -> None:
        """Close the input, so that the supervisor ends; what still comes is thrown away. Never raises."""
        ...

    async def close(self) -> None:
        """Close both directions. Never raises."""
        ...


class SocketWire:
    """The hijacked connection of an exec on the Docker Engine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = FrameDecoder()
        self._ready: deque[tuple[int, bytes]] = deque()
        self._drain: asyncio.Task[None] | None = None

    async def send(self, data: bytes) -> None:
        """See `Wire.send`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise WireClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        """See `Wire.receive`."""
        while not self._ready:
            try:
                data = await self._reader.read(_CHUNK)
            except OSError as error:
                raise WireClosed(str(error)) from error
            if not data:
                raise WireClosed("end of stream")
            self._ready.extend(self._frames.feed(data))
        return self._ready.popleft()

    async def hang_up(self) -> None:
        """See `Wire.hang_up`."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()
        self._drain = asyncio.create_task(self._throw_away())

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._drain is not None:
            self._drain.cancel()
        self._writer.transport.abort()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._writer.wait_closed()

    async def _throw_away(self) -> None:
        with contextlib.suppress(OSError):
            while await self._reader.read(_CHUNK):
                pass


class PipeWire:
    """Pipes of a child process, or named pipes in their place."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: asyncio.WriteTransport, fed: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self._stdin_transport = stdin
        self._stdin = fed
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(maxsize=4)
        self._readers: list[_Reader] = []
        self._retired: list[_Reader] = []
        self._ended: set[int] = set()

    @classmethod
    async def spawn(cls, argv: Sequence[str], *, env: Mapping[str, str], cwd: str) -> "PipeWire":
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
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(ours_in[1], "wb", buffering=0)
        )
        wire = cls(process, transport, asyncio.StreamWriter(transport, protocol, None, loop))
        wire._readers = [await wire._attach(1, theirs_out[0]), await wire._attach(2, theirs_err[0])]
        return wire

    async def send(self, data: bytes) -> None:
        """See `Wire.send`."""
        if self._stdin_transport.is_closing():
            raise WireClosed("the process does not read any more")
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except (OSError, RuntimeError) as error:
            raise WireClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        """See `Wire.receive`."""
        while True:
            # After the end of standard output only what is already on its way is of interest.
            try:
                async with asyncio.timeout(_LAST_WORDS_S if 1 in self._ended else None):
                    stream, data = await self._queue.get()
            except TimeoutError:
                raise WireClosed("end of stream") from None
            if data:
                return stream, data
            self._ended.add(stream)
            if self._ended == {1, 2}:
                self._queue.put_nowait((stream, b""))
                raise WireClosed("end of stream")

    async def switch(self, out: str, err: str) -> None:
        """Read from two named pipes from now on; what still comes on the former ones is thrown away."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        former, self._readers = self._readers, []
        for reader in former:
            await reader.retire()
        self._retired += former
        while not self._queue.empty():
            self._queue.get_nowait()
        self._ended.clear()
        self._readers = [await self._attach(number, os.open(path, flags)) for number, path in ((1, out), (2, err))]

    async def hang_up(self) -> None:
        """See `Wire.hang_up`."""
        self._stdin_transport.close()

    async def close(self) -> None:
        """See `Wire.close`."""
        if not self._stdin_transport.is_closing():
            self._stdin_transport.abort()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, _FLUSH_S)
        for reader in (*self._readers, *self._retired):
            await reader.close()

    async def _attach(self, stream: int, fd: int) -> "_Reader":
        reader = asyncio.StreamReader(limit=_CHUNK)
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        return _Reader(stream, reader, transport, self._queue)


class _Reader:
    """Moves one stream into the wire's queue, or, once retired, to nowhere."""

    def __init__(
        self,
        stream: int,
        reader: asyncio.StreamReader,
        transport: asyncio.ReadTransport,
        queue: asyncio.Queue[tuple[int, bytes]],
    ) -> None:
        self._reader = reader
        self._transport = transport
        self._task = asyncio.create_task(self._pump(stream, queue))

    async def retire(self) -> None:
        """Throw away what comes from now on, so that whoever writes is not blocked."""
        await self._stop()
        self._task = asyncio.create_task(self._discard())

    async def close(self) -> None:
        """Stop reading."""
        await self._stop()
        self._transport.close()

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _pump(self, stream: int, queue: asyncio.Queue[tuple[int, bytes]]) -> None:
        while data := await self._reader.read(_CHUNK):
            await queue.put((stream, data))
        await queue.put((stream, b""))

    async def _discard(self) -> None:
        while await self._reader.read(_CHUNK):
            pass
