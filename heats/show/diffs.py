"""A diff as rows that a template can colour: for reading only, never for applying."""

import re
from dataclasses import dataclass
from typing import Literal

from heats.show.sanitize import from_bytes, one_line

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
MAX_LINE = 500

RowKind = Literal["add", "del", "same", "hunk", "note"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a diff with its line numbers in the old and new file."""

    kind: RowKind
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(slots=True)
class FileRows:
    """The rows of one file."""

    name: str
    rows: list[Row]
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class DiffView:
    """A whole diff; `cut` says how many bytes are not shown."""

    files: tuple[FileRows, ...]
    cut: int

    @property
    def added(self) -> int:
        """Lines added, of those shown."""
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        """Lines removed, of those shown."""
        return sum(file.removed for file in self.files)


def read_diff(data: bytes, limit: int = 60_000) -> DiffView:
    """Rows of a diff's first `limit` bytes. Whatever the bytes are, something readable comes out."""
    shown = data if len(data) <= limit else data[: max(data.rfind(b"\n", 0, limit), 0) + 1]
    files: list[FileRows] = []
    old = new = left_old = left_new = 0
    for raw in shown.split(b"\n")[: -1 if shown.endswith(b"\n") else None]:
        line = _text(raw)
        inside = left_old > 0 or left_new > 0
        if line.startswith("diff --git "):  # within a hunk every line has a sign before it
            files.append(FileRows(_name(line), []))
            left_old = left_new = 0
            continue
        if not files:
            files.append(FileRows("", []))
        file, hunk = files[-1], None if inside else _HUNK.match(line)
        if hunk:
            old, new = int(hunk[1]), int(hunk[3])
            left_old, left_new = int(hunk[2] or 1), int(hunk[4] or 1)
            file.rows.append(Row("hunk", line))
        elif inside and line[:1] in {"+", "-", " ", ""}:
            row, used_old, used_new = _row(line, old, new)
            old, new, left_old, left_new = old + used_old, new + used_new, left_old - used_old, left_new - used_new
            file.added, file.removed = file.added + (row.kind == "add"), file.removed + (row.kind == "del")
            file.rows.append(row)
        else:
            file.rows.append(Row("note", line))
    return DiffView(tuple(files), len(data) - len(shown))


def _text(raw: bytes) -> str:
    line = from_bytes(raw.removesuffix(b"\r"), MAX_LINE).replace("\n", "\N{SYMBOL FOR NEWLINE}")
    return line + (f" [... {len(raw) - MAX_LINE:,} bytes cut here]" if len(raw) > MAX_LINE else "")


def _row(line: str, old: int, new: int) -> tuple[Row, int, int]:
    if line.startswith("+"):
        return Row("add", line[1:], None, new), 0, 1
    if line.startswith("-"):
        return Row("del", line[1:], old, None), 1, 0
    return Row("same", line[1:], old, new), 1, 1


def _name(header: str) -> str:
    """The path of a file, as its `diff --git` line names it last."""
    return one_line(header.rpartition(" b/")[2] or header, 200)
