"""Repair diffs from other tools, editors and models so that `git apply` accepts them, or refuse with a reason.

Only unambiguous damage is repaired: CR LF line ends of the diff file, blank lines stripped from the end of the file or
of a hunk, paths without prefixes, and new files without a mode. Binary changes without data are dropped.
The result is checked again where it is applied.
"""

from dataclasses import dataclass

from core.diff import DiffSyntaxError, FileDiff, parse_diff, scan_diff
from core.diff_names import quote


@dataclass(frozen=True, slots=True)
class ReadDiff:
    """An applicable diff with its parsed parts, and one note per repair or omission."""

    data: bytes
    notes: tuple[str, ...] = ()
    files: tuple[FileDiff, ...] = ()


def read_diff(data: bytes) -> ReadDiff:
    """Read a diff from any tool. A diff that `git apply` accepts is returned byte for byte.

    Raises:
        DiffSyntaxError: the diff cannot be parsed or repaired; the message names the line and the hunk.
    """
    data, notes = _unix(data)
    if data.strip() and not data.endswith(b"\n"):
        data += b"\n"
    try:
        files = parse_diff(data)
        return ReadDiff(data if files else b"", tuple(notes), tuple(files))
    except DiffSyntaxError as error:
        first = error
    lines = data.split(b"\n")
    parts: list[bytes] = []
    for file in scan_diff(data):
        match file.flaw.kind if file.flaw else "":
            case "syntax":
                raise DiffSyntaxError(file.flaw.text if file.flaw else "")
            case "no data" | "nothing":
                notes.append(f"left out: {_reason(file)}")
            case "" if not file.path:
                continue
            case _:
                parts.append(_mended(file, lines, notes))
    if not parts:
        if notes:
            return ReadDiff(b"", tuple(notes))
        raise first
    mended = b"".join(parts)
    return ReadDiff(mended, tuple(notes), tuple(parse_diff(mended)))


def _unix(data: bytes) -> tuple[bytes, list[str]]:
    """Convert CR LF to LF wherever a whole part, headers included, uses CR LF; parts may differ."""
    lines = data.split(b"\n")
    starts = [number for number, line in enumerate(lines) if line.startswith(b"diff --git ")] or [0]
    changed = False
    for start, after in zip([0, *starts[1:]], [*starts[1:], len(lines)], strict=True):
        heads = [line for line in lines[start:after] if line.startswith((b"diff --git ", b"@@ -", b"--- ", b"+++ "))]
        if heads and all(line.endswith(b"\r") for line in heads):
            lines[start:after] = [line.removesuffix(b"\r") for line in lines[start:after]]
            changed = True
    return (b"\n".join(lines), ["the diff file had CR LF line ends; they were read as LF"]) if changed else (data, [])


def _reason(file: FileDiff) -> str:
    return file.flaw.text.partition(": ")[2] if file.flaw else ""


def _mended(file: FileDiff, lines: list[bytes], notes: list[str]) -> bytes:
    """Rebuild one part as git writes it. A part without a flaw keeps its bytes."""
    written = lines[file.first : file.after]
    if file.flaw is not None:
        body = [*written[len(file.header) :], b""] if file.binary else _hunk_lines(file)
        written = [*_header(file), *body]
        for number, hunk in enumerate(file.hunks, start=1):
            if hunk.missing:
                lost = "1 blank context line" if hunk.missing == 1 else f"{hunk.missing} blank context lines"
                notes.append(f"hunk {number} of {file.name}: put back {lost} that had been stripped from its end")
    return b"".join(line + b"\n" for line in written)


def _hunk_lines(file: FileDiff) -> list[bytes]:
    found: list[bytes] = []
    for hunk in file.hunks:
        text = (line if line != b"\\" else b"\\ No newline at end of file" for line in hunk.lines)
        found += [hunk.header, *text, *[b" "] * hunk.missing]
    return found


def _header(file: FileDiff) -> list[bytes]:
    """Header lines with a/ and b/ prefixes, and with the mode that a new or deleted file requires."""
    old, new = file.old_path or file.path, file.new_path or file.path
    sides: list[bytes] = []
    if file.hunks:
        sides = [b"--- " + _side(b"a/", file.old_path), b"+++ " + _side(b"b/", file.new_path)]
    if not file.header[0].startswith(b"diff --git "):
        return sides
    known = [line for line in file.header[1:] if not line.startswith((b"--- ", b"+++ "))]
    if file.change in ("add", "delete") and not any(b" file mode " in line for line in known):
        known.insert(0, (b"new" if file.change == "add" else b"deleted") + b" file mode 100644")
    return [b"diff --git " + quote(b"a/" + old) + b" " + quote(b"b/" + new), *known, *sides]


def _side(prefix: bytes, path: bytes | None) -> bytes:
    if path is None:
        return b"/dev/null"
    return quote(prefix + path) + (b"\t" if b" " in path else b"")
