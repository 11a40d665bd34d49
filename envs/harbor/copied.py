"""Copies of an externally managed machine: rollouts start from its image, and the winner's changes are copied back."""

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envs.base import EndState, Grade, Patch, Task
from envs.harbor.endstate import describe, texts_before
from sandbox.base import Sandbox, SandboxBackend
from sandbox.errors import SandboxLost
from sandbox.images import as_user, changed_paths

_LEFT_OUT = ("/proc", "/sys", "/dev", "/run/heats", "/logs", "/tests", "/solution", "/etc/hosts", "/etc/hostname")
_LEFT_OUT_TOO = ("/etc/resolv.conf", "/.dockerenv")
_ARCHIVE = "/tmp/heats-state.tar"  # noqa: S108 - in the sandbox
_MAX_ARCHIVE = 1 << 30


@dataclass(frozen=True, slots=True)
class Changes:
    """How to turn one machine into another: paths to copy and paths to remove."""

    copy: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class CopiedEnv:
    """One task on copies of a machine. Nothing is graded here: that is up to whoever runs the machine.

    Args:
        task: a task that submits a state; its image is the machine's.
    """

    name = "copied"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._before: dict[str, str] | None = None
        self._changes: dict[str, Changes] = {}

    def tasks(self) -> Sequence[Task]:
        """The single task."""
        return (self._task,)

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Record the text files that exist before the attempt.

        Raises:
            SandboxError
        """
        if self._before is None:
            self._before = await texts_before(sandbox)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Describe the end state and record which paths it changed.

        Raises:
            SandboxError
        """
        labels: Mapping[str, str] = sandbox.spec.labels if hasattr(sandbox, "spec") else {}
        self._changes[labels.get("rollout", "")] = await changes_of(sandbox)
        return EndState(await describe(sandbox, self._before or {}))

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Return None: there are no hidden tests.

        Args:
            task: the single task.
            patch: the submission.
            backend: unused.
        """
        return None

    def changes(self, rollout: str) -> Changes:
        """What a rollout changed; empty if it was not collected in this process."""
        return self._changes.get(rollout, Changes())


async def changes_of(sandbox: Sandbox) -> Changes:
    """The paths of a machine that its attempt changed, except mounted and virtual ones.

    Raises:
        SandboxError
    """
    found = [one for one in await changed_paths(sandbox) if not _left_out(one.path)]
    parents = {posixpath.dirname(one.path) for one in found}
    copy = [one.path for one in found if one.kind != "deleted" and not (one.kind == "changed" and one.path in parents)]
    return Changes(tuple(copy), tuple(one.path for one in found if one.kind == "deleted"))


async def pack(sandbox: Sandbox, paths: Sequence[str]) -> bytes:
    """A tar archive of paths in a sandbox, made inside it; directories are archived without their contents.

    Raises:
        SandboxError: the sandbox has no tar, or the archive is too large.
    """
    listing = "\0".join(path.lstrip("/") for path in paths).encode("utf-8", "surrogateescape")
    async with as_user(sandbox, "0") as root:
        made = await root.exec(
            f"tar -C / --no-recursion --numeric-owner --null -T - -cpf {_ARCHIVE}", timeout=600, stdin=listing, cwd="/"
        )
        if not made.ok:
            raise SandboxLost(f"the state could not be packed: {made.text().strip()[-200:] or made.status}")
        return await root.read_file(_ARCHIVE, max_bytes=_MAX_ARCHIVE)


def unpack_command(archive: str, remove: Sequence[str]) -> str:
    """The command that applies `Changes` to a machine: remove paths, unpack an archive, delete the archive."""
    gone = f"rm -rf -- {' '.join(map(shlex.quote, remove))}; " if remove else ""
    return (
        f"{gone}tar -C / --numeric-owner -xpf {shlex.quote(archive)}; code=$?; rm -f {shlex.quote(archive)}; exit $code"
    )


def _left_out(path: str) -> bool:
    return any(path == one or path.startswith(one + "/") for one in (*_LEFT_OUT, *_LEFT_OUT_TOO))
