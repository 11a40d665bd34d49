"""The contract of sandboxes: one isolated machine per rollout, reached through one command channel.

A `SandboxBackend` starts sandboxes from a `SandboxSpec`; a `Sandbox` runs commands and moves single files. Backends of
your own plug in (docs/sandbox-backends.md). Agent conventions, such as how work is submitted, do not belong here.

Example:
    async with asyncio.timeout(600):
        backend = await open_backend(SandboxConfig())
        sandbox = await backend.start(SandboxSpec(image="", labels={"run": "example"}))
        result = await sandbox.exec("python3 --version", timeout=20)
        assert result.ok, result.text()
        await sandbox.close()
        await backend.close()
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import Field

from core.record import Config

ExecStatus = Literal["exited", "timeout", "oom", "indeterminate"]
Network = Literal["none", "bridge"]
Profile = Literal["strict", "machine"]
"""`strict`: no capabilities, no set-uid programs, /tmp in memory. `machine`: what `docker run` gives, for tasks whose
work is the state of a whole machine (services, users, /tmp on its disk); Docker only."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What one command did.

    Attributes:
        status: `exited` has an exit code (128 + n for signal n); `timeout` and `oom` were killed by the sandbox;
            `indeterminate` means the completion record never arrived: nothing may be concluded from it.
        exit_code: None unless the status is `exited`.
        stdout: bytes as captured; beyond the cap, head and tail are kept and a line in between states the cut.
        stderr: likewise; empty when it was merged into stdout.
        stdout_total: bytes that the command wrote, cut or not.
        stderr_total: likewise.
        duration_s: wall time in seconds, by a monotonic clock.
        left_running: processes of this command that were still alive when its shell ended.
        trusted: `trusted_exit` was asked for and kept: nothing in the sandbox but the command itself could decide
            status and exit code. False means that the backend does not promise it.
    """

    status: ExecStatus
    exit_code: int | None
    stdout: bytes
    stderr: bytes = b""
    stdout_total: int = 0
    stderr_total: int = 0
    duration_s: float = 0.0
    left_running: int = 0
    trusted: bool = False

    @property
    def ok(self) -> bool:
        """True for a command that ended by itself with exit code 0."""
        return self.status == "exited" and self.exit_code == 0

    def text(self) -> str:
        """Standard output, then standard error, decoded as UTF-8 with replacement."""
        return (self.stdout + self.stderr).decode("utf-8", "replace")


class SandboxLimits(Config):
    """Limits of one sandbox. Sizes in MiB, times in seconds."""

    memory_mb: int = Field(2048, gt=0)
    cpus: float = Field(1.0, gt=0)
    pids: int = Field(256, gt=0)
    tmp_mb: int = Field(512, gt=0)
    disk_mb: int = Field(8192, gt=0)
    """Of everything that is written to the machine's disk; a sandbox that is found above it is ended. A single file
    stops growing there at once."""
    max_life_s: float = Field(7200.0, gt=0)
    """After this the sandbox ends by itself, even when the orchestrator is gone."""
    output_bytes: int = Field(1 << 20, gt=0)
    """Kept of each output stream, half of it head and half tail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """Everything needed to start one sandbox.

    Attributes:
        image: an image of the Docker daemon; for bubblewrap a root directory, or `host` for this machine's /usr. When
            empty, the configuration's, else the backend's own.
        workdir: directory that commands start in; made if it does not exist. Empty for the image's own (Docker only).
        user: user that commands run as, as `docker run --user` takes it; empty for the image's own. It has no
            capabilities unless `profile` grants them.
        env: environment of every command; nothing of the host's environment is added.
        labels: `run`, `task`, `rollout` ...: recorded on the sandbox so that left-overs can be found.
        limits: memory, processes, disk, time and output.
        network: `none` unless asked for.
        read_only_mounts: directory of this machine -> path in the sandbox; nothing else is mounted.
        profile: how much a command may do.
    """

    image: str
    workdir: str = "/testbed"
    user: str = "root"
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    network: Network = "none"
    read_only_mounts: Mapping[str, str] = field(default_factory=dict)
    profile: Profile = "strict"


class Sandbox(Protocol):
    """One running sandbox."""

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
        """Run a shell command in a fresh shell and session.

        Args:
            command: passed to bash where the image has it, else to sh; up to a few MiB.
            timeout: seconds; acts inside the sandbox and leaves no process behind.
            cwd: absolute, or relative to the spec's workdir.
            env: added to the spec's environment.
            stdin: fed to the command; closed (as /dev/null) when None.
            merge_stderr: write standard error into stdout, in order.
            trusted_exit: for verification and grading, where the command runs code that may want to fool them. What
                earlier commands left running is killed first, and the exit code is taken from where nothing in the
                sandbox can write it. Where the backend has no such place, the command runs all the same and the
                result is not `trusted`.

        Returns:
            What the command did. A command that fails, times out or is killed is a result, not an exception.

        Raises:
            SandboxLost: the machine is gone.
        """
        ...

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """Read one regular file, exactly.

        Raises:
            SandboxFileNotFound, NotARegularFile, FileTooLarge, SandboxLost.
        """
        ...

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write one regular file, making its parent directories.

        Args:
            path: absolute, or relative to the spec's workdir.
            data: all of its content.
            mode: permission bits.

        Raises:
            FileAccessError, SandboxLost.
        """
        ...

    async def kill_all(self) -> None:
        """Kill every process that commands left behind. Called before anything is read as final."""
        ...

    async def close(self) -> None:
        """Remove the sandbox. Never raises; may be called twice."""
        ...


class SandboxBackend(Protocol):
    """Starts sandboxes of one kind."""

    name: str

    async def preflight(self, images: Collection[str]) -> None:
        """Check the backend and the images before any model call.

        Raises:
            BackendUnavailable, ImageMissing (naming all that are missing).
        """
        ...

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox and attest its boundary.

        Raises:
            SandboxStartError, ImageMissing, BackendUnavailable.
        """
        ...

    async def reap(self) -> int:
        """Remove sandboxes whose owner process is dead; returns how many."""
        ...

    async def close(self) -> None:
        """Release the backend's connections. Running sandboxes are closed by those who started them."""
        ...
