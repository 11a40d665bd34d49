"""Install an agent once on this machine, for sandboxes to mount.

A recipe says what a kit consists of (`kit_npm.py`, `kit_python.py`). No code of the packages runs here. A kit gets its
name once it is complete; whoever uses one holds it, so that `heats gc` spares it.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from agents.errors import AgentUnusable
from sandbox.config import cache_directory
from sandbox.errors import BackendUnavailable
from sandbox.garbage import LeftOver
from sandbox.prepared import lock, lock_now, locked, mark_used, unused_for

MAGIC = b"\x7fELF"
"""How programs and libraries begin."""
_INSTALL_S = 1800.0
_HALF, _GONE = "new-", "removed-"


class Recipe(Protocol):
    """How one agent is installed.

    Example:
        >>> import asyncio, tempfile
        >>> class Script:
        ...     key = "script 1.0"
        ...     async def missing(self):
        ...         return ""
        ...     async def install(self, folder):
        ...         (folder / "agent.sh").write_text("git apply fix.diff")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asyncio.run(Script().install(Path(folder)))
        ...     [path.name for path in Path(folder).iterdir()]
        ['agent.sh']
    """

    @property
    def key(self) -> str:
        """What distinguishes it from other versions of the agent: the name of the kit's folder follows from it."""
        ...

    async def missing(self) -> str:
        """Say what this machine lacks for the installation, and what to do; empty if nothing."""
        ...

    async def install(self, folder: Path) -> None:
        """Install into an empty folder.

        Raises:
            AgentUnusable: it failed.
        """
        ...


def kits_directory(given: Path | None = None) -> Path:
    """The directory with all kits."""
    return (given or cache_directory() / "agents").absolute()


def place_of(directory: Path, name: str, recipe: Recipe) -> Path:
    """The folder of a kit, whether or not it is installed.

    Args:
        directory: holds all kits.
        name: short name of the agent, part of the folder's name.
        recipe: how it is installed.
    """
    return directory / f"{name}-{hashlib.sha256(recipe.key.encode()).hexdigest()[:16]}"


async def provide(directory: Path, name: str, recipe: Recipe) -> Path:
    """Return the folder of a kit; install it if it does not exist.

    Processes that need the same kit at the same time wait for the first of them.

    Args:
        directory: holds all kits.
        name: short name of the agent, part of the folder's name.
        recipe: how it is installed.

    Raises:
        AgentUnusable: it cannot be installed, or the directory is not writable.
    """
    target = place_of(directory, name, recipe)
    if target.is_dir():
        return target
    try:
        os.makedirs(directory, exist_ok=True)
        async with locked(_lock_of(target)):
            if not target.is_dir():
                await _install(target, recipe)
    except BackendUnavailable as error:
        raise AgentUnusable(f"{name} cannot be installed in {directory}: it is not writable") from error
    except OSError as error:
        raise AgentUnusable(f"{name} cannot be installed in {directory}: {error.strerror or error}") from error
    return target


async def hold(kit: Path, owner: object) -> None:
    """Keep `heats gc` from removing a kit while an object exists. Where nobody may write, nobody removes it either."""
    with suppress(BackendUnavailable):
        held = await lock(_lock_of(kit), shared=True)
        weakref.finalize(owner, held.close)
        mark_used(kit.parent, kit.name)


def unused_kits(directory: Path, *, unused_s: float, remove: bool = True) -> list[LeftOver]:
    """Find and remove kits that no run has used for a while, and half-made ones. Those in use are never touched.

    Args:
        directory: holds all kits.
        unused_s: seconds since the last use; 0 for all of them.
        remove: if False, only list them.
    """
    found = []
    for path in sorted(directory.glob("*")) if directory.is_dir() else ():
        kit = path.with_name(_name_of(path))
        if not path.is_dir() or (path == kit and not _unused(kit, unused_s)):
            continue
        held = lock_now(_lock_of(kit))
        if held is None:
            continue
        with held:
            if remove:
                _removed(path, kit)
            found.append(LeftOver("agent", str(path), {}, not path.exists()))
    return found


async def run_installer(argv: Sequence[str], folder: Path, what: str) -> None:
    """Run a package manager in a folder.

    Raises:
        AgentUnusable: it failed; the message is its own last words.
    """
    name = next((one for one in ("npm", "uv") if one == Path(argv[0]).name), "pip")
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_INSTALL_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise AgentUnusable(f"{name} did not finish within {_INSTALL_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = output.decode("utf-8", "replace").splitlines()
        said = [line for line in lines if line.strip() and "log of this" not in line and "[notice]" not in line]
        raise AgentUnusable(f"{name} could not install {what}: {' '.join(said[-2:])[:400]}")


async def _install(target: Path, recipe: Recipe) -> None:
    if lacks := await recipe.missing():
        raise AgentUnusable(f"{target.name} is not installed: {lacks}; or copy {target} from a machine that has it")
    made = Path(tempfile.mkdtemp(prefix=f"{_HALF}{target.name}.", dir=target.parent))
    try:
        await recipe.install(made)
        os.chmod(made, 0o755)  # noqa: S103 - sandboxes run as other users
        os.rename(made, target)
    finally:
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


def _lock_of(kit: Path) -> Path:
    return kit.with_name(f"{kit.name}.lock")


def _name_of(path: Path) -> str:
    """The kit's name for its folder, also while that is being made or removed."""
    return path.name.removeprefix(_HALF).removeprefix(_GONE).partition(".")[0]


def _unused(kit: Path, unused_s: float) -> bool:
    age = unused_for(kit.parent, kit.name)
    return unused_s == 0 or (age is not None and age >= unused_s)


def _removed(path: Path, kit: Path) -> None:
    """Remove a folder; its name goes first, so that no run finds half a kit. The lock stays: others may wait for it."""
    gone = path.rename(path.with_name(f"{_GONE}{kit.name}.{os.getpid()}")) if path == kit else path
    shutil.rmtree(gone, ignore_errors=True)
    kit.with_name(f"{kit.name}.used").unlink(missing_ok=True)
