"""Private directories of sandboxes on this machine, each of which names its owner."""

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
    """A directory whose owner is dead."""

    path: Path
    backend: str
    labels: Mapping[str, str]


def make_scratch(root: Path, backend: str, labels: Mapping[str, str]) -> Path:
    """Make a directory that no other user can read.

    Raises:
        BackendUnavailable: the root belongs to another user, or cannot be made.
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
    """Remove a sandbox's directory with all that is closed to us in it, and its control group. Never raises."""
    remove_group(path.name)
    for directory, _, _ in os.walk(path, onerror=None):
        with contextlib.suppress(OSError):
            for entry in os.scandir(directory):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700, follow_symlinks=True)
    shutil.rmtree(path, ignore_errors=True)


def disk_usage(root: Path, names: Collection[str]) -> dict[str, int]:
    """Bytes on the disk below each of these directories of `root`. It blocks: call it in a thread.

    `du` walks the trees, since their owners may be writing into them just now: it follows no links and leaves no file
    system.

    Raises:
        OSError: there is no `du`, or it does not end.
    """
    argv = ["du", "-skx", "--", *(str(root / name) for name in names)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_DU_S, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"du did not end within {_DU_S:.0f} s") from error
    lines = (line.partition("\t") for line in done.stdout.decode("utf-8", "surrogateescape").splitlines())
    return {Path(path).name: int(kib) << 10 for kib, _, path in lines if kib.isdigit()}


def scratch_leftovers(root: Path, backend: str) -> Iterator[ScratchLeftOver]:
    """Directories of dead owners."""
    if not root.is_dir() or root.is_symlink():
        return
    for path in sorted(root.glob(f"{backend}-*")):
        try:
            record = _Record.model_validate_json((path / _RECORD).read_bytes())
        except (OSError, ValidationError):
            # Its owner died while making or removing it. The name alone identifies owners on this machine only.
            record = _nameless(path.name, backend)
        owner = Owner.parse(record.host, record.owner)
        if owner is not None and owner.dead:
            yield ScratchLeftOver(path, record.backend, record.labels)


def _nameless(name: str, backend: str) -> _Record:
    """The owner that a directory's name gives, taken to be of this machine and boot."""
    here, parts = Owner.this_process(), name.split("-")
    owner = ":".join((here.boot, *parts[1:3])) if len(parts) == 4 else ""
    return _Record(host=here.host, owner=owner, backend=backend, labels={})
