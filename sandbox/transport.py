"""Byte streams to and from a supervisor: a child's pipes, named pipes, or a stream through the Docker daemon."""

import asyncio
import contextlib
import os
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, cast

_CHUNK = 1 << 18
_FLUSH_S = 30.0
_LAST_OUTPUT_S = 0.2
_BUFFERED = 1 << 20
_FRAME_HEADER = 8
_FIFO_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FIFO_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FIFO_HOLD = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class TransportClosed(Exception):
    """The far end, or the connection to it, is gone."""


class Transport(Protocol):
    """Two output streams and one input stream.

    Example:
        >>> async def echo() -> tuple[int, bytes]:
        ...     transport: Transport = await ChildTransport.spawn(["/bin/cat"], env={})
        ...     await transport.send(b"hello")
        ...     received = await transport.receive()
        ...     await transport.close()
        ...     return received
        >>> asyncio.run(echo())
        (1, b'hello')
    """

    async def send(self, data: bytes) -> None:
        """Write all of the data.

        Raises:
            TransportClosed: the far end does not accept it.
        """
        ...

    async def receive(self) -> tuple[int, bytes]:
        """Return the next chunk as (stream, bytes), where stream is 1 or 2. Safe to cancel.

        Raises:
            TransportClosed: the streams have ended.
        """
        ...

    async def hang_up(self) -> None:
        """Close the input, so that the supervisor exits, and discard further output. Never raises."""
        ...

    async def close(self) -> None:
        """Close both directions. Never raises."""
        ...


