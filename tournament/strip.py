"""Leaves comments out of a diff, so that a judge sees what a change does and not what it says of itself.

By line and language, without parsing: a quote-aware scan for line comments, and docstrings only where both ends are
in one hunk. What is unsure stays.
"""

import re
from pathlib import PurePosixPath

_HASH = re.compile(r"pyi?|pyx|sh|bash|zsh|ya?ml|toml|cfg|ini|rb|pl|r|jl|mk|cmake|tf|dockerfile|makefile")
_SLASH = re.compile(r"c|h|cc|cpp|cxx|hpp|hh|cs|java|jsx?|tsx?|mjs|go|rs|swift|kts?|scala|php|dart|proto")
_DASH = re.compile(r"sql|lua|hs|elm")
_HEADER = re.compile(r'diff --git .*"?b/(.+?)"?$')
_DOCSTRING = re.compile(r"\s*[rRuUbBfF]{0,2}(\"\"\"|''')")


def strip_comments(diff: str) -> str:
    """The diff without comment lines, trailing comments and Python docstrings. It is for reading, not for applying."""
    kept: list[str] = []
    marker, python, skip_until = "", False, -1
    lines = diff.split("\n")
    for index, line in enumerate(lines):
        if index <= skip_until:
            continue
        if header := _HEADER.match(line):
            marker, python = _marker(header[1])
        if not line or line[0] not in "+- " or line.startswith(("+++ ", "--- ")):
            kept.append(line)
            continue
        sign, code = line[0], line[1:]
        if python and _opens_docstring(lines, index):
            skip_until = _docstring_end(lines, index)
            if skip_until >= index:
                continue
        bare = _without_comment(code, marker)
        if bare.strip() or not code.strip():
            kept.append(sign + bare)
    return "\n".join(kept)


def _marker(path: str) -> tuple[str, bool]:
    """The language's line comment marker, and whether it is Python."""
    name = PurePosixPath(path)
    kind = (name.suffix.lstrip(".") or name.name).lower()
    languages = ((_HASH, "#"), (_SLASH, "//"), (_DASH, "--"))
    marker = next((marker for pattern, marker in languages if pattern.fullmatch(kind)), "")
    return marker, kind in ("py", "pyi", "pyx")


def _without_comment(code: str, marker: str) -> str:
    """Cut a line comment, looking past quoted strings; block comment lines of C-like languages go as a whole."""
    if not marker:
        return code
    if marker == "//" and re.match(r"\s*(/\*.*\*/\s*$|/\*[^/]*$|\*[ /]|\*$)", code):
        return ""
    quote, index = "", 0
    while index < len(code):
        char = code[index]
        if char == "\\":
            index += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif code.startswith(marker, index):
            return code[:index].rstrip()
        index += 1
    return code


def _opens_docstring(lines: list[str], index: int) -> bool:
    """Whether a line starts a string right after a line that ends with a colon, as a docstring does."""
    if not _DOCSTRING.match(lines[index][1:]):
        return False
    before = next((line[1:].rstrip() for line in reversed(lines[:index]) if line[1:].strip()), "")
    return before.endswith(":")


def _docstring_end(lines: list[str], start: int) -> int:
    """Index of the docstring's last line within its hunk, or -1."""
    opening = _DOCSTRING.match(lines[start][1:])
    if opening is None:
        return -1
    if opening[1] in lines[start][1 + opening.end() :]:
        return start
    for index in range(start + 1, len(lines)):
        if not lines[index] or lines[index][0] not in "+- ":
            return -1
        if opening[1] in lines[index]:
            return index
    return -1
