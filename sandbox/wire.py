"""Byte transports between the orchestrator and one supervisor."""

import asyncio
import contextlib
import os
import socket
from collections import deque
from typing import Protocol

from sandbox.stream import FrameDecoder

_CHUNK = 1 << 18
_FLUSH_S = 30.0


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

    @classmethod
    async def adopt(cls, sock: socket.socket) -> "SocketWire":
        """Take over a connected socket."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock, limit=_CHUNK)
        return cls(reader, writer)

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
    """Standard streams of a child process, or named pipes in their place."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._stdin = process.stdin
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(maxsize=4)
        self._transports: list[asyncio.BaseTransport] = []
        self._pumps = [
            asyncio.create_task(self._pump(1, process.stdout)),
            asyncio.create_task(self._pump(2, process.stderr)),
        ]
        self._drains: list[asyncio.Task[None]] = []

    async def send(self, data: bytes) -> None:
        """See `Wire.send`."""
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except (OSError, RuntimeError) as error:
            raise WireClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        """See `Wire.receive`."""
        stream, data = await self._queue.get()
        if not data and stream == 1:
            self._queue.put_nowait((1, b""))
            raise WireClosed("end of stream")
        return stream, data

    async def switch(self, out: str, err: str) -> None:
        """Read from two named pipes from now on; what still comes on the former ones is thrown away."""
        fresh = [await self._open(path) for path in (out, err)]
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()
        self._drains += [asyncio.create_task(_discard(reader)) for reader in self._readers]
        self._readers = fresh
        self._pumps = [asyncio.create_task(self._pump(number, reader)) for number, reader in enumerate(fresh, 1)]

    async def hang_up(self) -> None:
        """See `Wire.hang_up`."""
        with contextlib.suppress(OSError, RuntimeError):
            self._stdin.close()

    async def close(self) -> None:
        """See `Wire.close`."""
        await self.hang_up()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self.process.wait()
        tasks = [*self._pumps, *self._drains]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in self._transports:
            transport.close()
        # Background processes may hold the pipes for ever; the subprocess transport is told not to wait for them.
        self.process._transport.close()  # type: ignore[attr-defined]

    _readers: list[asyncio.StreamReader]

    async def _open(self, path: str) -> asyncio.StreamReader:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        reader = asyncio.StreamReader(limit=_CHUNK)
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._transports.append(transport)
        return reader

    async def _pump(self, stream: int, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_CHUNK):
            await self._queue.put((stream, data))
        if stream == 1:
            await self._queue.put((1, b""))


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK):
        pass
