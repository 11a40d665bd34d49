"""Durable files: written completely or not at all, and logs whose lines survive the process.

All records of a run are written here. A reader finds the old content, the new content or nothing, but never a part.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)
NOT_A_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors that mean there is nothing to read at a path; others, such as too many open files, propagate."""


def write_bytes(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file atomically: temporary file, fsync, rename, fsync of the directory. Creates parent directories.

    Args:
        path: the file.
        data: its new contents.
        mode: permission bits.
        durable: False skips the fsyncs: complete or absent after a kill, but possibly old after a power failure.

    Raises:
        OSError: the disk is full or the directory is not writable; the old contents are still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = str(path)  # the temporary file's name means nothing to the user
        raise
    if durable:
        _sync_directory(path.parent)


def write_record(path: Path, record: BaseModel, *, durable: bool = True) -> None:
    """Write a record as JSON, atomically.

    Args:
        path: the file.
        record: the record.
        durable: see `write_bytes`.
    """
    write_bytes(path, record.model_dump_json(indent=1).encode() + b"\n", durable=durable)


def read_record(path: Path, model: type[Model]) -> Model | None:
    """Read a record; None if it is missing, incomplete or invalid (`faults.py` says why)."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (*NOT_A_FILE, ValidationError):
        return None


def append_whole(file: int, data: bytes) -> None:
    """Append to a file without other writers, in a single write: all of the data or none.

    On a full disk a write may silently be partial, and the next line would be appended to the fragment.

    Raises:
        OSError: the disk is full.
    """
    written = os.write(file, data)
    if written < len(data):
        os.ftruncate(file, os.fstat(file).st_size - written)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class LineLog:
    """An append-only file of JSON lines, with a single writer.

    Args:
        path: the file; it and its parents are created, and a line torn by a crash is cut off.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.truncate(path, whole)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, record: BaseModel, *, sync: bool = True) -> None:
        """Append one record as a line, in a single write.

        Args:
            record: the record.
            sync: False lets the system decide when to write to disk: the line survives a kill, but not a power failure.

        Raises:
            OSError: the disk is full; nothing of the record is in the file.
        """
        append_whole(self._file, record.model_dump_json(exclude_defaults=True).encode() + b"\n")
        if sync:
            os.fsync(self._file)

    def close(self) -> None:
        """Sync the file to disk and close it."""
        os.fsync(self._file)
        os.close(self._file)


def read_lines(path: Path, model: type[Model]) -> Iterator[Model]:
    """Records of a line log in order; incomplete or invalid lines are skipped (`faults.py` says which)."""
    try:
        lines = path.open("rb")
    except NOT_A_FILE:
        return
    with lines:
        for line in lines:
            with suppress(ValidationError):
                if line.endswith(b"\n"):
                    yield model.model_validate_json(line)


def there_is(name: str) -> bool:
    """Whether an arbitrary text names something on disk; a text too long for a name does not."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def slug(name: str) -> str:
    """A name as one safe path component: unchanged if it already is one, else shortened and extended by a digest."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:60] or "task"
    return f"{plain}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
