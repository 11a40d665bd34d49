"""A diff as rows that a template can colour: for display only, never for applying."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.diff import FileDiff, Hunk, scan_diff
from core.sanitize import one_line, screen_text
from heats.report.colour import Pieces, colour

_STATUS: Mapping[str, str] = {"add": "new", "delete": "deleted", "rename": "renamed", "copy": "copied"}
_SAID_ELSEWHERE = re.compile(
    rb"index [0-9a-f]|--- |\+\+\+ |new file mode 100644|deleted file mode 100644|Binary files "
)
MAX_LINE = 500

RowKind = Literal["add", "del", "same", "hunk", "note"]


@dataclass(slots=True)
class Row:
    """One line of a diff, with its line numbers in the old and new file, and its coloured pieces if known."""

    kind: RowKind
    text: str
    old: int | None = None
    new: int | None = None
    pieces: Pieces | None = None


@dataclass(slots=True)
class FileRows:
    """The rows of one file. `status` is `new`, `deleted`, `renamed`, `copied`, `binary` or empty."""

    name: str
    rows: list[Row]
    added: int = 0
    removed: int = 0
    status: str = ""


@dataclass(frozen=True, slots=True)
class DiffView:
    """A whole diff; `cut` is the number of bytes not shown."""

    files: tuple[FileRows, ...]
    cut: int

    @property
    def added(self) -> int:
        """Number of added lines among those shown."""
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        """Number of removed lines among those shown."""
        return sum(file.removed for file in self.files)

    @property
    def size(self) -> int:
        """Number of characters shown."""
        return sum(len(row.text) for file in self.files for row in file.rows)


def diff_view(data: bytes, limit: int = 60_000) -> DiffView:
    """Rows for a diff's first `limit` bytes; any bytes give something readable."""
    shown = data if len(data) <= limit else data[: max(data.rfind(b"\n", 0, limit), 0) + 1]
    return DiffView(tuple(map(_rows, scan_diff(shown))), len(data) - len(shown))


def _rows(file: FileDiff) -> FileRows:
    status = "binary" if file.binary or (file.flaw and file.flaw.kind == "no data") else _STATUS.get(file.change, "")
    shown = FileRows(one_line(file.name, 200), [], status=status)
    for line in file.header[1 if file.path else 0 :]:
        if not (file.path and _SAID_ELSEWHERE.match(line)):
            shown.rows.append(Row("note", _text(line)))
    if file.binary:
        shown.rows.append(Row("note", f"GIT binary patch ({file.binary_size:,} bytes)"))
    for hunk in file.hunks:
        shown.added, shown.removed = shown.added + hunk.count(b"+"), shown.removed + hunk.count(b"-")
        shown.rows += [Row("hunk", _text(hunk.header)), *_hunk_rows(hunk)]
    shown.rows += [Row("note", _text(line)) for line in file.prose]
    return shown


def _hunk_rows(hunk: Hunk) -> Iterator[Row]:
    old, new = hunk.old_start, hunk.new_start
    for line in hunk.lines:
        sign, text = line[:1], _text(line[1:])
        if sign == b"\\":
            yield Row("note", "\\ No newline at end of file")
        elif sign == b"+":
            yield Row("add", text, None, new)
        elif sign == b"-":
            yield Row("del", text, old, None)
        else:
            yield Row("same", text, old, new)
        old, new = old + (sign in b" -"), new + (sign in b" +")


def _text(raw: bytes) -> str:
    line = screen_text(raw.removesuffix(b"\r"), MAX_LINE).replace("\n", "\N{SYMBOL FOR NEWLINE}")
    return line + (f" [... {len(raw) - MAX_LINE:,} bytes cut here]" if len(raw) > MAX_LINE else "")


def colour_diff(view: DiffView) -> None:
    """Colour the rows of a diff; each hunk's old and new text are highlighted as one text each."""
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
