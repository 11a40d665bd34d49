"""A `Sandbox` on top of a machine and a channel into it. Backends differ only in their `Machine`."""

import asyncio
import logging
import posixpath
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

from sandbox import files
from sandbox.base import ExecResult, SandboxSpec, SharedFolder, SharesFolder
from sandbox.channel import Channel, ChannelBroken
from sandbox.errors import SandboxLost
from sandbox.supervisor import Request
from sandbox.transport import TransportClosed

_log = logging.getLogger(__name__)

_FILE_S = 120.0
_LOOKS = 5
_LOOK_PAUSE_S = 0.1
_REOPEN_PAUSES_S = (0.0, 0.2, 1.0, 3.0, 8.0)


class Machine(Protocol):
    """The backend-specific half of a running sandbox: how to reach it, and how to end it.

    Example:
        Any backend's sandbox exposes its machine:

        >>> from sandbox import SandboxConfig, open_backend
        >>> async def outlives_close() -> bool | None:
        ...     backend = await open_backend(SandboxConfig(backend="local", unsafe=True))
        ...     sandbox = await backend.start(SandboxSpec(image=""))
        ...     machine: Machine = sandbox.machine
        ...     await sandbox.close()
        ...     return await machine.alive()
        >>> asyncio.run(outlives_close())
        False
    """

    name: str

    async def connect(self) -> Channel:
        """Open a channel whose supervisor answers.

        Raises:
            ChannelBroken: no answer for now; a later attempt may succeed.
            TransportClosed: no connection for now; a later attempt may succeed.
            SandboxLost: no attempt can succeed any more.
        """
        ...

    async def refresh(self, channel: Channel) -> Channel:
        """Provide streams for the next command that no earlier process holds open. Raises as `connect`."""
        ...

    async def drop(self, channel: Channel) -> None:
        """Release a broken channel. Never raises."""
        ...

    def vouches_for(self, channel: Channel) -> bool:
        """Return whether the channel's records cannot be forged.

        That is the case if its supervisor was started before any command, and nothing in the sandbox can read its
        memory or use its pipes.
        """
        ...

    async def run_from_outside(
        self, channel: Channel, request: Request, *, timeout: float, limit: int
    ) -> ExecResult | None:
        """Run a command without the supervisor and learn its exit code from outside the sandbox.

        Args:
            channel: an idle channel, used to inspect and kill what the command leaves behind.
            request: the command.
            timeout: seconds.
            limit: bytes kept of each stream.

        Returns:
            The result; None if this machine cannot do it.

        Raises:
            ChannelBroken: see `connect`.
            TransportClosed: see `connect`.
            SandboxLost: see `connect`.
        """
        ...

    async def alive(self) -> bool | None:
        """Return whether the machine runs; None if this cannot be determined now."""
        ...

    async def destroy(self) -> None:
        """Remove the machine. Never raises; may be called twice."""
        ...


