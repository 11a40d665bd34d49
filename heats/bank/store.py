"""A bank as a file of JSON lines: a journal of changes, which people can read, edit and share.

A line is a `Batch` of changes or simply an `Entry`. The entries of a bank follow from its lines, in order. Lines are
appended in a single write under a lock, so a bank may have any number of writers, and a killed one leaves whole lines:
a last line that is the beginning of a `Batch` was being written when its writer was killed, and is cut off.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from core.textfile import decode
from heats.bank.entry import Batch, Change, Entry, Source, entries_of
from heats.errors import UsageError
from heats.store.files import append_whole

Plan = Callable[[Mapping[str, Entry]], Sequence[Change]]
"""Decides on changes, given the entries by id."""
NOBODY = Source()
_BEGINS = b'{"changes":['
"""The beginning of every line that `Bank` writes."""


class Bank:
    """A bank; a file that does not exist is an empty one.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> dict[str, Entry]:
        """The entries by id, oldest first.

        Raises:
            UsageError: a line is not valid, or the file cannot be read.
        """
        return entries_of(self.batches())

    def batches(self) -> list[Batch]:
        """All lines, in order.

        Raises:
            UsageError
        """
        return list(self._read(self._bytes()))

    def apply(self, plan: Plan, *, key: str = "", by: str = "", source: Source = NOBODY) -> Sequence[Change]:
        """Make changes, all or none; those of a key that has been applied are not made again.

        Args:
            plan: called with the current entries while no other writer can change them.
            key: names the work that the changes result from.
            by: who makes them.
            source: the task that they result from.

        Returns:
            The changes that this key has made, now or earlier.

        Raises:
            UsageError: the bank cannot be read or written.
        """
        with self._locked():
            data = self._bytes()
            batches = list(self._read(data))
            before = next((batch for batch in batches if key and batch.key == key), None)
            if before is not None:
                return before.changes
            changes = tuple(plan(entries_of(batches)))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            if changes or key:
                self._append(data, Batch(changes=changes, key=key, by=by, source=source, at=now))
            return changes

    def _append(self, before: bytes, batch: Batch) -> None:
        line = batch.model_dump_json(exclude_defaults=True).encode() + b"\n"
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            whole = before.rfind(b"\n") + 1
            if _torn(before[whole:]):
                os.ftruncate(file, whole)  # a writer was killed here
            elif whole < len(before):
                line = b"\n" + line  # an editor left the last line without an end
            append_whole(file, line)
            os.fsync(file)
        finally:
            os.close(file)

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise UsageError(f"the bank {self.path} cannot be read: {error.strerror}") from None

    def _read(self, data: bytes) -> Iterator[Batch]:
        """Parse lines; a last line that was being written does not count."""
        lines = data.split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            batch = _parsed(line)
            if batch is not None:
                yield batch
            elif number < len(lines) or not _torn(line):
                raise UsageError(f"the bank {self.path}: line {number} is not an entry: correct or remove it")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out. The lock is a file of its own, since an editor replaces the bank itself."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UsageError(f"the bank {self.path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _torn(line: bytes) -> bool:
    """Whether a last line is the beginning of one that a writer was killed at, and not one that a person got wrong."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return bool(line.strip()) and (line.startswith(_BEGINS) or _BEGINS.startswith(line))
    return False


def _parsed(line: bytes) -> Batch | None:
    for read in (_batch, _bare_entry):
        try:
            return read(line)
        except (ValidationError, UnicodeDecodeError):
            continue
    return None


def _batch(line: bytes) -> Batch:
    return Batch.model_validate_json(decode(line))


def _bare_entry(line: bytes) -> Batch:
    return Batch(changes=(Change(entry=Entry.model_validate_json(decode(line))),))


def exported(entries: Sequence[Entry]) -> bytes:
    """A bank with these entries and no history: a line for each."""
    return "".join(f"{entry.model_dump_json(exclude_defaults=True)}\n" for entry in entries).encode()
