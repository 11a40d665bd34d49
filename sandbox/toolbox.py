"""A directory with pytest, so that any image with `python3` can run tests without a network.

It contains the pure-Python files of the packages that heats itself runs on. Mount it read-only at `TOOLBOX` and add
that path to PYTHONPATH only for the command that needs it, never for all commands.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from sandbox.errors import BackendUnavailable

TOOLBOX = "/opt/heats/toolbox"
"""Mount point in the sandbox."""

_PACKAGES = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
_WANTED_BY_OLD_PYTHONS = ("exceptiongroup", "tomli", "typing-extensions")


def toolbox_directory(cache: Path) -> Path:
    """Create the directory, or reuse an earlier one with the same package versions.

    Args:
        cache: directory kept between runs; holds one folder per set of versions.

    Returns:
        A directory to mount with `SandboxSpec(read_only_mounts={str(directory): TOOLBOX})`.

    Raises:
        BackendUnavailable: a package is not installed as files, or the cache is not writable.
    """
    found = _distributions()
    versions = " ".join(f"{name}=={about.version}" for name, about in found.items())
    versions += f" compiled by {sys.implementation.cache_tag}"
    target = cache / f"toolbox-{hashlib.sha256(versions.encode()).hexdigest()[:16]}"

    def fill(made: Path) -> None:
        for name, about in found.items():
            _copy(name, about, made)
        # Mounted read-only, the files could not be compiled where they are used. Any Python of the same minor
        # version accepts these regardless of the files' timestamps.
        compileall.compile_dir(made, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)

    return made_once(target, fill, "the toolbox")


def made_once(target: Path, fill: Callable[[Path], None], name: str) -> Path:
    """Make a folder with content that never changes, unless it exists; it appears complete or not at all.

    Args:
        target: path of the folder; its name depends on the content.
        fill: writes the content into the folder that it is given.
        name: what the folder is, for messages.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="new-", dir=target.parent))
        try:
            fill(made)
            made.chmod(0o755)
            # If another process created it in the meantime, its files are the same.
            if not target.is_dir():
                os.rename(made, target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise BackendUnavailable(f"could not create {name} in {target.parent}: {error}") from error
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
        # Scripts are outside site-packages (`../../bin`) and refer to the host's interpreter.
        if ".." in file.parts or "__pycache__" in file.parts or file.suffix in (".so", ".pyd"):
            continue
        source = Path(str(about.locate_file(file)))
        if not source.is_file():
            continue
        target = made.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
