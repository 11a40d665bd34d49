"""Remove comments from a diff, so that a judge sees what a change does and not what it says about itself.

Only headers and hunks are kept; surrounding text is not part of the change. Comments are recognized by language without
parsing: line comments outside quoted strings, and block comments and docstrings that end in the same hunk. When in
doubt, text is kept.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.diff import FileDiff, Hunk, scan_diff

_STRING = r'"(?:[^"\\]|\\.)*"'
_QUOTED = re.compile(rf"""\"\"\".*?\"\"\"|'''.*?'''|{_STRING}|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`""")
_WITH_CHARACTERS = re.compile(rf"""{_STRING}|'(?:[^'\\]|\\.[^']{{0,9}})'|`[^`]*`""")
_DOUBLE_QUOTED = re.compile(_STRING)
_WORDS = re.compile(r"[\w\s]+")
_INSIDE_BLOCK = re.compile(r"\s*\*(?:[ /]|$)")
_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class _Language:
    """How a language writes comments.

    Attributes:
        names: file extensions or whole file names.
        line: start of a line comment; empty if the language has none.
        block: start and end of a block comment.
        quoted: a string literal, in which comments do not start.
    """

    names: re.Pattern[str]
    line: str = ""
    block: tuple[str, str] | None = None
    quoted: re.Pattern[str] = _QUOTED


_SLASHES = ("/*", "*/")
_LANGUAGES = (
    _Language(re.compile(r"py[iwx]?|sh|bash|zsh|fish|ya?ml|toml|cfg|conf|ini|rb|pl|pm|r|jl|mk|cmake|nix|exs?"), "#"),
    _Language(re.compile(r"dockerfile|makefile|gnumakefile|justfile|gemfile|rakefile|\.?gitignore"), "#"),
    _Language(re.compile(r"[cm]?[jt]sx?|php|dart|groovy|tf|hcl|scss|less"), "//", _SLASHES),
    _Language(
        re.compile(r"c|h|cc|cpp|cxx|hpp|hh|cs|java|go|rs|swift|kts?|scala|proto|zig|mm?"),
        "//",
        _SLASHES,
        _WITH_CHARACTERS,
    ),
    _Language(re.compile(r"css"), "", _SLASHES),
    _Language(re.compile(r"sql"), "--", _SLASHES),
    _Language(re.compile(r"lua"), "--", ("--[[", "]]")),
    _Language(re.compile(r"hs|elm"), "--", ("{-", "-}"), _DOUBLE_QUOTED),
    _Language(re.compile(r"ad[abs]"), "--", None, _DOUBLE_QUOTED),
    _Language(re.compile(r"lisp|cl|el|clj[sc]?|scm|rkt|asm"), ";", None, _DOUBLE_QUOTED),
    _Language(re.compile(r"tex|sty|[eh]rl"), "%", None, _DOUBLE_QUOTED),
    _Language(re.compile(r"html?|xml|xhtml|svg|md|rst"), "", ("<!--", "-->"), _NEVER),
    _Language(re.compile(r"vue|svelte"), "//", ("<!--", "-->")),
)
_UNKNOWN = _Language(_NEVER, quoted=_NEVER)
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
    language = next((language for language in _LANGUAGES if language.names.fullmatch(kind)), _UNKNOWN)
    for hunk in file.hunks:
        # The text after the second @@ may be a line of the file or anything else.
        bounds = _HUNK_HEADER.match(hunk.header)
        heading = "" if bounds is None else _bare(_text(hunk.header[bounds.end() :]), language)[0].rstrip()
        lines = list(_hunk_lines(hunk, language, python=kind in ("py", "pyi", "pyw", "pyx")))
        header = _text(hunk.header if bounds is None else bounds[0])
        yield (header if len(lines) == len(hunk.lines) else _counted(header, lines)) + heading
        yield from lines


def _counted(header: str, lines: Sequence[str]) -> str:
    """A hunk's header with the number of lines that are left: a judge takes wrong numbers for a broken patch."""
    old, new = (sum(line[0] in (" ", sign) for line in lines) for sign in "-+")
    return _COUNTS.sub(lambda found: f"@@ -{found[1]},{old} +{found[2]},{new} @@", header)


