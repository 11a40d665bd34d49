"""A scripted sandbox for tests that replies from a list and records commands."""

import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sandbox.base import ExecResult, SandboxSpec
from sandbox.errors import FileTooLarge, SandboxFileNotFound, SandboxLost

Reply = ExecResult | str | BaseException
"""A result, the standard output of a command that exits with 0, or an exception to raise."""


class FakeExhausted(AssertionError):
    """A fake was called more often than its script provides for."""


@dataclass(frozen=True, slots=True)
class FakeCall:
    """One recorded `exec` call."""

    command: str
    timeout: float
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = None
    merge_stderr: bool = False
    trusted_exit: bool = False


def result(stdout: str | bytes = "", exit_code: int = 0, *, stderr: str | bytes = "") -> ExecResult:
    """Build the result of a finished command, with the totals filled in.

    Args:
        stdout: standard output; text is encoded as UTF-8.
        exit_code: exit code of the command.
        stderr: standard error; text is encoded as UTF-8.
    """
    out = stdout.encode() if isinstance(stdout, str) else stdout
    err = stderr.encode() if isinstance(stderr, str) else stderr
    return ExecResult("exited", exit_code, out, err, len(out), len(err))


class FakeSandbox:
    """An in-memory `Sandbox`.

    Attributes:
        calls: every `exec`, in order.
        files: path -> content; relative paths are resolved against the workdir.
        killed: number of `kill_all` calls.
        closed: whether `close` was called.

    Example:
        >>> import asyncio
        >>> sandbox = FakeSandbox(["Python 3.12.1"])
        >>> asyncio.run(sandbox.exec("python3 --version", timeout=20)).text()
        'Python 3.12.1'
        >>> sandbox.commands
        ['python3 --version']
    """

    def __init__(
        self,
        replies: Iterable[Reply] = (),
        *,
        files: Mapping[str, bytes] | None = None,
        respond: Callable[[FakeCall], Reply | None] | None = None,
        workdir: str = "/testbed",
    ) -> None:
        """Script the sandbox.

        Args:
            replies: consumed in order, one per `exec`.
            files: initial files.
            respond: consulted first; returning None falls through to `replies`.
            workdir: base of relative paths.
        """
        self._replies = list(replies)
        self._respond = respond
        self._workdir = workdir
        self.files = {posixpath.join(workdir, path): data for path, data in (files or {}).items()}
        self.calls: list[FakeCall] = []
        self.killed = 0
        self.closed = False

    @property
    def commands(self) -> list[str]:
        """The recorded command strings."""
        return [call.command for call in self.calls]

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
        """Record the call and return the next scripted reply; see `Sandbox.exec`.

        Args:
            command: recorded, and passed to `respond`.
            timeout: recorded; has no effect.
            cwd: recorded; has no effect.
            env: recorded; has no effect.
            stdin: recorded; has no effect.
            merge_stderr: recorded; has no effect.
            trusted_exit: recorded, and copied to the result's `trusted`.

        Raises:
            FakeExhausted: the script has no reply left.
            SandboxLost: the sandbox is closed.
        """
        self._check_open()
        call = FakeCall(command, timeout, cwd, dict(env or {}), stdin, merge_stderr, trusted_exit)
        self.calls.append(call)
        reply = self._respond(call) if self._respond else None
        if reply is None:
            if not self._replies:
                raise FakeExhausted(f"command {len(self.calls)} has no scripted reply: {command!r}")
            reply = self._replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        done = reply if isinstance(reply, ExecResult) else result(reply)
        return replace(done, trusted=trusted_exit)

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """See `Sandbox.read_file`."""
        self._check_open()
        data = self.files.get(posixpath.join(self._workdir, path))
        if data is None:
            raise SandboxFileNotFound(f"{path}: no such file")
        if len(data) > max_bytes:
            raise FileTooLarge(f"{path}: larger than {max_bytes} bytes")
        return data

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Store the file in `files`; see `Sandbox.write_file`.

        Args:
            path: absolute, or relative to the workdir.
            data: the complete content.
            mode: ignored.

        Raises:
            SandboxLost: the sandbox is closed.
        """
        self._check_open()
        self.files[posixpath.join(self._workdir, path)] = data

    async def kill_all(self) -> None:
        """See `Sandbox.kill_all`."""
        self._check_open()
        self.killed += 1

    async def close(self) -> None:
        """See `Sandbox.close`."""
        self.closed = True

    def _check_open(self) -> None:
        if self.closed:
            raise SandboxLost("the fake sandbox is closed")


class FakeBackend:
    """A `SandboxBackend` that hands out the given sandboxes.

    Attributes:
        specs: requested specs, in order.
        checked: images passed to `preflight`.
        reaped: number of `reap` calls.
        closed: whether `close` was called.
    """

    name = "fake"

    def __init__(self, sandboxes: Iterable[FakeSandbox] | Callable[[SandboxSpec], FakeSandbox]) -> None:
        self._make = sandboxes if callable(sandboxes) else None
        self._waiting = [] if callable(sandboxes) else list(sandboxes)
        self.specs: list[SandboxSpec] = []
        self.checked: list[str] = []
        self.reaped = 0
        self.closed = False

    async def preflight(self, images: Collection[str]) -> None:
        """See `SandboxBackend.preflight`; every image is considered present."""
        self.checked.extend(images)

    async def start(self, spec: SandboxSpec) -> FakeSandbox:
        """See `SandboxBackend.start`."""
        self.specs.append(spec)
        if self._make is not None:
            return self._make(spec)
        if not self._waiting:
            raise FakeExhausted(f"sandbox {len(self.specs)} was not scripted (image {spec.image!r})")
        return self._waiting.pop(0)

    async def reap(self) -> int:
        """See `SandboxBackend.reap`."""
        self.reaped += 1
        return 0

    async def close(self) -> None:
        """See `SandboxBackend.close`."""
        self.closed = True
