"""Byte transports between the orchestrator and one supervisor: what one must do, and the one through a daemon."""

import asyncio
import contextlib
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
