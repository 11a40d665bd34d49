"""A scripted sandbox for tests: it answers from a list and records the commands."""

import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sandbox.base import ExecResult, SandboxSpec
from sandbox.errors import FileTooLarge, SandboxFileNotFound, SandboxLost

Reply = ExecResult | str | BaseException
"""A result, the standard output of a command that exits with 0, or something to raise."""


class FakeExhausted(AssertionError):
    """A fake was asked for more than its script holds."""


@dataclass(frozen=True, slots=True)
class FakeCall:
    """One recorded `exec`."""

    command: str
    timeout: float
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = None
    merge_stderr: bool = False
    trusted_exit: bool = False


def result(stdout: str | bytes = "", exit_code: int = 0, *, stderr: str | bytes = "") -> ExecResult:
    """A finished command's result, with the totals filled in."""
    out = stdout.encode() if isinstance(stdout, str) else stdout
    err = stderr.encode() if isinstance(stderr, str) else stderr
    return ExecResult("exited", exit_code, out, err, len(out), len(err))


class FakeSandbox:
    """Implements `Sandbox` in memory.

    Attributes:
        calls: every `exec`, in order.
        files: path -> content; absolute paths, relative ones are below the workdir.
        killed: how often `kill_all` was called.
        closed: whether `close` was called.
    """

    def __init__(
        self,
        replies: Iterable[Reply] = (),
        *,
        files: Mapping[str, bytes] | None = None,
        respond: Callable[[FakeCall], Reply | None] | None = None,
        workdir: str = "/testbed",
    ) -> None:
        """Script a sandbox.

        Args:
            replies: used up one by one.
            files: what `read_file` finds at first.
            respond: asked before the script; None leaves the call to the script.
            workdir: what relative paths are relative to.
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
        """The commands alone."""
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
        """See `Sandbox.exec`."""
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
        """See `Sandbox.write_file`."""
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
    """Implements `SandboxBackend`: hands out the given sandboxes.

    Attributes:
        specs: what was asked for, in order.
        checked: images given to `preflight`.
        reaped: how often `reap` was called.
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
        """See `SandboxBackend.preflight`; every image is there."""
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
