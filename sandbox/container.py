"""One Docker container as a machine: how to connect to it, and how to end it."""

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sandbox.base import ExecResult, SharedFolder
from sandbox.channel import Channel
from sandbox.config import SandboxConfig
from sandbox.daemon_exec import DaemonExec
from sandbox.engine import Engine, EngineError, NoSuchObject
from sandbox.errors import BackendUnavailable, SandboxError, SandboxLost
from sandbox.scratch import remove_scratch
from sandbox.supervisor import Request, private_shell, supervisor_script
from sandbox.transport import ChildTransport, NamedPipes, PipeTransport, StreamTransport, Transport, TransportClosed

_log = logging.getLogger(__name__)

CHANNEL_DIR = "/run/heats"
PIPES = f"{CHANNEL_DIR}/pipes"
LABEL = "heats."
_SUPERVISOR = "supervisor"
_FIRST_S = 10.0
_END_WAITS, _END_WAIT_S = 5, 1
_KILL_S = 5.0
_ARGUMENT_BYTES = 120_000
"""Maximum size of one argument that the kernel accepts."""

# As PID 1 of its namespace it receives only one signal from inside, the one it traps, and its `wait` reaps orphans.
# That signal, or killing the sleep, merely shortens the sandbox's life.
FIRST_PROCESS = """trap 'exit 0' USR2
[ -s /etc/hosts ] || printf '%s localhost\\n' 127.0.0.1 ::1 >/etc/hosts
n=$1 tick=$2
shift 2
[ -z "$1" ] || { o=$1 e=$2 i=$3; shift 3; "$@" >"$o" 2>"$e" <"$i" & }
while [ "$n" -gt 0 ]; do
  sleep "$tick" &
  wait "$!"
  n=$((n - 1))
done"""
"""Arguments: lifetime in ticks, seconds per tick, then the result of `supervisor_at_start`."""


