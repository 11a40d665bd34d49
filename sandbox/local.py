"""No isolation: commands run on this machine as the current user. For tests and development, on explicit request only.

The spec's workdir and HOME are replaced by private directories that are removed at the end. Memory, CPU and network
limits do not apply, and a command that clears its environment and starts a new session can outlive its timeout.
"""

import asyncio
import posixpath
import secrets
import shlex
from collections.abc import Collection
from dataclasses import replace

from sandbox.attest import has_private_supervisor
from sandbox.base import SandboxSpec
from sandbox.channel import Channel, ChannelBroken
from sandbox.config import SandboxConfig
from sandbox.errors import BackendUnavailable, SandboxStartError
from sandbox.process import MINIMAL_PATH, Launch, ProcessMachine
from sandbox.scratch import make_scratch, remove_scratch, scratch_leftovers
from sandbox.session import ChannelSandbox
from sandbox.supervisor import private_shell, supervisor_script
from sandbox.transport import TransportClosed

_MARK = "HEATS_LOCAL_SANDBOX"


class LocalBackend:
    """Runs commands on this machine without isolation; see `SandboxBackend`."""

    name = "local"

    def __init__(self, config: SandboxConfig) -> None:
        if not config.unsafe:
            raise BackendUnavailable("the local backend isolates nothing; it needs `--sandbox local --unsafe`")
        self._config = config

    async def preflight(self, images: Collection[str]) -> None:
        """Do nothing; images are ignored."""

    async def start(self, spec: SandboxSpec) -> "LocalSandbox":
        """See `SandboxBackend.start`."""
        if spec.read_only_mounts:
            raise SandboxStartError("the local backend cannot mount anything")
        scratch = make_scratch(self._config.scratch(), self.name, spec.labels)
        for name in ("work", "home", "pipes", "stage"):
            (scratch / name).mkdir()
        mark = secrets.token_hex(8)
        env = {"PATH": MINIMAL_PATH, "HOME": str(scratch / "home"), "LANG": "C.UTF-8", **spec.env, _MARK: mark}
        script = supervisor_script(
            str(scratch / "stage"),
            crowd=spec.limits.pids // 2,
            mark=f"{_MARK}={mark}",
        )
        (scratch / "pipes" / "supervisor").write_text(script, encoding="ascii")
        start = f". {shlex.quote(str(scratch / 'pipes' / 'supervisor'))}"
        argv = private_shell(str(scratch / "stage"), start, sh="/bin/sh")
        launch = Launch(argv, env, scratch, str(scratch / "pipes"), spec.limits.max_life_s)
        machine = LocalMachine(scratch.name, launch, depth=0)
        try:
            channel = await machine.connect()
            machine.private = await has_private_supervisor(channel, secrets.token_hex(16))
        except BaseException as error:
            await asyncio.shield(machine.destroy())
            if isinstance(error, ChannelBroken | TransportClosed):
                raise SandboxStartError(f"cannot start a shell on this machine: {error}") from error
            raise
        machine.channel = channel
        placed = replace(spec, workdir=str(scratch / "work"))
        return LocalSandbox(machine, placed, channel, spec.workdir)

    async def reap(self) -> int:
        """See `SandboxBackend.reap`."""
        found = list(scratch_leftovers(self._config.scratch(), self.name))
        for left in found:
            await asyncio.to_thread(remove_scratch, left.path)
        return len(found)

    async def close(self) -> None:
        """See `SandboxBackend.close`."""


class LocalMachine(ProcessMachine):
    """A child process without namespaces: all of its descendants have to be found and killed before it is closed."""

    channel: Channel | None = None

    async def destroy(self) -> None:
        """See `Machine.destroy`."""
        channel, self.channel = self.channel, None
        if channel is not None and not channel.broken:
            try:
                await channel.kill_all()
            except (ChannelBroken, TransportClosed) as error:
                channel.broken = str(error)
        await super().destroy()


class LocalSandbox(ChannelSandbox):
    """Maps paths below the spec's workdir to the private directory that replaces it."""

    def __init__(self, machine: LocalMachine, spec: SandboxSpec, channel: Channel, wanted: str) -> None:
        super().__init__(machine, spec, channel)
        self._wanted = posixpath.normpath(wanted)

    def locate(self, path: str) -> str:
        """See `ChannelSandbox.locate`."""
        if path == self._wanted or path.startswith(self._wanted + "/"):
            path = path[len(self._wanted) :].lstrip("/")
        return super().locate(path)
