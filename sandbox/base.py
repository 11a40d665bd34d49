"""The sandbox contract: one isolated machine per rollout, reached through one command channel.

A `SandboxBackend` starts sandboxes from a `SandboxSpec`; a `Sandbox` runs commands and transfers single files. You can
plug in your own backend (docs/sandbox-backends.md). Agent conventions, such as how work is submitted, do not belong
here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from core.record import Config

ExecStatus = Literal["exited", "timeout", "oom", "indeterminate"]
Network = Literal["none", "bridge"]
SetupNetwork = Literal["none", "bridge", "host"]
"""`host` shares this machine's network; only a set-up may ask for it, never a task."""
Profile = Literal["strict", "machine"]
"""`strict`: no capabilities, no setuid programs, /tmp in memory. `machine`: the privileges of a plain `docker run`, for
tasks graded on the state of a whole machine (services, users, /tmp on disk); Docker only."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The outcome of one command.

    Attributes:
        status: `exited` has an exit code (128 + n for signal n); `timeout` and `oom` were killed by the sandbox;
            `indeterminate` means that the completion record never arrived, so nothing may be concluded.
        exit_code: None unless the status is `exited`.
        stdout: captured bytes; above the limit, head and tail are kept with a line in between that states the cut.
        stderr: likewise; empty if merged into stdout.
        stdout_total: bytes written by the command, including any that were cut.
        stderr_total: likewise.
        duration_s: wall time in seconds, from a monotonic clock.
        left_running: processes of this command still alive when its shell exited.
        trusted: whether `trusted_exit` was requested and honored: nothing in the sandbox except the command itself
            could affect status and exit code. False means that there is no such guarantee.
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
        """Whether the command exited by itself with code 0."""
        return self.status == "exited" and self.exit_code == 0

    def text(self) -> str:
        """Standard output followed by standard error, decoded as UTF-8 with replacement."""
        return (self.stdout + self.stderr).decode("utf-8", "replace")


class SandboxLimits(Config):
    """Resource limits of one sandbox. Sizes are in MiB, times in seconds."""

    memory_mb: int = Field(2048, gt=0)
    """Memory; a command that needs more is killed."""
    cpus: float = Field(1.0, gt=0)
    """Processor time, as a number of processors."""
    pids: int = Field(256, gt=0)
    """Processes and threads at one time."""
    tmp_mb: int = Field(512, gt=0)
    """Size of /tmp, which is held in memory."""
    disk_mb: int = Field(8192, gt=0)
    """Limit on all data written to disk. Sandboxes found above it are terminated; a single file stops growing there."""
    max_life_s: float = Field(7200.0, gt=0)
    """The sandbox ends itself after this time, even if the orchestrator is gone."""
    output_bytes: int = Field(1 << 20, gt=0)
    """Bytes kept of each output stream, half of it head and half tail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """Everything needed to start one sandbox.

    Attributes:
        image: a Docker image; for bubblewrap the reference of an OCI image, a root directory, or `host` for this
            machine's /usr. If empty, the configured image, else the backend's default.
        workdir: directory that commands start in; created if missing. Empty for the image's own.
        user: user that commands run as, in the syntax of `docker run --user`; empty for the image's own. It has no
            capabilities unless `profile` grants them.
        env: environment of every command; nothing is inherited from the host.
        labels: `run`, `task`, `rollout` ...; recorded on the sandbox so that leftovers can be traced.
        limits: memory, processes, disk, time and output.
        network: `none` unless requested.
        prepared: key of a prepared environment to start from, if the backend keeps one for it (`sandbox.prepared`).
        read_only_mounts: host directory -> path in the sandbox; nothing else is mounted.
        profile: privileges of commands.
    """

    image: str
    workdir: str = "/testbed"
    user: str = "root"
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    network: SetupNetwork = "none"
    prepared: str = ""
    read_only_mounts: Mapping[str, str] = field(default_factory=dict)
    profile: Profile = "strict"


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A private folder of the host that one sandbox sees, read-only.

    Attributes:
        host: its path on the host.
        inside: its path in the sandbox.
    """

    host: Path
    inside: str


@runtime_checkable
class SharesFolder(Protocol):
    """A sandbox into which the host can place a socket. Not every sandbox can: its daemon may be on another machine.

    Example:
        >>> class Remote:
        ...     shared = None
        >>> def place_of(sandbox: SharesFolder) -> str:
        ...     return sandbox.shared.inside if sandbox.shared is not None else "no gateway here"
        >>> place_of(Remote())
        'no gateway here'
    """

    @property
    def shared(self) -> SharedFolder | None:
        """The folder, which is removed with the sandbox; None if there is none."""
        ...


class Sandbox(Protocol):
    """One running sandbox.

    Example:
        Code that uses a sandbox is tested with a scripted one:

        >>> import asyncio
        >>> from sandbox.fake import FakeSandbox
        >>> async def python_version(sandbox: Sandbox) -> str:
        ...     result = await sandbox.exec("python3 --version", timeout=20)
        ...     return result.text().strip() if result.ok else "no Python"
        >>> asyncio.run(python_version(FakeSandbox(["Python 3.12.1"])))
        'Python 3.12.1'
    """

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
            command: run by bash if the image has it, else by sh; up to a few MiB.
            timeout: seconds; enforced inside the sandbox, leaving no process behind.
            cwd: absolute, or relative to the spec's workdir.
            env: added to the spec's environment.
            stdin: data for the command's standard input; /dev/null if None.
            merge_stderr: interleave standard error into stdout.
            trusted_exit: for verification and grading, where the command may run hostile code. Processes left behind by
                earlier commands are killed first, and the exit code comes from where nothing in the sandbox can write
                it. If the backend cannot guarantee this, the command still runs but the result is not `trusted`.

        Returns:
            The outcome. A command that fails, times out or is killed is a result, not an exception.

        Raises:
            SandboxLost: the sandbox is gone.
        """
        ...

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """Read one regular file, byte for byte.

        Args:
            path: absolute, or relative to the spec's workdir.
            max_bytes: largest accepted size.

        Raises:
            SandboxFileNotFound: there is no such file.
            NotARegularFile: the path is a directory, link or special file.
            FileTooLarge: the file exceeds `max_bytes`.
            SandboxLost: the sandbox is gone.
        """
        ...

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write one regular file, creating parent directories as needed.

        Args:
            path: absolute, or relative to the spec's workdir.
            data: the complete content.
            mode: permission bits.

        Raises:
            FileAccessError: the path cannot be written.
            SandboxLost: the sandbox is gone.
        """
        ...

    async def kill_all(self) -> None:
        """Kill every process that commands left behind. Call this before treating any file as final."""
        ...

    async def close(self) -> None:
        """Remove the sandbox. Never raises; may be called twice."""
        ...


class SandboxBackend(Protocol):
    """Starts sandboxes of one kind.

    Example:
        >>> import asyncio
        >>> from sandbox import SandboxConfig, open_backend
        >>> async def hello() -> str:
        ...     backend = await open_backend(SandboxConfig(backend="local", unsafe=True))
        ...     sandbox = await backend.start(SandboxSpec(image="", labels={"run": "example"}))
        ...     try:
        ...         return (await sandbox.exec("echo hello", timeout=20)).text()
        ...     finally:
        ...         await sandbox.close()
        ...         await backend.close()
        >>> asyncio.run(hello())
        'hello\\n'
    """

    name: str

    async def preflight(self, images: Collection[str]) -> None:
        """Check the backend and the images before any model call.

        Raises:
            BackendUnavailable: the backend cannot be used.
            ImageMissing: names every missing image.
        """
        ...

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox and attest its boundary.

        Raises:
            SandboxStartError: it did not start, or failed a probe.
            ImageMissing: its image does not exist.
            BackendUnavailable: the backend cannot be used.
        """
        ...

    async def reap(self) -> int:
        """Remove sandboxes whose owner process is dead; returns how many were removed."""
        ...

    async def close(self) -> None:
        """Release the backend's connections. Whoever started a sandbox closes it."""
        ...
