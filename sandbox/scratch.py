"""Private host directories of sandboxes, each labelled with its owner."""

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core.record import Record
from sandbox.cgroup import remove_group
from sandbox.errors import BackendUnavailable
from sandbox.owner import Owner

_RECORD = "owner.json"
_DU_S = 60.0


class _Record(Record):
    host: str
    owner: str
    backend: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class ScratchLeftOver:
    """A scratch directory whose owner is dead."""

    path: Path
    backend: str
    labels: Mapping[str, str]


def make_scratch(root: Path, backend: str, labels: Mapping[str, str]) -> Path:
    """Create a directory that no other user can read.

    Args:
        root: parent directory; created if missing.
        backend: name of the backend, which becomes part of the directory's name.
        labels: labels from the spec, recorded in the directory.

    Returns:
        The new directory.

    Raises:
        BackendUnavailable: the root belongs to another user, or the directory cannot be created.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if root.is_symlink() or root.stat().st_uid != os.getuid():
            raise BackendUnavailable(f"{root} belongs to another user; set sandbox.scratch_dir")
        owner = Owner.this_process()
        path = root / f"{backend}-{owner.pid}-{owner.started}-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
    except OSError as error:
        raise BackendUnavailable(f"no scratch directory in {root}: {error.strerror}") from error
    record = _Record(host=owner.host, owner=str(owner), backend=backend, labels=dict(labels))
    (path / _RECORD).write_text(record.model_dump_json(), encoding="utf-8")
    return path


def remove_scratch(path: Path) -> None:
    """Remove a sandbox's directory, including unreadable subdirectories, and its control group. Never raises."""
    remove_group(path.name)
    for directory, _, _ in os.walk(path, onerror=None):
        with contextlib.suppress(OSError):
            for entry in os.scandir(directory):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700, follow_symlinks=True)
    shutil.rmtree(path, ignore_errors=True)


def disk_usage(root: Path, names: Collection[str]) -> dict[str, int]:
    """Measure the disk usage, in bytes, of directories in `root`. Blocking; call it in a thread.

    Uses `du` because sandboxes may be writing to the trees concurrently; it follows no links and stays on one file
    system.

    Raises:
        OSError: `du` is missing or does not finish.
    """
    argv = ["du", "-skx", "--", *(str(root / name) for name in names)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_DU_S, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"du did not end within {_DU_S:.0f} s") from error
    lines = (line.partition("\t") for line in done.stdout.decode("utf-8", "surrogateescape").splitlines())
    return {Path(path).name: int(kib) << 10 for kib, _, path in lines if kib.isdigit()}


def scratch_leftovers(root: Path, backend: str) -> Iterator[ScratchLeftOver]:
    """Find directories of dead owners."""
    if not root.is_dir() or root.is_symlink():
        return
    for path in sorted(root.glob(f"{backend}-*")):
        try:
            record = _Record.model_validate_json((path / _RECORD).read_bytes())
        except (OSError, ValidationError):
            # Its owner died while creating or removing it. The name alone identifies only owners on this machine.
            record = _nameless(path.name, backend)
        owner = Owner.parse(record.host, record.owner)
        if owner is not None and owner.dead:
            yield ScratchLeftOver(path, record.backend, record.labels)


def _nameless(name: str, backend: str) -> _Record:
    """Reconstruct the owner from a directory's name, assuming this machine and boot."""
    here, parts = Owner.this_process(), name.split("-")
    owner = ":".join((here.boot, *parts[1:3])) if len(parts) == 4 else ""
    return _Record(host=here.host, owner=owner, backend=backend, labels={})
