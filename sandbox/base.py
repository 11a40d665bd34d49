"""What a sandbox is: one isolated machine per attempt, reached through one command channel.

`SandboxBackend` starts sandboxes from a `SandboxSpec`; a `Sandbox` runs commands and moves single files. Backends are
`docker`, `bubblewrap` and `local`. Agent conventions (submission, prompts) do not belong here.
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
        exit_code: None unless the completion record says so.
        stdout: bytes as captured, head and tail kept and the cut stated in between once the cap is passed.
        stderr: likewise; empty when it was merged into stdout.
        stdout_total: bytes the command wrote, cut or not.
        stderr_total: likewise.
        duration_s: wall time in seconds, monotonic clock.
        left_running: processes of this command still alive when its shell ended.
    """

    status: ExecStatus
    exit_code: int | None
    stdout: bytes
    stderr: bytes = b""
    stdout_total: int = 0
    stderr_total: int = 0
    duration_s: float = 0.0
    left_running: int = 0

    @property
    def ok(self) -> bool:
        """True for a command that ended by itself with exit code 0."""
        return self.status == "exited" and self.exit_code == 0

    def text(self) -> str:
        """Standard output, then standard error, decoded as UTF-8 with replacement."""
        return (self.stdout + self.stderr).decode("utf-8", "replace")


class SandboxLimits(Config):
    """Ceilings of one sandbox. Sizes in MiB, times in seconds."""

    memory_mb: int = Field(2048, gt=0)
    cpus: float = Field(1.0, gt=0)
    pids: int = Field(256, gt=0)
    tmp_mb: int = Field(512, gt=0)
    disk_mb: int = Field(8192, gt=0)
    """Written on the machine's disk, all files together: a sandbox that is found above it is ended. Also the limit of
    a single file, which is kept at once."""
    max_life_s: float = Field(7200.0, gt=0)
    """The sandbox ends by itself after this, even when the orchestrator is gone."""
    output_bytes: int = Field(1 << 20, gt=0)
    """Kept of each output stream, half head and half tail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """Everything needed to start one sandbox.

    Attributes:
        image: an image of the Docker daemon; for bubblewrap a root directory, or `host` for the host's own /usr. When
            empty, the configuration's, else the backend's own.
        workdir: directory that commands start in; made if it is not there. Empty for the image's own (Docker only).
        user: user the commands run as, as `docker run --user` takes it; empty for the image's own. Without
            capabilities unless `profile` says otherwise.
        env: environment of every command; nothing of the host's environment is added.
        labels: `run`, `task`, `rollout` ...: recorded on the machine so that left-overs can be found.
        network: `none` unless named.
        read_only_mounts: host directory -> path in the sandbox; an explicit allow-list, never writable.
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
    ) -> ExecResult:
        """Run a shell command in a fresh shell and session.

        Args:
            command: passed to bash where the image has it, else to sh; up to a few MiB.
            timeout: seconds; acts inside the sandbox and leaves no process behind.
            cwd: absolute, or relative to the spec's workdir.
            env: added to the spec's environment.
            stdin: fed to the command; closed (as /dev/null) when None.
            merge_stderr: write standard error into stdout, in order.

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
        """Release the backend's connections. Running sandboxes are closed by whoever started them."""
        ...
