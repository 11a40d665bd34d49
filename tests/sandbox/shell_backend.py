"""An example of a sandbox backend: any program that gives a shell with attached streams, here `docker run -i`.

It stands for `kubectl run`, `apptainer exec`, `ssh` and the like. It is short because `ProcessMachine` and the
supervisor provide timeouts, records, bounded output and files; docs/sandbox-backends.md walks through it.
"""

import asyncio
import secrets
import shutil
from collections.abc import Collection
from dataclasses import replace

from core.record import Config
from sandbox import BackendUnavailable, SandboxConfig, SandboxSpec, SandboxStartError
from sandbox.attest import attest, checked_mounts
from sandbox.channel import ChannelBroken
from sandbox.process import MINIMAL_PATH, Launch, ProcessMachine
from sandbox.scratch import make_scratch, remove_scratch, scratch_leftovers
from sandbox.session import ChannelSandbox
from sandbox.supervisor import private_shell, supervisor_script
from sandbox.transport import TransportClosed

STAGE, PIPES = "/run/heats", "/run/heats-pipes"


class ShellBackend:
    """See `sandbox.base.SandboxBackend`."""

    name = "shell"

    class Options(Config):
        """`sandbox.options` for this backend."""

        program: str = "docker"

    def __init__(self, config: SandboxConfig, *, options: Options) -> None:
        self._config = config
        self._program = shutil.which(options.program)
        if self._program is None:
            raise BackendUnavailable(f"there is no program {options.program!r} on PATH")

    async def preflight(self, images: Collection[str]) -> None:
        """Do nothing: the daemon reports problems at the first start."""

    async def start(self, spec: SandboxSpec) -> ChannelSandbox:
        """See `SandboxBackend.start`."""
        spec = replace(spec, image=spec.image or self._config.image or "heats-base:latest")
        scratch = make_scratch(self._config.scratch(), self.name, spec.labels)
        (scratch / "pipes").mkdir()
        script = supervisor_script(STAGE, crowd=spec.limits.pids // 2)
        flags = [f"--volume={scratch}/pipes:{PIPES}:ro", f"--tmpfs={STAGE}:exec,mode=1777"]
        flags += [f"--tmpfs=/tmp:exec,mode=1777,size={spec.limits.tmp_mb}m", f"--user={spec.user}"]
        flags += [f"--env={name}={value}" for name, value in spec.env.items()]
        flags += [f"--volume={host}:{path}:ro" for host, path in checked_mounts(spec.read_only_mounts).items()]
        flags += [f"--memory={spec.limits.memory_mb}m", f"--pids-limit={spec.limits.pids}", "--network=none"]
        flags += ["--cap-drop=ALL", "--security-opt=no-new-privileges", f"--workdir={spec.workdir}"]
        argv = [str(self._program), "run", "--rm", "--interactive", *flags, spec.image, *private_shell(STAGE, script)]
        launch = Launch(argv, {"PATH": MINIMAL_PATH}, scratch, PIPES, spec.limits.max_life_s)
        # Its supervisor is not a descendant of the started program, so it cannot be vouched for from here.
        machine = ProcessMachine(scratch.name, launch, depth=0)
        try:
            channel = await machine.connect()
            await attest(channel, spec, secrets.token_hex(16), seccomp=True)
        except BaseException as error:
            await asyncio.shield(machine.destroy())
            if isinstance(error, ChannelBroken | TransportClosed):
                raise SandboxStartError(f"{self._program} did not start a sandbox: {error}") from error
            raise
        return ChannelSandbox(machine, spec, channel)

    async def reap(self) -> int:
        """See `SandboxBackend.reap`."""
        found = list(scratch_leftovers(self._config.scratch(), self.name))
        for left in found:
            await asyncio.to_thread(remove_scratch, left.path)
        return len(found)

    async def close(self) -> None:
        """Do nothing: nothing is open."""
