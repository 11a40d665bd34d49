"""One Docker container as a machine: ways into it, and its end."""

import logging
import shutil

from sandbox.channel import Channel
from sandbox.config import SandboxConfig
from sandbox.engine import Engine, EngineError, NoSuchObject
from sandbox.errors import BackendUnavailable, SandboxError, SandboxLost
from sandbox.supervisor import supervisor_script
from sandbox.wire import PipeWire, SocketWire, Wire, WireClosed

_log = logging.getLogger(__name__)

CHANNEL_DIR = "/run/heats"
LABEL = "heats."


class ContainerMachine:
    """One container; see `sandbox.session.Machine`."""

    def __init__(
        self, engine: Engine, config: SandboxConfig, name: str, *, crowd: int = 1, user: str | None = None
    ) -> None:
        self.name = name
        self.engine = engine
        self.config = config
        self._crowd = crowd
        self._user = user
        self._wires: list[Wire] = []
        self._gone = False

    async def connect(self) -> Channel:
        """See `Machine.connect`."""
        if self._gone:
            raise SandboxLost(f"{self.name} is removed")
        channel = Channel(await self._wire())
        self._wires.append(channel.wire)
        try:
            await channel.hello()
        except BaseException:
            await self.drop(channel)
            raise
        return channel

    async def drop(self, channel: Channel) -> None:
        """See `Machine.drop`."""
        self._wires.remove(channel.wire)
        await channel.wire.close()

    async def refresh(self, channel: Channel) -> Channel:
        """See `Machine.refresh`: the former connection stays open, so that whoever writes to it is not blocked."""
        fresh = await self.connect()
        await channel.wire.hang_up()
        return fresh

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
        """See `Machine.destroy`."""
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

    async def leave(self) -> None:
        """Close the connections; the container goes on."""
        self._gone = True
        for wire in self._wires:
            await wire.close()
        self._wires.clear()

    async def _wire(self) -> Wire:
        argv = ["sh", "-c", supervisor_script(CHANNEL_DIR, crowd=self._crowd)]
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
            return await PipeWire.spawn([docker, "exec", "-i", *user, self.name, *argv], env=env, cwd="/")
        except OSError as error:
            raise WireClosed(str(error)) from error
