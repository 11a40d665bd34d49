"""npm packages as kits. npm is kept from running their scripts."""

import asyncio
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from agents.kit import MAGIC, run_installer

NODE = "node"
"""Path in a kit of the Node.js program, if the kit holds one."""
NODE_VERSION = "22.23.5"
_CPU = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def cpu() -> str:
    """Return npm's name for this machine's processor."""
    return _CPU.get(platform.machine(), platform.machine())


@dataclass(frozen=True, slots=True)
class NpmRecipe:
    """Packages from npm; see `Recipe`.

    Attributes:
        packages: the packages with their versions, `name@version`.
    """

    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """See `Recipe.key`."""
        return " ".join(self.packages)

    async def missing(self) -> str:
        """See `Recipe.missing`."""
        return "" if shutil.which("npm") else "npm is not on PATH: install Node.js"

    async def install(self, folder: Path) -> None:
        """See `Recipe.install`."""
        (folder / "package.json").write_text('{"private": true}\n')
        argv = [shutil.which("npm") or "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
        await run_installer([*argv, *self.packages], folder, " ".join(self.packages))
        await asyncio.to_thread(_complete, folder)


def _complete(made: Path) -> None:
    """Do what the packages' own scripts would have done: link Node.js, and make the programs executable."""
    found = next(made.glob("node_modules/node-linux-*/bin/node"), None)
    if found is not None:
        (made / NODE).symlink_to(found.relative_to(made))
    for path in made.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.suffix not in (".so", ".node") and _is_program(path):
            path.chmod(0o755)


def _is_program(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == MAGIC
