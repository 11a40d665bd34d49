"""A command that the Docker daemon starts and whose exit code the daemon reports, past anything in the container."""

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
    """One such command, from `begin` to `close`."""

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
        """Start it.

        Args:
            engine: the daemon.
            container: its name.
            argv: the program and its arguments.
            user: as `docker exec --user` takes it; None for the container's own.
            stdin: fed to it; /dev/null when None.
            limit: bytes kept of each stream.

        Raises:
            SandboxLost: the container is gone.
            TransportClosed: the daemon does not start it now.
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
        """Wait until it has ended, and its output with it.

        Raises:
            TransportClosed: the output was cut, or the daemon does not say how it ended.
        """
        while True:
            await asyncio.wait({self._reading}, timeout=_POLL_S)
            code = await self.ended()
            if code is not None:
                # What it left running may hold the output; what is on its way is waited for.
                await asyncio.wait({self._reading}, timeout=_DRAIN_S)
                return code
            if self._reading.done():
                # The stream ends a moment before the daemon knows of the end.
                for _ in range(_SETTLE_STEPS):
                    await asyncio.sleep(_SETTLE_S / _SETTLE_STEPS)
                    if (code := await self.ended()) is not None:
                        return code
                raise TransportClosed("the daemon ended the output of a command that goes on")

    async def ended(self) -> int | None:
        """Its exit code; None while it runs.

        Raises:
            TransportClosed: the daemon does not say.
        """
        try:
            about = await self._engine.call("ask", self._engine.api.exec_inspect, self._id)
        except SandboxError as error:
            raise TransportClosed(str(error)) from error
        return None if about.get("Running") else about.get("ExitCode")

    def result(self, code: int | None, before: Processes, after: Processes) -> ExecResult:
        """What it did.

        Args:
            code: its exit code; None for one that ran out of time.
            before: what was there before it.
            after: what is left of it.
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
        """Let go of its streams. Never raises."""
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
