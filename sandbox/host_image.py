"""What a bubblewrap sandbox of image `host` sees of the host: /usr, and Python without installed packages.

`python` and `python3` are the interpreter that heats runs on, with nothing but its standard library, so that results do
not depend on how Python was installed or which packages it has.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

BIN = "/run/bin"
"""Directory of `python` and `python3` in the sandbox; first on PATH."""

_USR = Path("/usr")
_LIBRARIES = ("lib", "lib32", "lib64")
_LOCAL_BIN = Path("/usr/local/bin")
_SHARED = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


def host_binds(empty: Path, *, packages: bool) -> Iterator[tuple[str, ...]]:
    """Yield bwrap arguments, one bind at a time.

    Args:
        empty: an empty directory that covers hidden ones.
        packages: whether installed Python packages and their scripts are visible.
    """
    yield ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", *_LIBRARIES):
        path = Path("/") / name
        if path.is_symlink():
            yield ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield ("--ro-bind", str(path), str(path))
    for shared in _SHARED:
        yield ("--ro-bind-try", shared, shared)
    base = Path(sys.base_prefix)
    if not base.is_relative_to(_USR):
        for path in [base] if packages else [interpreter(), *(base / name for name in _LIBRARIES)]:
            yield ("--ro-bind-try", str(path), str(path))
    if not packages:
        for path in package_directories():
            yield ("--ro-bind", str(empty), str(path))
        yield from _without_python_scripts(_LOCAL_BIN)


def interpreter() -> Path:
    """The program that `python3` refers to in the sandbox."""
    found = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}")
    return found if found.exists() else Path("/usr/bin/python3")


def package_directories() -> list[Path]:
    """Host directories with installed Python packages that would be visible in a sandbox."""
    prefixes = {Path(sys.base_prefix), _USR, _USR / "local"}
    found = (
        path
        for prefix in prefixes
        for library in _LIBRARIES
        for kind in ("site-packages", "dist-packages")
        for path in (prefix / library).glob(f"python*/{kind}")
        if path.is_dir() and not path.is_symlink()
    )
    return sorted({path.resolve() for path in found})


def shown_in_host_image(path: Path, *, packages: bool) -> bool:
    """Return whether a sandbox of image `host` can read a host path."""
    path = path.resolve()
    if not packages and any(path.is_relative_to(hidden) for hidden in package_directories()):
        return False
    base = Path(sys.base_prefix).resolve()
    shown = [_USR, base] if packages else [_USR, *(base / name for name in _LIBRARIES)]
    return any(path.is_relative_to(root) for root in (*shown, *(Path("/") / name for name in ("bin", "sbin", "lib"))))


def _without_python_scripts(folder: Path) -> Iterator[tuple[str, ...]]:
    """Hide scripts of hidden packages, which would be found on PATH but fail."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    scripts = {path for path in entries if _is_python_script(path)}
    if not scripts:
        return
    yield ("--tmpfs", str(folder))
    for path in entries:
        if path.is_symlink():
            yield ("--symlink", str(path.readlink()), str(path))
        elif path not in scripts:
            yield ("--ro-bind-try", str(path), str(path))
    yield ("--remount-ro", str(folder))


def _is_python_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first
