"""Parse git diffs: strictly for checking and applying patches, tolerantly for displaying them.

Headers are interpreted as `git apply` interprets them. Lines are split at LF only; form feeds, CR and Unicode
separators are content.
Source: apply.c of git (`git_header_name`, `find_header`, `parse_traditional_patch`, `parse_fragment`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from core.diff_names import Names, NamesUnclear, git_names, traditional_names
from core.errors import ExpectedError

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_HEADERS = (
    b"old mode ",
    b"new mode ",
    b"deleted file mode ",
    b"new file mode ",
    b"copy from ",
    b"copy to ",
    b"rename from ",
    b"rename to ",
    b"similarity index ",
    b"dissimilarity index ",
    b"index ",
    b"--- ",
    b"+++ ",
)
_GIT, _BINARY = b"diff --git ", b"GIT binary patch"
_HEADLESS = (b"@@ -", _BINARY, b"diff --cc ", b"diff --combined ")
_BLOCK, _BASE85 = re.compile(rb"^(literal|delta) (\d+)$"), re.compile(rb"^[A-Za-z][!-~]+$")
_FULL_INDEX = re.compile(rb"^index ([0-9a-f]{40}|[0-9a-f]{64})\.\.([0-9a-f]{40}|[0-9a-f]{64})( |$)")
_CONTEXT = 3
"""Context lines that git puts after a change; a hunk can lack at most this many at its end."""
_NO_DATA = re.compile(rb"^(Binary files|Files) .* differ$")
Change = Literal["modify", "add", "delete", "rename", "copy"]
FlawKind = Literal["syntax", "no data", "nothing", "no prefix", "no mode", "short"]
"""Why a part cannot be applied as written. `syntax`: unparsable. `no data`: a binary change without its data.
`nothing`: nothing follows the header. `no prefix`: paths without a prefix. `no mode`: a new or deleted file without a
mode. `short`: trailing blank context lines of a hunk were stripped."""


class DiffSyntaxError(ExpectedError, ValueError):
    """The bytes are not a complete diff; the message names the offending line."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a part cannot be applied as written. `text` is a one-line explanation."""

    kind: FlawKind
    text: str


@dataclass(slots=True)
class Hunk:
    """One hunk of a file diff.

    Attributes:
        header: the `@@` line.
        lines: body lines including their sign, without LF; a missing final newline is a line `\\`.
        missing: context lines that the header announces but the body lacks.
    """

    header: bytes
    old_start: int
    new_start: int
    lines: list[bytes] = field(default_factory=list)
    missing: int = 0

    def count(self, sign: bytes) -> int:
        """Count the lines with the given sign."""
        return sum(line[:1] == sign for line in self.lines)


@dataclass(slots=True)
class FileDiff:
    """The changes to one file.

    Attributes:
        old_path: raw, unquoted bytes without prefix; None for a new file.
        new_path: likewise; None for a deleted file.
        old_mode: as written, such as `100644`; empty if the diff does not state it.
        binary: the forward binary block (`literal n` or `delta n` and its base85 lines), else empty.
        binary_size: inflated size in bytes that the forward block announces.
        header: lines before the first hunk or binary block, as written.
        first: zero-based number of the part's first line.
        after: zero-based number of the line after the part.
        prose: following lines that belong to no file.
        flaw: why the part cannot be applied as written, if it cannot.
    """

    old_path: bytes | None = None
    new_path: bytes | None = None
    old_mode: str = ""
    new_mode: str = ""
    change: Change = "modify"
    hunks: list[Hunk] = field(default_factory=list)
    binary: bytes = b""
    binary_size: int = 0
    header: list[bytes] = field(default_factory=list)
    first: int = 0
    after: int = 0
    prose: list[bytes] = field(default_factory=list)
    flaw: Flaw | None = None

    @property
    def path(self) -> bytes:
        """The new path, or the old path of a deleted file; empty if unknown."""
        return self.new_path or self.old_path or b""

    @property
    def name(self) -> str:
        """`path` as text, with bytes that are not UTF-8 escaped."""
        return self.path.decode("utf-8", "backslashreplace")

    def spoil(self, kind: FlawKind, line: int, text: str) -> None:
        """Record a flaw. The first one is kept, except that a syntax flaw replaces any other kind.

        Args:
            kind: what is wrong.
            line: zero-based line number.
            text: explanation, without the line number.
        """
        if self.flaw is None or (kind == "syntax" and self.flaw.kind != "syntax"):
            self.flaw = Flaw(kind, f"line {line + 1}: {text}")


@dataclass(frozen=True, slots=True)
class DiffStats:
    """Size of a diff: its files in order, by new name, and the number of text lines added and removed."""

    files: tuple[str, ...]
    added: int
    removed: int