def _hunk_lines(hunk: Hunk, language: _Language, *, python: bool) -> Iterator[str]:
    lines = [_text(line) for line in hunk.lines]
    if python:
        inside = _docstrings(lines)
        lines = [line for index, line in enumerate(lines) if index not in inside]
    index = 0
    while index < len(lines):
        sign, code = lines[index][0], lines[index][1:]
        index += 1
        if sign == "\\":
            yield "\\ No newline at end of file"
            continue
        bare, opened = _bare(code, language)
        if opened and language.block is not None:
            end = _block_end(lines, index, sign, language.block[1])
            if end is None:
                bare = code
            else:
                rest = lines[end].partition(language.block[1])[2]
                other_side = [line for line in lines[index:end] if line[0] not in (sign, " ")]
                lines[index : end + 1] = [*other_side, *([lines[end][0] + rest] if rest.strip() else [])]
        if bare.strip() or not code.strip():
            yield sign + bare


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogatepass")


def _bare(code: str, language: _Language) -> tuple[str, bool]:
    """Strip the comments of one line; also returns whether it opens a block comment that does not end on it."""
    opening, closing = language.block or ("\0", "\0")
    if opening == "/*" and _INSIDE_BLOCK.match(code):  # inside a comment that starts above the hunk
        return "", False
    kept, index, end = list[str](), 0, -1
    while index < len(code):
        if found := _WORDS.match(code, index) or language.quoted.match(code, index):
            kept.append(found[0])
            index = found.end()
        elif code.startswith(opening, index):
            end = code.find(closing, index + len(opening))
            if end < 0:
                return "".join(kept).rstrip(), True
            index = end + len(closing)
        elif language.line and code.startswith(language.line, index):
            return "".join(kept).rstrip(), False
        else:
            step = 2 if code[index] == "\\" else 1
            kept.append(code[index : index + step])
            index += step
    return ("".join(kept) if end < 0 else "".join(kept).rstrip()), False


def _block_end(lines: list[str], start: int, sign: str, closing: str) -> int | None:
    """Index of the line on the same side of the hunk on which a block comment ends."""
    side = (index for index in range(start, len(lines)) if lines[index][0] in (sign, " "))
    return next((index for index in side if closing in lines[index]), None)


def _docstrings(lines: list[str]) -> set[int]:
    """Indices of the lines of docstrings that begin right after a definition, on each side of the hunk by itself.

    A line of both sides counts only if it is in a docstring on both.
    """
    before, after = (
        set(_docstrings_of([(i, line[1:]) for i, line in enumerate(lines) if line[0] in s])) for s in ("- ", "+ ")
    )
    return {i for i, line in enumerate(lines) if (i in before or line[0] == "+") and (i in after or line[0] == "-")}


def _docstrings_of(side: list[tuple[int, str]]) -> Iterator[int]:
    """Numbers of the lines of docstrings on one side of a hunk, given its numbered lines.

    What looks like a definition may be in a string that is still open; the quotes that end it start no docstring.
    """
    place, before, inside = 0, "", False
    while place < len(side):
        code = side[place][1]
        opening = _DOCSTRING.match(code)
        if opening is not None and _DEFINITION.match(before) and not inside:
            end = _docstring_end(side, place, opening)
            if end is not None:
                yield from (number for number, _ in side[place : end + 1])
                place, before = end + 1, ""
                continue
        inside ^= len(_TRIPLE.findall(code)) % 2 == 1
        before = code.rstrip() or before
        place += 1


def _docstring_end(side: list[tuple[int, str]], place: int, opening: re.Match[str]) -> int | None:
    """Place of the line that closes a docstring; None if there is none, or if code follows on that line."""
    rest = side[place][1][opening.end() :]
    while opening[1] not in rest:
        place += 1
        if place == len(side):
            return None
        rest = side[place][1]
    return place if not rest.partition(opening[1])[2].strip() else None
