"""Python programs as kits: their packages, with a copy of an interpreter and of the libraries that it needs.

Task images hold another Python, or none. So a kit brings its own, copied from this machine with the C library that it
was built for, and starts it by that library's loader: it runs on every image, whatever C library that has. The programs
that it starts see nothing of this.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.errors import AgentUnusable
from agents.kit import MAGIC, run_installer

PYTHON = "python/bin/python3"
"""Path in a kit of its interpreter."""
_ABOUT = """import json, os, sys, sysconfig
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "program": os.path.realpath(sys.executable),
    "library": sysconfig.get_path("stdlib"), "dynamic": sysconfig.get_config_var("DESTSHARED") or ""}))
"""
_CHECK = "import ctypes, hashlib, sqlite3, ssl, zlib"
_UNUSED = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "config-*",
)
_LOADER = re.compile(rb"/[\w/.-]*ld-linux[\w.-]*\x00")
_START = """#!/bin/sh
here=${0%/*}
exec "$here/../lib/loader" --inhibit-cache --library-path "$here/../lib" --argv0 "$0" "$here/program" "$@"
"""
_ASK_S = 60.0


@dataclass(frozen=True, slots=True)
class _Interpreter:
    """An interpreter of this machine: version (`3.12`), program, and the directories of its standard library."""

    version: str
    program: Path
    library: Path
    dynamic: Path | None


@dataclass(frozen=True, slots=True)
class PythonRecipe:
    """Packages from PyPI, and an interpreter; see `Recipe`.

    Attributes:
        packages: requirements of pip; with `pinned`, exactly these are installed, and nothing that they depend on.
        versions: versions of Python with which they work, the best first.
        pinned: whether the requirements name everything.
        python: an interpreter to copy; otherwise one is looked for.
    """

    packages: tuple[str, ...]
    versions: tuple[str, ...]
    pinned: bool = False
    python: Path | None = None

    @property
    def key(self) -> str:
        """See `Recipe.key`."""
        return " ".join([*self.packages, *self.versions, str(self.python or "")])

    async def missing(self) -> str:
        """See `Recipe.missing`."""
        try:
            _installer(await asyncio.to_thread(find_python, self.versions, self.python), Path())
        except AgentUnusable as error:
            return str(error)
        return ""

    async def install(self, folder: Path) -> None:
        """See `Recipe.install`."""
        found = await asyncio.to_thread(find_python, self.versions, self.python)
        home = folder / "python"
        packages = home / "lib" / f"python{found.version}" / "site-packages"
        await asyncio.to_thread(_copy_interpreter, found, home)
        listed = folder / "requirements.txt"
        listed.write_text("".join(f"{one}\n" for one in self.packages))
        argv = [*_installer(found, packages), *(["--no-deps"] if self.pinned else []), "-r", str(listed)]
        await run_installer(argv, folder, self.packages[0] if len(self.packages) < 9 else "the packages of the agent")
        await asyncio.to_thread(_complete, home)


def find_python(versions: Sequence[str], given: Path | None = None) -> _Interpreter:
    """Find an interpreter of this machine: on PATH, or one that uv or pyenv installed.

    Args:
        versions: those that will do, the best first, such as `3.12`.
        given: the interpreter to use instead.

    Raises:
        AgentUnusable: there is none, or the given one does not run or has another version.
    """
    if given is not None:
        known = _asked(str(given))
        if known is None or known.version not in versions:
            said = "does not run" if known is None else f"is Python {known.version}"
            raise AgentUnusable(
                f"agent.installed.python: {given} {said}; the agent needs Python {' or '.join(versions)}"
            )
        return known
    for version in versions:
        for candidate in _candidates(version):
            known = _asked(candidate)
            if known is not None and known.version == version:
                return known
    raise AgentUnusable(
        f"the agent needs Python {' or '.join(versions)}, and this machine has none: "
        f"`uv python install {versions[0]}`, or name an interpreter with agent.installed.python"
    )


def _candidates(version: str) -> Iterator[str]:
    if (found := shutil.which(f"python{version}")) is not None:
        yield found
    if (uv := shutil.which("uv")) is not None:
        said = _output([uv, "python", "find", "--no-python-downloads", "--system", version])
        if said:
            yield said.strip()
    yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"), reverse=True))


def _asked(program: str) -> _Interpreter | None:
    try:
        known = json.loads(_output([program, "-I", "-c", _ABOUT]))
    except ValueError:
        return None
    dynamic = Path(known["dynamic"]) if known["dynamic"] else None
    return _Interpreter(known["version"], Path(known["program"]), Path(known["library"]), dynamic)


def _output(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """What a program prints; nothing if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_ASK_S, check=False, env=env)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _installer(python: _Interpreter, target: Path) -> list[str]:
    """The beginning of the command that installs into a directory, from wheels alone: building runs a package's code.

    Raises:
        AgentUnusable: there is neither pip nor uv.
    """
    program = str(python.program)
    if (uv := shutil.which("uv")) is not None:  # it is several times as fast
        places = ["--python", program, "--target", str(target)]
        return [uv, "pip", "install", "--only-binary", ":all:", "--compile-bytecode", *places]
    if _output([program, "-m", "pip", "--version"]):
        quiet = ["--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
        return [program, "-m", "pip", "install", *quiet, "--only-binary", ":all:", "--target", str(target)]
    raise AgentUnusable(f"{program} has no pip, and uv is not on PATH; one of them must install the agent's packages")


def _copy_interpreter(python: _Interpreter, home: Path) -> None:
    """Copy an interpreter and its standard library.

    Raises:
        AgentUnusable: it was built for another C library than glibc.
    """
    found = _LOADER.search(python.program.read_bytes()[:8192])
    if found is None:
        raise AgentUnusable(f"{python.program} was not built for glibc, which a copy of it must bring along")
    library = home / "lib" / f"python{python.version}"
    shutil.copytree(python.library, library, symlinks=False, ignore=shutil.ignore_patterns(*_UNUSED))
    if python.dynamic is not None and python.dynamic.is_dir() and not (library / "lib-dynload").is_dir():
        shutil.copytree(python.dynamic, library / "lib-dynload")
    (home / "bin").mkdir()
    shutil.copy2(python.program, home / "bin" / "program")
    shutil.copy2(os.fsdecode(found[0].rstrip(b"\0")), home / "lib" / "loader")
    start = home / "bin" / "python3"
    start.write_text(_START)
    start.chmod(0o755)
    _copy_libraries(home, [(python.program, home / "bin" / "program")])


def _complete(home: Path) -> None:
    """Add the shared libraries that the modules need, and see whether the copy runs.

    Raises:
        AgentUnusable: it does not.
    """
    modules = [path for path in (home / "lib").glob("python*/**/*.so*") if path.is_file() and _is_elf(path)]
    _copy_libraries(home, [(path, path) for path in modules])
    done = subprocess.run(
        [str(home / "bin" / "python3"), "-I", "-c", _CHECK], capture_output=True, text=True, timeout=_ASK_S, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise AgentUnusable(f"a copy of this machine's Python does not run: {said}")


def _copy_libraries(home: Path, files: Sequence[tuple[Path, Path]]) -> None:
    """Copy the libraries that files need, as this machine's loader finds them, without running the files.

    Args:
        home: where the libraries go, under `lib`.
        files: each as it is found on this machine, and as it is in the kit.
    """
    loader, library = str(home / "lib" / "loader"), home / "lib"
    for original, _ in files:
        for line in _output([loader, "--list", str(original)]).splitlines():
            name, _, rest = line.strip().partition(" => ")
            path = Path(rest.rsplit(" (", 1)[0])
            if rest and path.is_file() and home not in path.parents and not (library / Path(name).name).exists():
                shutil.copy2(path, library / Path(name).name)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == MAGIC
