"""A strict reader of git diffs: bytes in, one `FileDiff` per file out, or `DiffSyntaxError`.

It reads headers as `git apply` does and refuses everything it does not understand, so that what was checked is what
gets applied. Lines are split at LF only: form feeds, CR and Unicode separators are content.
Source: builtin/apply.c of git, `git_header_name`, `find_header`, `parse_fragment`.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

_HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
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


class DiffSyntaxError(ValueError):
    """The bytes are no diff that could be read to the end; the message says where."""


@dataclass(slots=True)
class Hunk:
    """One hunk. Lines keep their sign as first byte and have no LF; a missing last LF shows as a `\\` line."""

    old_start: int
    lines: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class FileDiff:
    """What a diff does to one file.

    Attributes:
        old_path: None for a new file; new_path: None for a deleted one. Raw bytes, unquoted, without `a/` and `b/`.
        old_mode: as written, such as `100644`; empty where the diff does not say.
        binary: the forward binary block (`literal n` or `delta n` and its base85 lines), else empty.
        binary_size: bytes the forward block says it inflates to.
    """

    old_path: bytes | None = None
    new_path: bytes | None = None
    old_mode: str = ""
    new_mode: str = ""
    change: Literal["modify", "add", "delete", "rename", "copy"] = "modify"
    hunks: list[Hunk] = field(default_factory=list)
    binary: bytes = b""
    binary_size: int = 0


def parse_diff(data: bytes) -> list[FileDiff]:
    """Read a diff as git makes it, or a traditional one (`--- a/x`, `+++ b/x`).

    Prose before and between files is skipped as `git apply` skips it (mail headers, signatures).

    Raises:
        DiffSyntaxError
    """
    if data and not data.endswith(b"\n"):
        raise DiffSyntaxError("the last line has no newline: the patch was cut or stripped")
    lines = data.split(b"\n")[:-1]
    files: list[FileDiff] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith(b"diff --git "):
            file, at = _git_section(lines, at)
            files.append(file)
        elif line.startswith(b"--- ") and at + 1 < len(lines) and lines[at + 1].startswith(b"+++ "):
            file, at = _traditional_section(lines, at)
            files.append(file)
        elif line.startswith((b"@@ -", b"GIT binary patch", b"diff --cc ", b"diff --combined ")):
            raise DiffSyntaxError(f"line {at + 1}: a change without its file header")
        else:
            at += 1
    if data.strip() and not files:
        raise DiffSyntaxError("no file header found")
    return files


def _git_section(lines: list[bytes], at: int) -> tuple[FileDiff, int]:
    start = at
    file = FileDiff()
    both = _names_of_git_line(lines[at][len(b"diff --git ") :])
    seen: dict[bytes, bytes] = {}
    at += 1
    while at < len(lines):
        key = next((header for header in _HEADERS if lines[at].startswith(header)), None)
        if key is None:
            break
        if key in seen:
            raise DiffSyntaxError(f"line {at + 1}: header given twice")
        seen[key] = lines[at][len(key) :]
        at += 1
    _apply_headers(file, seen, both, start)
    if at < len(lines) and lines[at] == b"GIT binary patch":
        at = _binary(lines, at + 1, file)
    elif at < len(lines) and lines[at].startswith(b"Binary files "):
        raise DiffSyntaxError(f"line {at + 1}: a binary change without its data")
    else:
        at = _hunks(lines, at, file)
    return file, at


def _apply_headers(file: FileDiff, seen: dict[bytes, bytes], both: bytes | None, start: int) -> None:
    def mode(key: bytes) -> str:
        return seen.get(key, b"").decode("latin-1")

    index = seen.get(b"index ", b"").split(b" ")
    shared = index[1].decode("latin-1") if len(index) > 1 else ""
    file.old_mode = mode(b"old mode ") or mode(b"deleted file mode ") or shared
    file.new_mode = mode(b"new mode ") or mode(b"new file mode ") or shared
    old, new = both, both
    if b"--- " in seen:
        old = _side(seen[b"--- "], b"a/")
    if b"+++ " in seen:
        new = _side(seen[b"+++ "], b"b/")
    for verb in (b"rename", b"copy"):
        if verb + b" from " in seen or verb + b" to " in seen:
            if verb + b" from " not in seen or verb + b" to " not in seen:
                raise DiffSyntaxError(f"line {start + 1}: half of a {verb.decode()}")
            source, target = _plain(seen[verb + b" from "]), _plain(seen[verb + b" to "])
            if (b"--- " in seen and old != source) or (b"+++ " in seen and new != target):
                raise DiffSyntaxError(f"line {start + 1}: headers disagree about the file name")
            old, new = source, target
            file.change = "rename" if verb == b"rename" else "copy"
    if b"new file mode " in seen:
        file.change = "add"
        _must_be_nothing(b"--- " in seen, old, start)
        old = None
    if b"deleted file mode " in seen:
        file.change = "delete"
        _must_be_nothing(b"+++ " in seen, new, start)
        new = None
    _check_names(file, old, new, both, start)


def _must_be_nothing(given: bool, name: bytes | None, start: int) -> None:
    if given and name is not None:
        raise DiffSyntaxError(f"line {start + 1}: headers disagree about whether the file exists")


def _check_names(file: FileDiff, old: bytes | None, new: bytes | None, both: bytes | None, start: int) -> None:
    if old is None and new is None:
        raise DiffSyntaxError(f"line {start + 1}: the file name cannot be told")
    if file.change == "modify" and (old is None or new is None):
        raise DiffSyntaxError(f"line {start + 1}: /dev/null without a new or deleted file mode")
    named = {name for name in (old, new) if name is not None}
    if file.change in ("modify", "add", "delete") and (len(named) != 1 or (both is not None and named != {both})):
        raise DiffSyntaxError(f"line {start + 1}: headers disagree about the file name")
    file.old_path, file.new_path = old, new


def _traditional_section(lines: list[bytes], at: int) -> tuple[FileDiff, int]:
    file = FileDiff(old_path=_side(lines[at][4:], b"a/"), new_path=_side(lines[at + 1][4:], b"b/"))
    if file.old_path is None and file.new_path is None:
        raise DiffSyntaxError(f"line {at + 1}: the file name cannot be told")
    if file.old_path is not None and file.new_path is not None and file.old_path != file.new_path:
        raise DiffSyntaxError(f"line {at + 1}: headers disagree about the file name")
    file.change = "add" if file.old_path is None else "delete" if file.new_path is None else "modify"
    if at + 2 >= len(lines) or not lines[at + 2].startswith(b"@@ -"):
        raise DiffSyntaxError(f"line {at + 3}: a hunk was expected")
    return file, _hunks(lines, at + 2, file)


def _hunks(lines: list[bytes], at: int, file: FileDiff) -> int:
    while at < len(lines) and lines[at].startswith(b"@@ -"):
        found = _HUNK.match(lines[at])
        if found is None:
            raise DiffSyntaxError(f"line {at + 1}: unreadable hunk header")
        old_left, new_left = (int(found[group] if found[group] is not None else 1) for group in (2, 4))
        hunk = Hunk(int(found[1]))
        at += 1
        while old_left > 0 or new_left > 0 or (at < len(lines) and lines[at].startswith(b"\\ ")):
            if at >= len(lines):
                raise DiffSyntaxError(f"line {at}: the patch ends inside a hunk")
            line = lines[at] or b" "  # some mailers and editors strip the blank of an empty context line; git allows it
            sign = line[:1]
            if sign not in (b" ", b"-", b"+", b"\\"):
                raise DiffSyntaxError(f"line {at + 1}: not a hunk line")
            old_left -= sign in b" -"
            new_left -= sign in b" +"
            hunk.lines.append(line if sign != b"\\" else b"\\")
            at += 1
        if old_left or new_left:
            raise DiffSyntaxError(f"line {at}: the hunk has more lines than its header says")
        file.hunks.append(hunk)
    return at


def _binary(lines: list[bytes], at: int, file: FileDiff) -> int:
    """Read the forward block and, where it is there, the reverse one."""
    for forward in (True, False):
        start = at
        found = re.match(rb"^(literal|delta) (\d+)$", lines[at]) if at < len(lines) else None
        if found is None:
            if forward:
                raise DiffSyntaxError(f"line {at + 1}: unreadable binary patch")
            return at
        at += 1
        while at < len(lines) and lines[at]:
            if not re.match(rb"^[A-Za-z][!-~]+$", lines[at]):
                raise DiffSyntaxError(f"line {at + 1}: unreadable binary patch")
            at += 1
        if at >= len(lines):
            raise DiffSyntaxError(f"line {at}: the patch ends inside a binary block")
        if forward:
            file.binary, file.binary_size = b"\n".join(lines[start:at]), int(found[2])
        at += 1
    return at


def _side(text: bytes, prefix: bytes) -> bytes | None:
    """Name on a `---` or `+++` line; None for /dev/null."""
    name = unquote(text)[0] if text.startswith(b'"') else text.split(b"\t")[0]
    if name == b"/dev/null":
        return None
    return _strip_prefix(name, prefix)


def _strip_prefix(name: bytes, prefix: bytes) -> bytes:
    if not name.startswith(prefix):
        raise DiffSyntaxError(f"a path without its {prefix.decode()} prefix")
    return name[len(prefix) :]


def _plain(text: bytes) -> bytes:
    return unquote(text)[0] if text.startswith(b'"') else text


def _names_of_git_line(text: bytes) -> bytes | None:
    """The one name that both sides of a `diff --git` line share; None when they differ or cannot be told apart."""
    if text.startswith(b'"'):
        first, rest = unquote(text)
        second = _plain(rest[1:])
        first, second = _strip_prefix(first, b"a/"), _strip_prefix(second, b"b/")
        return first if first == second else None
    if text.endswith(b'"') and b' "' in text:
        first, second = text.split(b' "', 1)
        first, second = _strip_prefix(first, b"a/"), _strip_prefix(unquote(b'"' + second)[0], b"b/")
        return first if first == second else None
    half, odd = divmod(len(text) - 1, 2)
    first, second = text[:half], text[half + 1 :]
    if odd == 0 and text[half : half + 1] == b" " and first[:2] == b"a/" and second[:2] == b"b/":
        return first[2:] if first[2:] == second[2:] else None
    return None


def unquote(text: bytes) -> tuple[bytes, bytes]:
    """Undo git's C-style quoting at the start of `text`; returns the name and what follows the closing quote."""
    out = bytearray()
    at = 1
    while at < len(text):
        char = text[at : at + 1]
        if char == b'"':
            return bytes(out), text[at + 1 :]
        if char != b"\\":
            out += char
            at += 1
            continue
        octal = text[at + 1 : at + 4]
        if re.fullmatch(rb"[0-3][0-7]{2}", octal):
            out.append(int(octal, 8))
            at += 4
        elif text[at + 1 : at + 2] in _ESCAPES:
            out.append(_ESCAPES[text[at + 1 : at + 2]])
            at += 2
        else:
            break
    raise DiffSyntaxError("a quoted path that does not end")
