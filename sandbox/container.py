"""One Docker container as a machine: ways into it, and its end."""

import asyncio
import logging
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

from sandbox.channel import Channel
from sandbox.config import SandboxConfig
from sandbox.engine import Engine, EngineError, NoSuchObject
from sandbox.errors import BackendUnavailable, SandboxError, SandboxLost
from sandbox.launcher import LAUNCHER
from sandbox.pipefolder import OUTPUTS, PipeFolder
from sandbox.pipes import PipeWire, ProcessWire
from sandbox.scratch import remove_scratch
from sandbox.supervisor import supervisor_script
from sandbox.wire import SocketWire, Wire, WireClosed

_log = logging.getLogger(__name__)

CHANNEL_DIR = "/run/heats"
PIPES = f"{CHANNEL_DIR}/pipes"
LABEL = "heats."
_SUPERVISOR = "supervisor"
_FIRST_S = 10.0
_END_WAITS, _END_WAIT_S = 5, 1

# As PID 1 of its name space it hears, of what is sent from inside, only the one signal that it listens to, and `wait`
# takes care of orphans. That signal, or killing the sleep, only shortens the sandbox's own life.
KEEPER = """trap 'exit 0' USR2
[ -s /etc/hosts ] || printf '%s localhost\\n' 127.0.0.1 ::1 >/etc/hosts
[ -z "$3" ] || { . "$3"; } >"$4" 2>"$5" <"$6" &
n=0
while [ "$n" -lt "$1" ]; do
  sleep "$2" &
  wait "$!"
  n=$((n + 1))
done"""
"""Arguments: ticks of life, seconds of a tick, and maybe the supervisor's file and its pipes (`furnish`)."""


class ContainerMachine:
    """One container; see `sandbox.session.Machine`.

    The supervisor starts with the container and speaks through named pipes in a folder of ours that the container sees;
    a later one, and the first where there is no such folder, is started by the daemon (`docker exec`), which copies all
    that goes back and forth unless there is a folder.

    Args:
        folder: seen in the container as `PIPES`; None where there is none. Its parent is removed with the container.
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
        self.engine = engine
        self.config = config
        self._folder = folder
        self._pipes = PipeFolder(folder, PIPES) if folder else None
        self._first: PipeWire | None = None
        self._channel: Channel | None = None
        self._opening = AsyncExitStack()
        launcher = f"{PIPES}/{LAUNCHER}" if folder else ""
        self._program = supervisor_script(CHANNEL_DIR, crowd=crowd, launcher=launcher)
        self._user = user
        self._wires: list[Wire] = []
        self._gone = False

    async def furnish(self) -> list[str]:
        """Open pipes for a supervisor that starts with the container; returns what `KEEPER` needs for that.

        Its program is a file of the folder: engine and runtime read a container's arguments a dozen times.

        Raises:
            WireClosed: pipes or file cannot be made.
        """
        if self._pipes is None or self._folder is None:
            return []
        file = self._folder / _SUPERVISOR
        try:
            file.write_text(self._program, encoding="ascii")
            file.chmod(0o444)
        except OSError as error:
            raise WireClosed(f"{self._folder}: {error.strerror}") from error
        self._first = PipeWire()
        self._wires.append(self._first)
        pipes = await self._opening.enter_async_context(self._pipes.fresh(self._first, (*OUTPUTS, "in")))
        return [f"{PIPES}/{_SUPERVISOR}", *pipes]

    async def connect(self) -> Channel:
        """See `Machine.connect`."""
        if self._gone:
            raise SandboxLost(f"{self.name} is removed")
        if self._first is not None:
            self._channel, self._first = Channel(self._first), None
            async with self._opening:
                await self._channel.hello(_FIRST_S)
            return self._channel
        channel = Channel(await self._wire())
        self._wires.append(channel.wire)
        try:
            await channel.hello()
            if self._pipes is not None:
                await self._past_the_daemon(channel, self._pipes)
        except BaseException:
            await self.drop(channel)
            raise
        return channel

    async def _past_the_daemon(self, channel: Channel, pipes: PipeFolder) -> None:
        through, wire = channel.wire, PipeWire()
        self._wires.append(wire)
        try:
            await pipes.move(channel, wire, (*OUTPUTS, "in"))
        finally:
            for other in {through, wire} - {channel.wire}:
                await self._let_go(other)

    async def drop(self, channel: Channel) -> None:
        """See `Machine.drop`."""
        await self._let_go(channel.wire)

    async def refresh(self, channel: Channel) -> Channel:
        """See `Machine.refresh`: the former connection stays open, so that whoever writes to it is not blocked."""
        if self._pipes is not None and isinstance(channel.wire, PipeWire):
            await self._pipes.move(channel, channel.wire)
            return channel
        fresh = await self.connect()
        await channel.wire.hang_up()
        return fresh

    async def hire(self, channel: Channel) -> None:
        """See `Machine.hire`."""
        if self._pipes is not None:
            await self._pipes.hire(channel)

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
        """See `Machine.destroy`. A container that ends by itself costs a process less than one that is killed."""
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
                # The daemon removes it then, since it was started with `auto_remove`. Once in some hundred times it
                # has done so in the same moment, and never answers.
                done = await self.engine.call("remove", self.engine.api.wait, self.name, _END_WAIT_S, "removed")
                return not done.get("Error")
            except NoSuchObject:
                return True
            except SandboxError:
                if await self.alive() is False:
                    return True
        return False

    async def leave(self) -> None:
        """Close the connections; the container goes on."""
        self._gone = True
        await self._opening.aclose()
        for wire in self._wires:
            await wire.close()
        self._wires.clear()
        if self._folder is not None:
            await asyncio.to_thread(remove_scratch, self._folder.parent)

    async def _let_go(self, wire: Wire) -> None:
        self._wires.remove(wire)
        await wire.close()

    async def _wire(self) -> Wire:
        argv = ["sh", "-c", self._program]
        if self.config.channel == "cli" or (self.config.channel == "auto" and self.engine.encrypted):
            return await self._cli_wire(argv)
        try:
            return SocketWire(*await self.engine.exec_stream(self.name, argv, user=self._user))
        except NoSuchObject as error:
            raise SandboxLost(f"{self.name} is gone") from error
        except SandboxError as error:
            raise WireClosed(str(error)) from error

    async def _cli_wire(self, argv: list[str]) -> Wire:
        docker = shutil.which("docker")
        if docker is None:
            raise BackendUnavailable("this channel needs the docker command line client on PATH")
        env = self.engine.cli_environment()
        user = ["-u", self._user] if self._user is not None else []
        try:
            return await ProcessWire.spawn([docker, "exec", "-i", *user, self.name, *argv], env=env, cwd="/")
        except OSError as error:
            raise WireClosed(str(error)) from error