class ChannelSandbox:
    """A `Sandbox` that runs one command at a time; concurrent callers wait.

    Args:
        machine: runs the commands.
        spec: the spec it was started with.
        channel: an open channel on which no command has run yet.
        persistent: if False, a new channel is opened for each command.
    """

    def __init__(self, machine: Machine, spec: SandboxSpec, channel: Channel, *, persistent: bool = True) -> None:
        self.machine = machine
        self.spec = spec
        self._channel = channel
        self._persistent = persistent
        self._lock = asyncio.Lock()
        self._closed = False
        self._with_it: list[Callable[[], Awaitable[None]]] = []
        self._ended_by: SandboxLost | None = None

    @property
    def shared(self) -> SharedFolder | None:
        """See `SharesFolder.shared`."""
        return self.machine.shared if isinstance(self.machine, SharesFolder) else None

    @property
    def closed(self) -> bool:
        """Whether it was closed, or ended by `end_with`."""
        return self._closed

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        merge_stderr: bool = False,
        trusted_exit: bool = False,
    ) -> ExecResult:
        """Run a shell command; see `Sandbox.exec`.

        Args:
            command: refused with exit code 126 if it is not valid text or contains NUL.
            timeout: seconds.
            cwd: absolute, or relative to the spec's workdir.
            env: added to the spec's environment.
            stdin: data for the command's standard input; /dev/null if None.
            merge_stderr: interleave standard error into stdout.
            trusted_exit: kill leftovers first and take the exit code from a trusted source.

        Returns:
            The outcome, with up to `limits.output_bytes` of each stream.

        Raises:
            SandboxLost: the sandbox is gone.
        """
        try:
            data = command.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return _refused("the command is not text")
        if b"\0" in data:
            return _refused("the command contains a NUL byte")
        directory = self.locate(cwd or "")
        request = Request(secrets.token_hex(16), data, directory, dict(env or {}), stdin, merge_stderr)
        return await self._run(request, timeout, self.spec.limits.output_bytes, trusted=trusted_exit)

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """See `Sandbox.read_file`."""
        target = self.locate(path)
        script = files.read_script(target, max_bytes)
        # Reading changes nothing, so unlike other commands it can safely be repeated.
        for _ in range(2):
            result = await self._run(self._file_request(script), _FILE_S, 2 * max_bytes + 2)
            if result.status != "indeterminate":
                return files.read_outcome(path, result, max_bytes)
        raise SandboxLost(f"{self.machine.name}: the channel broke twice while {path} was read")

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write one regular file; see `Sandbox.write_file`.

        Args:
            path: absolute, or relative to the spec's workdir.
            data: the complete content.
            mode: permission bits.

        Raises:
            FileAccessError: the path cannot be written.
            SandboxLost: the sandbox is gone.
        """
        target = self.locate(path)
        result = await self._run(self._file_request(files.write_script(target, mode), data), _FILE_S, 4096)
        files.write_outcome(path, result)

    async def kill_all(self) -> None:
        """See `Sandbox.kill_all`."""
        async with self._lock:
            await self._clear(await self._ready())

    async def close(self) -> None:
        """See `Sandbox.close`."""
        if self._closed:
            return
        self._closed = True
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.wait({ending})  # nobody closes it again, so what has begun has to end
            raise

    def closes(self, other: Callable[[], Awaitable[None]]) -> None:
        """End something on the host together with the sandbox; `other` must not raise."""
        self._with_it.append(other)

    async def _end(self) -> None:
        for other in self._with_it:
            await other()
        await self.machine.destroy()

    async def end_with(self, error: SandboxLost) -> None:
        """Terminate the sandbox; the running command and all later ones raise `error`. Never raises."""
        self._ended_by = self._ended_by or error
        await self.close()

    def locate(self, path: str) -> str:
        """Resolve a caller's path to an absolute path in the sandbox."""
        return posixpath.join(self.spec.workdir, path)

    def _file_request(self, script: bytes, data: bytes | None = None) -> Request:
        # An image may set BASH_ENV to a script that prints; that output must not end up in a file's content.
        return Request(secrets.token_hex(16), script, "/", {"BASH_ENV": "", "LC_ALL": "C"}, data)

    async def _run(self, request: Request, timeout: float, limit: int, *, trusted: bool = False) -> ExecResult:
        async with self._lock:
            channel = await self._ready()
            if trusted:
                channel = await self._clear(channel)
                result = await self._run_trusted(channel, request, timeout, limit)
            else:
                result = await self._run_here(channel, request, timeout, limit)
            if channel.broken and self._ended_by is not None:
                raise self._ended_by
            if channel.broken and await self._died():
                raise SandboxLost(f"{self.machine.name} ended while a command was running ({channel.broken})")
            if not self._persistent and not channel.broken:
                channel.tainted = True
            return result

    async def _run_trusted(self, channel: Channel, request: Request, timeout: float, limit: int) -> ExecResult:
        if self.machine.vouches_for(channel):
            return replace(await self._run_here(channel, request, timeout, limit), trusted=True)
        try:
            outcome = await self.machine.run_from_outside(channel, request, timeout=timeout, limit=limit)
        except (ChannelBroken, TransportClosed) as error:
            channel.broken = channel.broken or str(error)
            return ExecResult("indeterminate", None, b"", trusted=True)
        if outcome is not None:
            return replace(outcome, trusted=True)
        return await channel.run(request, timeout=timeout, limit=limit)

    async def _run_here(self, channel: Channel, request: Request, timeout: float, limit: int) -> ExecResult:
        """Run through the supervisor. A record that arrives after the supervisor was replaced proves nothing."""
        vouched = self.machine.vouches_for(channel)
        result = await channel.run(request, timeout=timeout, limit=limit)
        if vouched and not self.machine.vouches_for(channel):
            return replace(result, status="indeterminate", exit_code=None)
        return result

    async def _clear(self, channel: Channel) -> Channel:
        """Kill what commands left behind; returns the channel to use from now on."""
        try:
            await channel.kill_all()
            return channel
        except (ChannelBroken, TransportClosed) as error:
            channel.broken = str(error)
            # A new channel starts by killing everything.
            return await self._ready()

    async def _died(self) -> bool:
        """Whether the channel broke because the machine ended, which the daemon notices with a delay."""
        for _ in range(_LOOKS):
            if (alive := await self.machine.alive()) is not True:
                return alive is False
            await asyncio.sleep(_LOOK_PAUSE_S)
        return False

    async def _ready(self) -> Channel:
        """Return a working channel: the current one or a new one."""
        channel = self._channel
        self._check_open()
        if not channel.broken and not channel.tainted:
            return channel
        for pause in _REOPEN_PAUSES_S:
            self._check_open()
            await asyncio.sleep(pause)
            try:
                self._channel = await self._open(channel)
                return self._channel
            except (ChannelBroken, TransportClosed) as error:
                _log.info("%s: no channel: %s", self.machine.name, error)
                channel.broken = channel.broken or str(error)
                if await self.machine.alive() is False:
                    break
        raise SandboxLost(f"{self.machine.name} can no longer be reached")

    def _check_open(self) -> None:
        if self._closed:
            raise self._ended_by or SandboxLost(f"{self.machine.name} is closed")

    async def _open(self, former: Channel) -> Channel:
        if not former.broken:
            return await self.machine.refresh(former)
        fresh = await self.machine.connect()
        # The state of the interrupted command is unknown; it must not run alongside the next one.
        await fresh.kill_all()
        await self.machine.drop(former)
        return fresh


def _refused(why: str) -> ExecResult:
    message = f"heats: {why}\n".encode()
    return ExecResult("exited", 126, b"", message, 0, len(message))
