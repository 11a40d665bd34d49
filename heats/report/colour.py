"""Syntax highlighting by Pygments. It helps reading; no information is lost without it."""

import time
from collections.abc import Sequence
from functools import cache
from pathlib import PurePosixPath

from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import Comment, Keyword, Name, Number, Operator, String  # type: ignore[import-untyped]

Pieces = tuple[tuple[str, str], ...]
"""A line as (class, text) pairs: classes are those of the style sheet, empty for plain text."""

MAX_LINE = 300
MAX_SECONDS = 0.5
"""Time limit for one text. Lexers are regular expressions over what agents wrote; slow ones lose their colours."""

_CLASSES = (
    (Comment, "c"),
    (String, "s"),
    (Number, "m"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "d"),
    (Name.Builtin, "b"),
    (Name.Tag, "k"),
    (Name.Attribute, "b"),
)
LANGUAGES = {
    "python": "py pyi",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts tsx",
    "java": "java",
    "c": "c h",
    "cpp": "cc cpp cxx hh hpp",
    "csharp": "cs",
    "go": "go",
    "rust": "rs",
    "ruby": "rb",
    "php": "php",
    "kotlin": "kt kts",
    "swift": "swift",
    "scala": "scala",
    "bash": "sh bash zsh",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg",
    "json": "json",
    "html": "html htm",
    "css": "css scss",
    "sql": "sql",
    "lua": "lua",
    "perl": "pl pm",
}
"""The lexers in use, with the extensions of the files that they read."""


def colour(name: str, lines: Sequence[str]) -> list[Pieces] | None:
    """Highlight the lines of a file; None if its language is unknown or a line is too long.

    Args:
        name: name of the file.
        lines: sanitised lines, without line endings.
    """
    lexer = _lexer(PurePosixPath(name).suffix.lower().removeprefix("."))
    if lexer is None or any(len(line) > MAX_LINE or "\n" in line for line in lines):
        return None
    found: list[list[tuple[str, str]]] = [[]]
    end = time.monotonic() + MAX_SECONDS
    for kind, text in lexer.get_tokens("\n".join(lines)):
        if time.monotonic() > end:
            return None
        first, *rest = text.split("\n")
        _add(found[-1], _class(kind), first)
        for part in rest:
            found.append([])
            _add(found[-1], _class(kind), part)
    shown = ["".join(text for _, text in line) for line in found]
    return [tuple(line) for line in found] if shown == list(lines) else None


def _add(line: list[tuple[str, str]], kind: str, text: str) -> None:
    if not text:
        return
    if line and line[-1][0] == kind:
        line[-1] = (kind, line[-1][1] + text)
    else:
        line.append((kind, text))


@cache
def _class(kind: tuple[str, ...]) -> str:
    return next((name for family, name in _CLASSES if kind in family), "")


@cache
def _lexer(ending: str) -> Lexer | None:
    language = next((one for one, endings in LANGUAGES.items() if ending in endings.split()), None)
    return None if language is None else get_lexer_by_name(language, stripnl=False, ensurenl=False)
