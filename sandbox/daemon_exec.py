"""Run commands through the Docker daemon, so that nothing in the container can tamper with the exit code."""

import asyncio
import time

from sandbox.base import ExecResult, ExecStatus
from sandbox.channel import Capture, Processes
from sandbox.engine import Engine, NoSuchObject
from sandbox.errors import SandboxError, SandboxLost
from sandbox.transport import StreamTransport, TransportClosed

_POLL_S = 1.0
_DRAIN_S = 3.0
_SETTLE_S, _SETTLE_STEPS = 0.5, 25


class DaemonExec:
    """One command started by the daemon, from `begin` to `close`."""

    def __init__(self, engine: Engine, exec_id: str, transport: StreamTransport, limit: int) -> None:
        self._engine = engine
        self._id = exec_id
        self._transport = transport
        self._captures = {1: Capture(limit), 2: Capture(limit)}
        self._began = time.monotonic()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def begin(
        cls, engine: Engine, container: str, argv: list[str], *, user: str | None, stdin: bytes | None, limit: int
    ) -> "DaemonExec":
        """Start a command.

        Args:
            engine: the daemon.
            container: name of the container.
            argv: program and arguments.
            user: in the syntax of `docker exec --user`; None for the container's own.
            stdin: data for its standard input; /dev/null if None.
            limit: bytes kept of each stream.

        Raises:
            SandboxLost: the container is gone.
            TransportClosed: the daemon cannot start it now.
        """
        try:
            stream = await engine.exec_stream(container, argv, user=user, stdin=stdin is not None)
        except NoSuchObject as error:
            raise SandboxLost(f"{container} is gone") from error
        except SandboxError as error:
            raise TransportClosed(str(error)) from error
        transport = StreamTransport(stream.reader, stream.writer)
        started = cls(engine, stream.exec_id, transport, limit)
        if stdin is not None:
            started._feeding = asyncio.create_task(started._feed(stdin))
        return started

    async def exit_code(self) -> int:
        """Wait for the command and its output to end, and return the exit code.

        Raises:
            TransportClosed: the output was cut off, or the daemon does not report the exit code.
        """
        while True:
            await asyncio.wait({self._reading}, timeout=_POLL_S)
            code = await self.ended()
            if code is not None:
                # Processes left running may hold the output open; wait only for what is in flight.
                await asyncio.wait({self._reading}, timeout=_DRAIN_S)
                return code
            if self._reading.done():
                # The stream ends slightly before the daemon records the exit.
                for _ in range(_SETTLE_STEPS):
                    await asyncio.sleep(_SETTLE_S / _SETTLE_STEPS)
                    if (code := await self.ended()) is not None:
                        return code
                raise TransportClosed("the daemon closed the output of a running command")

    async def ended(self) -> int | None:
        """Return the exit code, or None while the command runs.

        Raises:
            TransportClosed: the daemon does not say.
        """
        try:
            about = await self._engine.call("ask", self._engine.api.exec_inspect, self._id)
        except SandboxError as error:
            raise TransportClosed(str(error)) from error
        return None if about.get("Running") else about.get("ExitCode")

    def result(self, code: int | None, before: Processes, after: Processes) -> ExecResult:
        """Build the command's result.

        Args:
            code: exit code; None if it timed out.
            before: process counts before the command.
            after: process counts after it.
        """
        status: ExecStatus = "timeout" if code is None else "exited"
        if code and after.memory_kills > before.memory_kills:
            status, code = "oom", None
        out, err = self._captures[1], self._captures[2]
        return ExecResult(
            status=status,
            exit_code=code,
            stdout=out.value(),
            stderr=err.value(),
            stdout_total=out.total,
            stderr_total=err.total,
            duration_s=time.monotonic() - self._began,
            left_running=after.left,
        )

    async def close(self) -> None:
        """Close its streams. Never raises."""
        for task in (self._reading, self._feeding):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._transport.close()

    _feeding: asyncio.Task[None] | None = None

    async def _read(self) -> None:
        try:
            while True:
                stream, data = await self._transport.receive()
                self._captures[stream].add(data)
        except TransportClosed:
            return

    async def _feed(self, data: bytes) -> None:
        try:
            await self._transport.send(data)
        except TransportClosed:
            return
        self._transport.end_input()
