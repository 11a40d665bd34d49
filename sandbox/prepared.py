"""Prepared environments: a set-up runs once in a sandbox, and later sandboxes start from the stored result.

Docker stores an image, bubblewrap a directory with copies of everything that a sandbox can write to. A result is
published atomically after the set-up has finished, so a killed process leaves nothing that could be mistaken for one.
"""

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

from sandbox.base import Sandbox, SandboxBackend, SandboxSpec, SetupNetwork
from sandbox.errors import BackendUnavailable

VENV = "/venv"
"""A set-up may create a virtual environment here; its `bin` comes first on PATH in prepared sandboxes."""

_POLL_S = 0.2


@runtime_checkable
class KeepsPrepared(Protocol):
    """A backend that keeps prepared environments and starts sandboxes from them (`SandboxSpec.prepared`).

    Example:
        >>> import asyncio
        >>> class InMemory:
        ...     prepared_dir = Path("/tmp/prepared")
        ...     kept = set()
        ...     async def prepared_name(self, spec):
        ...         return f"prepared:{spec.prepared}"
        ...     async def has_prepared(self, name):
        ...         return name in self.kept
        ...     async def keep_prepared(self, sandbox, name):
        ...         self.kept.add(name)
        >>> backend = InMemory()
        >>> asyncio.run(backend.keep_prepared(None, "prepared:abc"))
        >>> isinstance(backend, KeepsPrepared), asyncio.run(backend.has_prepared("prepared:abc"))
        (True, True)
    """

    prepared_dir: Path
    """Host directory for locks and for the time of last use, by name of the environment."""

    async def prepared_name(self, spec: SandboxSpec) -> str:
        """The name of a spec's prepared environment; it changes with the content of the image.

        Raises:
            ImageMissing: the image does not exist.
        """
        ...

    async def has_prepared(self, name: str) -> bool:
        """Return whether an environment is kept under this name."""
        ...

    async def keep_prepared(self, sandbox: Sandbox, name: str) -> None:
        """Keep a sandbox's files under a name, in one step.

        Raises:
            SandboxError: they could not be kept.
        """
        ...


async def prepare_once(
    backend: SandboxBackend, spec: SandboxSpec, fill: Callable[[Sandbox], Awaitable[None]], network: SetupNetwork
) -> bool:
    """Prepare the environment of a spec, unless it is kept already.

    Processes that need the same environment at the same time wait for the first of them.

    Args:
        backend: a backend that keeps environments.
        spec: spec of the sandboxes that will start from it; `prepared` is its key.
        fill: sets up the fresh sandbox that it is given.
        network: network of that sandbox.

    Returns:
        Whether the set-up ran now.

    Raises:
        BackendUnavailable: the backend cannot keep environments.
        SandboxError, or any exception raised by `fill`; nothing is stored in that case.
    """
    if not isinstance(backend, KeepsPrepared):
        raise BackendUnavailable(f"the sandbox backend {backend.name} cannot keep a prepared environment")
    name = await backend.prepared_name(spec)
    if await _found(backend, name):
        return False
    async with locked(backend.prepared_dir / f"{name}.lock"):
        if await _found(backend, name):
            return False
        sandbox = await backend.start(replace(spec, prepared="", network=network))
        try:
            await fill(sandbox)
            await sandbox.kill_all()
            await backend.keep_prepared(sandbox, name)
        finally:
            await sandbox.close()
        await _found(backend, name)
    return True


async def _found(backend: KeepsPrepared, name: str) -> bool:
    if not await backend.has_prepared(name):
        return False
    mark_used(backend.prepared_dir, name)
    return True


def mark_used(directory: Path, name: str) -> None:
    """Record that an environment is used now."""
    with suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.used").touch()


def unused_for(directory: Path, name: str) -> float | None:
    """Return the seconds since an environment was last used; None if unknown, in which case the clock starts now."""
    try:
        return max(0.0, time.time() - (directory / f"{name}.used").stat().st_mtime)
    except OSError:
        mark_used(directory, name)
        return None


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock file; the kernel releases it if this process dies.

    Raises:
        BackendUnavailable: its directory is not writable.
    """
    with await lock(path):
        yield


async def lock(path: Path, *, shared: bool = False) -> IO[str]:
    """Wait for a lock file; closing the returned file releases it.

    Args:
        path: the file; created if missing.
        shared: several processes may hold it, but none exclusively.

    Raises:
        BackendUnavailable: its directory is not writable.
    """
    while True:
        if (held := lock_now(path, shared=shared)) is not None:
            return held
        await asyncio.sleep(_POLL_S)


def lock_now(path: Path, *, shared: bool = False) -> IO[str] | None:
    """Like `lock`; None if the file is locked by someone else.

    Args:
        path: the file; created if missing.
        shared: see `lock`.

    Raises:
        BackendUnavailable: its directory is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise BackendUnavailable(
            f"{path.parent} is not writable ({error.strerror}): set sandbox.prepared_dir to a directory that is"
        ) from error
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
