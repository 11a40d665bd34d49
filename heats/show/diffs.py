"""A diff as rows that a template can colour: for reading only, never for applying."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from heats.report.colour import Pieces, colour
from heats.show.sanitize import from_bytes, one_line

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_STATUS = (
    (re.compile(r"new file mode "), "new"),
    (re.compile(r"deleted file mode "), "deleted"),
    (re.compile(r"rename from "), "renamed"),
    (re.compile(r"Binary files |GIT binary patch"), "binary"),
)
_SAID_ELSEWHERE = re.compile(r"index [0-9a-f]|--- |\+\+\+ |new file mode 100644|deleted file mode 100644")
MAX_LINE = 500

RowKind = Literal["add", "del", "same", "hunk", "note"]


@dataclass(slots=True)
class Row:
    """One line of a diff with its line numbers in the old and new file, and in coloured pieces where they are known."""

    kind: RowKind
    text: str
    old: int | None = None
    new: int | None = None
    pieces: Pieces | None = None


@dataclass(slots=True)
class FileRows:
    """The rows of one file. `status` is `new`, `deleted`, `renamed`, `binary` or empty."""

    name: str
    rows: list[Row]
    added: int = 0
    removed: int = 0
    status: str = ""


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

    @property
    def size(self) -> int:
        """Characters shown."""
        return sum(len(row.text) for file in self.files for row in file.rows)


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
            _note(file, line)
    return DiffView(tuple(files), len(data) - len(shown))


def _note(file: FileRows, line: str) -> None:
    file.status = next((status for start, status in _STATUS if start.match(line)), file.status)
    if not (file.name and _SAID_ELSEWHERE.match(line)):
        file.rows.append(Row("note", line))


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


def colour_diff(view: DiffView) -> None:
    """Give the rows of a diff their coloured pieces: each hunk's old and new text are read as one text each."""
    for file in view.files:
        for hunk in _hunks(file.rows):
            _colour(file.name, [row for row in hunk if row.kind != "add"])
            _colour(file.name, [row for row in hunk if row.kind != "del"])


def _hunks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    hunk: list[Row] = []
    for row in rows:
        if row.kind in {"hunk", "note"}:
            yield hunk
            hunk = []
        else:
            hunk.append(row)
    yield hunk


def _colour(name: str, rows: Sequence[Row]) -> None:
    for row, pieces in zip(rows, (colour(name, [row.text for row in rows]) or () if rows else ()), strict=False):
        row.pieces = pieces