class ContainerMachine:
    """One container; see `sandbox.session.Machine`.

    The supervisor starts with the container and communicates through named pipes in a shared host folder. Without such
    a folder, the daemon starts it (`docker exec`) and relays all traffic. Later supervisors are always started by the
    daemon.

    Args:
        engine: the daemon.
        config: how to reach it.
        name: name of the container.
        crowd: see `supervisor_script`.
        user: user that commands run as, if not the container's own.
        folder: host folder mounted in the container as `PIPES`, if any. Its parent is removed with the container.

    Attributes:
        private: whether commands are unable to read the supervisor's memory, as attested by the backend.
    """

    def __init__(
        self,
        engine: Engine,
        config: SandboxConfig,
        name: str,
        *,
        crowd: int = 1,
        user: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.private = False
        self.engine = engine
        self.config = config
        self._folder = folder
        self._pipes = NamedPipes(folder, PIPES) if folder else None
        self._first: PipeTransport | None = None
        self._channel: Channel | None = None
        self._original: Channel | None = None
        self._shell = ""
        self._opening = AsyncExitStack()
        self._program = supervisor_script(CHANNEL_DIR, crowd=crowd)
        self._user = user
        self._transports: list[Transport] = []
        self._gone = False

    @property
    def shared(self) -> SharedFolder | None:
        """See `SharesFolder.shared`."""
        return SharedFolder(self._folder, PIPES) if self._folder else None

    async def commit(self, image: str, changes: Sequence[str]) -> None:
        """Save the container's file system as an image. Its processes keep running and are not saved.

        Args:
            image: `repository:tag` of the new image.
            changes: Dockerfile instructions to apply to its configuration.

        Raises:
            SandboxError: the daemon refused or does not answer.
        """
        repository, _, tag = image.rpartition(":")
        # The commit inherits the container's labels, but the image outlives the owner they name.
        changes = [*changes, *(f'LABEL {LABEL}{key}=""' for key in ("owner", "host"))]
        await self.engine.call(
            "start", self.engine.api.commit, self.name, repository=repository, tag=tag, changes=changes
        )

    async def supervisor_at_start(self) -> list[str]:
        """Open pipes for a supervisor that starts with the container; returns its arguments for `FIRST_PROCESS`.

        The program is passed as a file in the folder, because engine and runtime parse a container's arguments many
        times.

        Raises:
            TransportClosed: the pipes or the file cannot be created.
        """
        if self._pipes is None or self._folder is None:
            return []
        file = self._folder / _SUPERVISOR
        try:
            file.write_text(self._program, encoding="ascii")
            file.chmod(0o444)
        except OSError as error:
            raise TransportClosed(f"{self._folder}: {error.strerror}") from error
        self._first = PipeTransport()
        self._transports.append(self._first)
        pipes = await self._opening.enter_async_context(self._pipes.fresh(self._first, with_input=True))
        return [*pipes, *private_shell(CHANNEL_DIR, f". {PIPES}/{_SUPERVISOR}")]

    async def connect(self) -> Channel:
        """See `Machine.connect`."""
        if self._gone:
            raise SandboxLost(f"{self.name} is removed")
        if self._first is not None:
            self._channel, self._first = Channel(self._first), None
            async with self._opening:
                await self._channel.hello(_FIRST_S)
            self._original, self._shell = self._channel, self._channel.shell
            return self._channel
        channel = Channel(await self._through_daemon())
        self._transports.append(channel.transport)
        try:
            await channel.hello()
            if self._pipes is not None:
                await self._past_daemon(channel, self._pipes)
        except BaseException:
            await self.drop(channel)
            raise
        if not self._shell:
            self._original, self._shell = channel, channel.shell
        return channel

    def vouches_for(self, channel: Channel) -> bool:
        """See `Machine.vouches_for`. Later supervisors start from files that commands may have changed."""
        return self.private and channel is self._original and not channel.broken

    async def _past_daemon(self, channel: Channel, pipes: NamedPipes) -> None:
        through, past = channel.transport, PipeTransport()
        self._transports.append(past)
        try:
            async with pipes.fresh(past, with_input=True) as names:
                await channel.move(past, *names)
        finally:
            for other in {through, past} - {channel.transport}:
                await self._let_go(other)

    async def drop(self, channel: Channel) -> None:
        """See `Machine.drop`."""
        await self._let_go(channel.transport)

    async def refresh(self, channel: Channel) -> Channel:
        """See `Machine.refresh`. The previous connection stays open so that its writers do not block."""
        if self._pipes is not None and isinstance(channel.transport, PipeTransport):
            async with self._pipes.fresh(channel.transport) as names:
                await channel.move(channel.transport, *names)
            return channel
        fresh = await self.connect()
        await channel.transport.hang_up()
        return fresh

    async def run_from_outside(
        self, channel: Channel, request: Request, *, timeout: float, limit: int
    ) -> ExecResult | None:
        """Start the command through the daemon, which also reports its exit code; see `Machine.run_from_outside`.

        Args:
            channel: an idle channel, used to inspect and kill what the command leaves behind.
            request: the command.
            timeout: seconds.
            limit: bytes kept of each stream.

        Returns:
            The result; None if the connection is encrypted or the command exceeds the kernel's argument size.

        Raises:
            ChannelBroken: the supervisor does not answer.
            TransportClosed: the daemon cannot run the command now.
            SandboxLost: the container is gone.
        """
        script = request.setup() + (b"\nexec 2>&1\n" if request.merge_stderr else b"\n") + request.command
        if self.engine.encrypted or len(script) > _ARGUMENT_BYTES:
            return None
        before = await channel.look()
        argv = [self._shell, "-c", script.decode("utf-8", "surrogateescape")]
        run = await DaemonExec.begin(
            self.engine, self.name, argv, user=self._user, stdin=request.stdin or None, limit=limit
        )
        code = None
        try:
            async with asyncio.timeout(timeout):
                code = await run.exit_code()
        except TimeoutError:
            await self._end(run, channel)
        except asyncio.CancelledError:
            await asyncio.shield(self._end(run, channel))
            raise
        finally:
            await run.close()
        return run.result(code, before, await channel.look())

    async def _end(self, run: DaemonExec, channel: Channel) -> None:
        """Kill a command that the daemon started, with all its descendants."""
        deadline = time.monotonic() + _KILL_S
        await channel.kill_all()
        while await run.ended() is None:
            if time.monotonic() > deadline:
                raise TransportClosed("a command could not be ended")
            await asyncio.sleep(0.05)

    async def alive(self) -> bool | None:
        """See `Machine.alive`."""
        try:
            about = await self.engine.call("ask", self.engine.api.inspect_container, self.name)
        except NoSuchObject:
            return False
        except SandboxError:
            return None
        return bool(about["State"]["Running"])

    async def destroy(self) -> None:
        """See `Machine.destroy`. A container that ends by itself costs one process less than one that is killed."""
        if await self._ends_by_itself():
            await self.leave()
            return
        await self.leave()
        try:
            await self.engine.call("remove", self.engine.api.remove_container, self.name, force=True, v=True)
        except NoSuchObject:
            pass
        except EngineError as error:
            if "in progress" not in str(error):
                _log.warning("%s was not removed: %s", self.name, error)
        except SandboxError as error:
            _log.warning("%s was not removed, and ends by itself: %s", self.name, error)

    async def _ends_by_itself(self) -> bool:
        channel, self._channel = self._channel, None
        if channel is None or not await channel.end():
            return False
        for _ in range(_END_WAITS):
            try:
                # Started with `auto_remove`, the container is now removed by the daemon. Once in a few hundred times
                # the daemon does so at the very moment of this call and never answers it.
                done = await self.engine.call("remove", self.engine.api.wait, self.name, _END_WAIT_S, "removed")
                return not done.get("Error")
            except NoSuchObject:
                return True
            except SandboxError:
                if await self.alive() is False:
                    return True
        return False

    async def leave(self) -> None:
        """Close the connections; the container keeps running."""
        self._gone = True
        await self._opening.aclose()
        for transport in self._transports:
            await transport.close()
        self._transports.clear()
        if self._folder is not None:
            await asyncio.to_thread(remove_scratch, self._folder.parent)

    async def _let_go(self, transport: Transport) -> None:
        self._transports.remove(transport)
        await transport.close()

    async def _through_daemon(self) -> Transport:
        argv = list(private_shell(CHANNEL_DIR, self._program))
        if self.config.channel == "cli" or (self.config.channel == "auto" and self.engine.encrypted):
            return await self._through_client(argv)
        try:
            stream = await self.engine.exec_stream(self.name, argv, user=self._user)
            return StreamTransport(stream.reader, stream.writer)
        except NoSuchObject as error:
            raise SandboxLost(f"{self.name} is gone") from error
        except SandboxError as error:
            raise TransportClosed(str(error)) from error

    async def _through_client(self, argv: list[str]) -> Transport:
        docker = shutil.which("docker")
        if docker is None:
            raise BackendUnavailable("this channel needs the docker command-line client on PATH")
        env = self.engine.cli_environment()
        user = ["-u", self._user] if self._user is not None else []
        try:
            return await ChildTransport.spawn([docker, "exec", "-i", *user, self.name, *argv], env=env)
        except OSError as error:
            raise TransportClosed(str(error)) from error
