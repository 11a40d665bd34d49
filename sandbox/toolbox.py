"""A directory with pytest in it, so that any image that has `python3` can run tests without a network.

The packages are the pure-Python files of those that heats itself runs on. Mount the directory read-only at `TOOLBOX`
and put that path on PYTHONPATH of the one command that needs it; it is never put there for all commands.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from sandbox.errors import BackendUnavailable

TOOLBOX = "/opt/heats/toolbox"
"""Where the directory is seen in a sandbox."""

_PACKAGES = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
_WANTED_BY_OLD_PYTHONS = ("exceptiongroup", "tomli", "typing-extensions")


def toolbox_directory(cache: Path) -> Path:
    """Make the directory, or find the one made before from the same versions.

    Args:
        cache: kept between runs; one folder per set of versions.

    Returns:
        A directory to mount with `SandboxSpec(read_only_mounts={str(directory): TOOLBOX})`.

    Raises:
        BackendUnavailable: a package is not installed as files, or the cache cannot be written.
    """
    found = _distributions()
    versions = " ".join(f"{name}=={about.version}" for name, about in found.items())
    versions += f" compiled by {sys.implementation.cache_tag}"
    target = cache / f"toolbox-{hashlib.sha256(versions.encode()).hexdigest()[:16]}"
    if target.is_dir():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="toolbox-new-", dir=cache))
        try:
            for name, about in found.items():
                _copy(name, about, made)
            # Seen read-only, the files could never be compiled where they are used; any Python of the same minor
            # version takes these, whatever the files' times.
            compileall.compile_dir(made, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            made.chmod(0o755)
            # If another process made it in the meantime, it made the same files.
            if not target.is_dir():
                os.rename(made, target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise BackendUnavailable(f"could not create the toolbox in {cache}: {error}") from error
    return target


def _distributions() -> dict[str, metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    for name in (*_PACKAGES, *_WANTED_BY_OLD_PYTHONS):
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name in _PACKAGES:
                raise BackendUnavailable(f"the package {name} is not installed in heats' environment") from None
    return found


def _copy(name: str, about: metadata.Distribution, made: Path) -> None:
    if not about.files:
        raise BackendUnavailable(f"the package {name} does not list its files")
    for file in about.files:
        # Scripts lie outside of site-packages (`../../bin`) and name this machine's interpreter.
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix in (".so", ".pyd"):
            continue
        source = Path(str(about.locate_file(file)))
        if not source.is_file():
            continue
        target = made.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
