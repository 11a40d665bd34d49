"""Remove comments from a diff, so that a judge sees what a change does and not what it says about itself.

Only headers and hunks are kept; surrounding text is not part of the change. `comments.py` finds comments; a docstring
goes if it ends in the same hunk. When in doubt, text is kept, and so is a comment or docstring that the change puts
around code or takes away from around code.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from core.diff import FileDiff, Hunk, scan_diff
from tournament.comments import Language, begins_in_string, heading_without_comments, language_of, without_comments

_DOCSTRING = re.compile(r"\s*[rRuUbB]{0,2}(\"\"\"|''')")  # an f-string may run code
_TRIPLE = re.compile(r"\"\"\"|'''")
_DEFINITION = re.compile(r"\s*(?:(?:async\s+)?def\b|class\b|\)).*:$")
"""The end of the line before a docstring, be it the last of a signature that takes several."""
_HUNK_HEADER = re.compile(rb"@@ [^@]* @@")
_COUNTS = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def strip_comments(diff: str) -> str:
    """Remove comment lines, trailing comments and Python docstrings. The result is for reading, not for applying."""
    files = [file for file in scan_diff(diff.encode("utf-8", "surrogatepass")) if file.path or file.hunks]
    if not files:
        return diff
    text = "\n".join(line for file in files for line in _file_lines(file))
    return text + ("\n" if diff.endswith("\n") else "")


def _file_lines(file: FileDiff) -> Iterator[str]:
    yield from map(_text, file.header)
    if file.binary:
        yield f"GIT binary patch ({file.binary_size} bytes)"
    name = PurePosixPath(file.name)
    kind = (name.suffix.lstrip(".") or name.name).lower()
    language = language_of(kind)
    for hunk in file.hunks:
        # The text after the second @@ may be a line of the file or anything else.
        bounds = _HUNK_HEADER.match(hunk.header)
        heading = "" if bounds is None else heading_without_comments(_text(hunk.header[bounds.end() :]), language)
        lines = list(_hunk_lines(hunk, language, python=kind in ("py", "pyi", "pyw", "pyx")))
        header = _text(hunk.header if bounds is None else bounds[0])
        yield (header if len(lines) == len(hunk.lines) else _counted(header, lines)) + heading
        yield from lines


def _counted(header: str, lines: Sequence[str]) -> str:
    """A hunk's header with the number of lines that are left: a judge takes wrong numbers for a broken patch."""
    old, new = (sum(line[0] in (" ", sign) for line in lines) for sign in "-+")
    return _COUNTS.sub(lambda found: f"@@ -{found[1]},{old} +{found[2]},{new} @@", header)


def _hunk_lines(hunk: Hunk, language: Language, *, python: bool) -> Iterator[str]:
    lines = [_text(line) for line in hunk.lines]
    sides = [_Side(lines, signs, language, python=python) for signs in ("- ", "+ ")]
    while differing := [index for index in sides[0].left.keys() & sides[1].left if _differ(sides, index)]:
        restored = [side.restore(differing) for side in sides]
        if not any(restored):
            break
    for index, line in enumerate(lines):
        if line[0] == "\\":
            yield "\\ No newline at end of file"
            continue
        left = sides[0 if line[0] == "-" else 1].left[index]
        if line[0] == " " and _differ(sides, index):
            left = line[1:]
        if left is not None:
            yield line[0] + left


def _differ(sides: Sequence["_Side"], index: int) -> bool:
    return sides[0].left[index] != sides[1].left[index]


class _Side:
    """The old or the new side of a hunk without its comments.

    Args:
        lines: the hunk's lines.
        signs: the signs of the lines on this side.
        language: the file's language.
        python: whether docstrings are removed.

    Attributes:
        left: what is left of each line of this side, by its index; None where nothing is.
    """

    def __init__(self, lines: Sequence[str], signs: str, language: Language, *, python: bool) -> None:
        self._code = {index: line[1:] for index, line in enumerate(lines) if line[0] in signs}
        numbers, code = list(self._code), list(self._code.values())
        found = without_comments(code, language)
        docstrings = list(_docstrings_of(code)) if python else []
        self.left = dict(zip(numbers, found.lines, strict=True))
        self.left |= {numbers[at]: None for start, end in docstrings for at in range(start, end + 1)}
        blocks = sorted({*found.blocks, *docstrings})
        self._block_of = {numbers[at]: block for block in blocks for at in range(block[0], block[1] + 1)}
        self._numbers = numbers

    def restore(self, differing: Sequence[int]) -> bool:
        """Put back the comments of several lines that contain one of the given lines; returns whether there are any."""
        blocks = {self._block_of.get(index) for index in differing} - {None}
        for start, end in filter(None, blocks):
            for number in self._numbers[start : end + 1]:
                self.left[number] = self._code[number]
                self._block_of.pop(number, None)
        return bool(blocks)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogatepass")


def _docstrings_of(side: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each docstring on one side of a hunk: a string right after a definition.

    What looks like a definition may be in a string that is still open; the quotes that end it start no docstring.
    """
    place, before, inside = 0, "", begins_in_string(side, ('"""', "'''")) != ""
    while place < len(side):
        code = side[place]
        opening = _DOCSTRING.match(code)
        if opening is not None and _DEFINITION.match(before) and not inside:
            end = _docstring_end(side, place, opening)
            if end is not None:
                yield place, end
                place, before = end + 1, ""
                continue
        inside ^= len(_TRIPLE.findall(code)) % 2 == 1
        before = code.rstrip() or before
        place += 1


def _docstring_end(side: Sequence[str], place: int, opening: re.Match[str]) -> int | None:
    """Place of the line that closes a docstring; None if there is none, or if code follows on that line."""
    rest = side[place][opening.end() :]
    while opening[1] not in rest:
        place += 1
        if place == len(side):
            return None
        rest = side[place]
    return place if not rest.partition(opening[1])[2].strip() else None