def parse_diff(data: bytes) -> list[FileDiff]:
    """Parse a git or traditional (`--- a/x`, `+++ b/x`) diff for checking and applying.

    Prose before and between files, such as mail headers and signatures, is skipped as `git apply` skips it. Paths may
    have any one-component prefix.

    Raises:
        DiffSyntaxError: a part cannot be applied as written, or there is no part at all.
    """
    if data and not data.endswith(b"\n"):
        raise DiffSyntaxError("the last line has no newline: the patch was cut or stripped")
    files = [file for file in scan_diff(data) if file.path or file.flaw]
    for file in files:
        if file.flaw is not None:
            raise DiffSyntaxError(file.flaw.text)
    if data.strip() and not files:
        raise DiffSyntaxError("no file header found")
    return files


def scan_diff(data: bytes) -> list[FileDiff]:
    """Parse arbitrary bytes as a diff for display and counting. Parts that cannot be applied carry a `flaw`.

    Prose before the first file becomes a part without a path.
    """
    lines = data.split(b"\n")
    return _Scanner(lines[:-1] if not lines[-1] else lines).scan()


def diff_stats(data: bytes | Iterable[FileDiff]) -> DiffStats:
    """Count the files and changed lines of a diff; accepts arbitrary bytes."""
    files = scan_diff(data) if isinstance(data, bytes) else list(data)
    hunks = [hunk for file in files for hunk in file.hunks]
    names = dict.fromkeys(file.name for file in files if file.path)
    return DiffStats(tuple(names), sum(hunk.count(b"+") for hunk in hunks), sum(hunk.count(b"-") for hunk in hunks))


def touched(files: Iterable[FileDiff]) -> set[str]:
    """Collect every old and new path in a diff, as text."""
    paths = {path for file in files for path in (file.old_path, file.new_path) if path is not None}
    return {path.decode("utf-8", "backslashreplace") for path in paths}


