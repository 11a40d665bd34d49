"""Install an npm package once on this machine, for sandboxes to mount.

No code of the package runs here: npm is kept from running its scripts. A kit gets its name once it is complete.
"""

import asyncio
import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agents.errors import AgentUnusable

NODE = "node"
"""Path in a kit of the Node.js program, if the kit holds one."""
NODE_VERSION = "22.23.5"
_CPU = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_INSTALL_S = 1800.0
_POLL_S = 0.2


def cpu() -> str:
    """Return npm's name for this machine's processor."""
    return _CPU.get(platform.machine(), platform.machine())


async def provide(directory: Path, name: str, packages: Sequence[str]) -> Path:
    """Return the folder with these packages; install them if it does not exist.

    Processes that need the same kit at the same time wait for the first of them.

    Args:
        directory: holds all kits.
        name: short name of the agent, part of the folder's name.
        packages: npm packages with their versions, `name@version`.

    Raises:
        AgentUnusable: npm is missing or failed, or the directory is not writable.
    """
    target = directory / f"{name}-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:16]}"
    if target.is_dir():
        return target
    try:
        os.makedirs(directory, exist_ok=True)
        async with _locked(directory / f"{target.name}.lock"):
            if not target.is_dir():
                await _install(directory, target, packages)
    except OSError as error:
        raise AgentUnusable(f"{name} cannot be installed in {directory}: {error.strerror or error}") from error
    return target


async def _install(directory: Path, target: Path, packages: Sequence[str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise AgentUnusable(
            f"{target.name} is not installed, and npm is not on PATH: install Node.js, or copy {target} from a machine "
            "that has it"
        )
    made = Path(tempfile.mkdtemp(prefix="new-", dir=directory))
    try:
        await _npm([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", *packages], made)
        await asyncio.to_thread(_completed, made)
        os.rename(made, target)
    finally:
        await asyncio.to_thread(shutil.rmtree, made, ignore_errors=True)


def _completed(made: Path) -> None:
    """Do what the packages' own scripts would have done: link Node.js, and make the programs executable."""
    found = next(made.glob("node_modules/node-linux-*/bin/node"), None)
    if found is not None:
        (made / NODE).symlink_to(found.relative_to(made))
    for path in made.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".so", ".node") and _is_program(path):
            path.chmod(0o755)
    made.chmod(0o755)


def _is_program(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


async def _npm(argv: Sequence[str], folder: Path) -> None:
    """Run npm in a folder.

    Raises:
        AgentUnusable: it failed; the message is its own last line.
    """
    (folder / "package.json").write_text('{"private": true}\n')
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
        raise AgentUnusable(f"npm did not finish within {_INSTALL_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = [
            line
            for line in output.decode("utf-8", "replace").splitlines()
            if line.strip() and "log of this" not in line
        ]
        raise AgentUnusable(f"npm could not install {' '.join(argv[6:])}: {' '.join(said[-2:])[:400]}")


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock file; the kernel releases it if this process dies."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)
        yield