class PipeTransport:
    """A transport over pipes, which are attached later; see `Transport`."""

    def __init__(self) -> None:
        self._input: asyncio.StreamWriter | None = None
        self._outputs: list[_OutputPipe] = []
        self._discarded: list[_OutputPipe] = []
        self._ready: deque[tuple[int, bytes]] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._ended: set[int] = set()
        self._finished = False

    async def use_input(self, fd: int) -> None:
        """Send through this pipe from now on."""
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(fd, "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(lambda: _InputPipe(partial(self.ended, 0)), pipe)
        self._input = asyncio.StreamWriter(transport, protocol, None, loop)

    async def use_outputs(self, out: int, err: int) -> None:
        """Receive from these pipes from now on, discarding further output from the previous ones."""
        for former in self._outputs:
            former.discard()
        self._discarded = [pipe for pipe in (*self._discarded, *self._outputs) if not pipe.ended]
        self._ready.clear()
        self._buffered = 0
        self._ended &= {0}
        loop = asyncio.get_running_loop()
        self._outputs = [_OutputPipe(self, 1), _OutputPipe(self, 2)]
        for output, fd in zip(self._outputs, (out, err), strict=True):
            pipe = os.fdopen(fd, "rb", buffering=0)
            await loop.connect_read_pipe(partial(_identity, output), pipe)

    async def send(self, data: bytes) -> None:
        """See `Transport.send`."""
        if self._input is None or self._input.is_closing():
            raise TransportClosed("nobody reads any more")
        try:
            self._input.write(data)
            await self._input.drain()
        except (OSError, RuntimeError) as error:
            raise TransportClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        """See `Transport.receive`."""
        while not self._ready:
            if self._finished:
                raise TransportClosed("end of stream")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        stream, data = self._ready.popleft()
        if self._buffered > _BUFFERED >= self._buffered - len(data):
            for output in self._outputs:
                output.resume()
        self._buffered -= len(data)
        return stream, data

    async def hang_up(self) -> None:
        """See `Transport.hang_up`."""
        if self._input is not None:
            self._input.close()
        for output in self._outputs:
            output.discard()

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._input is not None and not self._input.is_closing():
            self._input.transport.abort()
        for output in (*self._outputs, *self._discarded):
            output.close()

    def arrived(self, stream: int, data: bytes) -> bool:
        """Queue output; returns whether the reader can take more right now."""
        self._ready.append((stream, data))
        self._buffered += len(data)
        self._wake()
        return self._buffered <= _BUFFERED

    def ended(self, stream: int) -> None:
        """Record the end of a stream, where 0 is the input.

        Once the input or standard output has ended, only output already in flight is awaited.
        """
        self._ended.add(stream)
        if self._ended >= {1, 2}:
            self._finish()
        elif stream < 2:
            asyncio.get_running_loop().call_later(_LAST_OUTPUT_S, self._finish)

    def _finish(self) -> None:
        self._finished = bool(self._ended)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ChildTransport(PipeTransport):
    """The pipes of a child process.

    Attributes:
        process: the child.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self.process = process

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str = "/",
        pass_fds: Sequence[int] = (),
        thread: Executor | None = None,
    ) -> "ChildTransport":
        """Start a process connected through three pipes.

        Args:
            argv: program and arguments.
            env: its complete environment.
            cwd: its working directory.
            pass_fds: additional file descriptors to inherit.
            thread: executor that starts the process, for state that is specific to its thread. A parent-death signal is
                tied to the starting thread, so that thread must outlive the process.

        Raises:
            OSError: the process cannot be started.
        """
        ours_in, theirs_out, theirs_err = os.pipe(), os.pipe(), os.pipe()
        theirs = (ours_in[0], theirs_out[1], theirs_err[1])

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env=dict(env),
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )

        try:
            # Not awaited: this returns once the program is executing, after a millisecond or two.
            process = start() if thread is None else thread.submit(start).result()
        except BaseException:
            for fd in (ours_in[1], theirs_out[0], theirs_err[0]):
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        transport = cls(process)
        await transport.use_input(ours_in[1])
        await transport.use_outputs(theirs_out[0], theirs_err[0])
        return transport

    async def close(self) -> None:
        """Kill the process and close the pipes; see `Transport.close`."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await super().close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, _FLUSH_S)


class NamedPipes:
    """Named pipes in a folder shared between the orchestrator and a sandbox.

    A pipe is unlinked as soon as both sides have opened it, so processes started later in the sandbox cannot find it.

    Args:
        host: path of the folder on the host.
        inside: its path in the sandbox.
    """

    def __init__(self, host: Path, inside: str) -> None:
        self._host = host
        self._inside = inside
        self._made = 0

    @asynccontextmanager
    async def fresh(self, transport: PipeTransport, *, with_input: bool = False) -> AsyncIterator[list[str]]:
        """Attach new pipes to a transport; the supervisor must open its ends within the context.

        This side opens first, while each other end is held open, so that neither side blocks.

        Args:
            transport: receives both outputs.
            with_input: also create a pipe for the input.

        Yields:
            Paths of the pipes in the sandbox: out, err and, with `with_input`, in.

        Raises:
            TransportClosed: the pipes cannot be created.
        """
        self._made += 1
        paths = [self._host / f"{name}.{self._made}" for name in ("out", "err", "in")[: 3 if with_input else 2]]
        held = []
        try:
            try:
                for path in paths:
                    os.mkfifo(path)
                    path.chmod(0o666)  # the sandbox's user may differ; the folder itself is private
                await transport.use_outputs(*(os.open(path, _FIFO_READ) for path in paths[:2]))
                for path in paths[2:]:
                    held.append(os.open(path, _FIFO_HOLD))
                    await transport.use_input(os.open(path, _FIFO_WRITE))
            except OSError as error:
                raise TransportClosed(f"no pipes in {self._host}: {error.strerror}") from error
            yield [f"{self._inside}/{path.name}" for path in paths]
        finally:
            for fd in held:
                os.close(fd)
            for path in paths:
                path.unlink(missing_ok=True)


class StreamTransport:
    """The hijacked connection of a Docker Engine exec."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = FrameDecoder()
        self._ready: deque[tuple[int, bytes]] = deque()
        self._drain: asyncio.Task[None] | None = None

    async def send(self, data: bytes) -> None:
        """See `Transport.send`."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise TransportClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        """See `Transport.receive`."""
        while not self._ready:
            try:
                data = await self._reader.read(_CHUNK)
            except OSError as error:
                raise TransportClosed(str(error)) from error
            if not data:
                raise TransportClosed("end of stream")
            self._ready.extend(self._frames.feed(data))
        return self._ready.popleft()

    def end_input(self) -> None:
        """Signal end of input to the far end. Never raises."""
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()

    async def hang_up(self) -> None:
        """See `Transport.hang_up`."""
        self.end_input()
        self._drain = asyncio.create_task(self._discard())

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._drain is not None:
            self._drain.cancel()
        self._writer.transport.abort()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._writer.wait_closed()

    async def _discard(self) -> None:
        with contextlib.suppress(OSError):
            while await self._reader.read(_CHUNK):
                pass


class FrameDecoder:
    """Decodes the Docker Engine's attach stream: 1 byte stream, 3 zero bytes, 4 bytes length, payload."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, payload part) for each complete part of `data`, where stream is 1 or 2."""
        at = 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                yield self._stream, part
                continue
            need = _FRAME_HEADER - len(self._header)
            self._header += data[at : at + need]
            at += need
            if len(self._header) == _FRAME_HEADER:
                self._stream = self._header[0]
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""


class _InputPipe(asyncio.streams.FlowControlMixin):
    """Reports when the far end is gone."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self._report = ended

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._report()


class _OutputPipe(asyncio.Protocol):
    """Feeds one stream into the transport or, once discarded, drops it so that the writer does not block."""

    def __init__(self, transport: PipeTransport, stream: int) -> None:
        self._target: PipeTransport | None = transport
        self._stream = stream
        self._pipe: asyncio.ReadTransport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Transports of other event loops, such as uvloop's, are not subclasses.
        self._pipe = cast(asyncio.ReadTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._target is not None and not self._target.arrived(self._stream, data) and self._pipe is not None:
            self._pipe.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if self._target is not None:
            self._target.ended(self._stream)

    def resume(self) -> None:
        """Resume reading after a pause."""
        if self._pipe is not None and not self._pipe.is_closing():
            self._pipe.resume_reading()

    def discard(self) -> None:
        """Drop all further output."""
        self._target = None
        self.resume()

    def close(self) -> None:
        """Stop reading."""
        self._target = None
        if self._pipe is not None:
            self._pipe.close()


def _identity(output: _OutputPipe) -> _OutputPipe:
    return output