class _Scanner:
    """Single pass over the lines. Each line belongs to a header, hunk or binary block, or is prose after one."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.at = 0
        self.found: list[FileDiff] = []
        self.unclear: list[FileDiff] = []
        self.prefixes: set[str] = set()

    def scan(self) -> list[FileDiff]:
        """Parse all parts, in order."""
        while self.at < len(self.lines):
            line = self._line()
            if line.startswith(_GIT):
                self._git_part()
            elif self._begins_traditional_part():
                self._traditional_part()
            elif line.startswith(_HEADLESS):
                self._headless_part()
            elif _NO_DATA.match(line):
                self._part().spoil("no data", self.at, line.decode("utf-8", "backslashreplace"))
                self.at += 1
            else:
                if not self.found:
                    self._part()
                self.found[-1].prose.append(line)
                self.at += 1
        for file in self.unclear:
            self._settle(file)
        return [file for file in self.found if file.path or file.flaw or any(file.prose)]

    def _line(self, ahead: int = 0) -> bytes:
        return self.lines[self.at + ahead] if self.at + ahead < len(self.lines) else b""

    def _part(self) -> FileDiff:
        self.found.append(FileDiff(first=self.at, after=self.at))
        return self.found[-1]

    def _begins_traditional_part(self) -> bool:
        starts = zip((b"--- ", b"+++ ", b"@@ -"), range(3), strict=True)
        return all(self._line(ahead).startswith(start) for start, ahead in starts)

    def _headless_part(self) -> None:
        file = self._part()
        file.spoil("syntax", self.at, "a change without its file header")
        self._body(file)
        if file.after == file.first:
            file.header.append(self._line())
            self.at += 1

    def _git_part(self) -> None:
        file, seen = self._part(), dict[bytes, bytes]()
        self.at += 1
        while key := next((header for header in _HEADERS if self._line().startswith(header)), None):
            if key in seen:
                file.spoil("syntax", self.at, "header given twice")
            seen.setdefault(key, self._line()[len(key) :])
            self.at += 1
        file.header = self.lines[file.first : self.at]
        _read_modes(file, seen)
        try:
            self._name(file, git_names(file.header[0][len(_GIT) :], seen))
        except NamesUnclear as error:
            file.spoil("syntax", file.first, str(error))
        if file.change == "modify" and file.path and None in (file.old_path, file.new_path):
            file.change = "add" if file.old_path is None else "delete"
            file.spoil("no mode", file.first, f"{file.name}: /dev/null without a new or deleted file mode")
        self._body(file)
        if not (file.hunks or file.binary or file.flaw) and file.change == "modify" and file.old_mode == file.new_mode:
            file.spoil("nothing", file.first, f"{file.name}: the file header is followed by nothing")

    def _traditional_part(self) -> None:
        file = self._part()
        file.header = [self._line(), self._line(1)]
        try:
            names = traditional_names(self._line()[4:], self._line(1)[4:])
            self._name(file, names)
        except NamesUnclear as error:
            names = Names(None, None, "some")
            file.spoil("syntax", self.at, str(error))
        self.at += 2
        self._body(file)
        file.change = "add" if names.old is None else "delete" if names.new is None else "modify"

    def _name(self, file: FileDiff, names: Names) -> None:
        """Set the part's paths."""
        file.old_path = None if file.change == "add" else names.old
        file.new_path = None if file.change == "delete" else names.new
        self.prefixes.add(names.prefix)
        if names.prefix == "none":
            file.spoil("no prefix", file.first, f"{file.name}: paths without the prefixes a/ and b/")
        if names.prefix == "unclear":
            self.unclear.append(file)

    def _settle(self, file: FileDiff) -> None:
        """Decide from the other parts whether an ambiguous path starts with a prefix."""
        if "some" in self.prefixes and "none" not in self.prefixes:
            file.old_path, file.new_path = (path and path.partition(b"/")[2] for path in (file.old_path, file.new_path))
        elif "none" in self.prefixes and "some" not in self.prefixes:
            file.spoil("no prefix", file.first, f"{file.name}: paths without the prefixes a/ and b/")
        else:
            file.spoil("syntax", file.first, f"{file.name}: write a/ or b/ before it; its first folder may be a prefix")

    def _body(self, file: FileDiff) -> None:
        if self._line() == _BINARY:
            self.at += 1
            self._binary(file)
        elif _NO_DATA.match(self._line()):
            file.spoil("no data", self.at, f"{file.name}: a binary change without its data")
            file.header.append(self._line())
            self.at += 1
        while self._line().startswith(b"@@ -"):
            self._hunk(file)
        file.after = self.at

    def _hunk(self, file: FileDiff) -> None:
        found = _HUNK.match(self._line())
        if found is None:
            file.spoil("syntax", self.at, "unreadable hunk header")
        old, new = (0, 0) if found is None else (int(found[2] or 1), int(found[4] or 1))
        hunk = Hunk(self._line(), int(found[1]) if found else 0, int(found[3]) if found else 0)
        file.hunks.append(hunk)
        lines, at = self.lines, self.at + 1
        while at < len(lines):
            line = lines[at] or b" "  # some mailers and editors strip the blank of an empty context line; git allows it
            sign = line[:1]
            if sign == b" " and old and new:
                old, new = old - 1, new - 1
            elif sign == b"-" and old:
                old -= 1
            elif sign == b"+" and new:
                new -= 1
            elif sign == b"\\":
                line = sign
            else:
                break
            hunk.lines.append(line)
            at += 1
            if not (old or new or (at < len(lines) and lines[at].startswith(b"\\ "))):
                break
        self.at = at
        if old or new:
            self._cut_hunk(file, hunk, old, new)

    def _cut_hunk(self, file: FileDiff, hunk: Hunk, old: int, new: int) -> None:
        """Flag a hunk that ends early: `short` if only trailing blank context is missing, else a syntax error."""
        ends = self.at >= len(self.lines) or self._line().startswith((_GIT, b"@@ -"))
        where = f"hunk {len(file.hunks)} of {file.name or 'an unnamed file'}"
        if ends and old == new <= _CONTEXT and (hunk.count(b"+") or hunk.count(b"-")):
            hunk.missing = old
            file.spoil("short", self.at - 1, f"{where}: {old} blank context lines are missing at its end")
        elif ends:
            file.spoil("syntax", self.at - 1, f"{where} is cut: {old} old and {new} new lines are missing")
        else:
            file.spoil("syntax", self.at, f"{where}: unexpected line; the hunk header announces something else")

    def _binary(self, file: FileDiff) -> None:
        """Read the forward binary block and the reverse one, if present."""
        for forward in (True, False):
            start, found = self.at, _BLOCK.match(self._line())
            if found is None:
                if forward:
                    file.spoil("syntax", self.at, "unreadable binary patch")
                return
            self.at += 1
            while self._line():
                if not _BASE85.match(self._line()):
                    file.spoil("syntax", self.at, "unreadable binary patch")
                    return
                self.at += 1
            if self.at >= len(self.lines):
                file.spoil("short", self.at - 1, f"{file.name}: the binary block has no blank line at its end")
            if forward:
                file.binary, file.binary_size = b"\n".join(self.lines[start : self.at]), int(found[2])
            self.at += 1
        if not any(_FULL_INDEX.match(line) for line in file.header):
            file.spoil("no data", file.first, f"{file.name}: binary data without the full object ids that git needs")


def _read_modes(file: FileDiff, seen: dict[bytes, bytes]) -> None:
    def mode(key: bytes) -> str:
        return seen.get(key, b"").decode("latin-1")

    index = seen.get(b"index ", b"").split(b" ")
    shared = index[1].decode("latin-1") if len(index) > 1 else ""
    file.old_mode = mode(b"old mode ") or mode(b"deleted file mode ") or shared
    file.new_mode = mode(b"new mode ") or mode(b"new file mode ") or shared
    verbs: tuple[tuple[bytes, Change], ...] = (
        (b"rename from ", "rename"),
        (b"copy from ", "copy"),
        (b"new file mode ", "add"),
        (b"deleted file mode ", "delete"),
    )
    for key, change in verbs:
        if key in seen:
            file.change = change
