"""Restore tests embedded in source files to the base's version: Rust test modules and Python doctests.

The rest of the file is source and stays as the patch leaves it.
"""

import ast
import re
from collections.abc import Iterator

from core.syntax import parse_python

_TEST_MODULE = re.compile(
    r"#\[cfg\((?:all\(|any\()?\s*test\b[^\]\n]*\]\s*(?:#!?\[[^\]\n]*\]\s*){0,9}(?:pub(?:\([^)\n]*\))?\s+)?mod\s+(\w+)\s*\{"
)
_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|r(#*)\".*?\"\1|\"(?:\\.|[^\"\\])*\"|'(?:\\.[^'\n]{0,10}|[^'\\\n])'|[{}]", re.DOTALL
)
_EXAMPLE = re.compile(r"^\s*>>> ", re.MULTILINE)


def may_hold_tests(path: str, text: str, *, doctests: bool) -> bool:
    """Whether a source file of the base contains tests that the test command runs.

    Args:
        path: path of the file.
        text: its contents.
        doctests: the test command runs doctests.
    """
    if path.endswith(".rs"):
        return _TEST_MODULE.search(text) is not None
    return doctests and path.endswith(".py") and _EXAMPLE.search(text) is not None


def with_tests_of(base: str, patched: str, path: str) -> str:
    """Give a patched file the tests of the base.

    Args:
        base: the base's version of the file.
        patched: the patched version.
        path: path of the file; its extension tells the language.

    Returns:
        The file with the base's tests; unchanged if they are the same or cannot be located.
    """
    return _rust(base, patched) if path.endswith(".rs") else _python(base, patched)


def _rust(base: str, patched: str) -> str:
    known = {name: base[start:end] for name, start, end in _modules(base)}
    found = list(_modules(patched))
    for name, start, end in reversed(found):
        patched = patched[:start] + known.get(name, "") + patched[end:]
    present = {name for name, _, _ in found}
    gone = [text for name, text in known.items() if name not in present]
    return "\n\n".join([patched.rstrip("\n"), *gone]) + "\n" if gone else patched


def _modules(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each test module; an unclosed module is skipped."""
    at = 0
    while (found := _TEST_MODULE.search(text, at)) is not None:
        end = _closing(text, found.end())
        if end is None:
            return
        yield found[1], found.start(), end
        at = end


def _closing(text: str, at: int) -> int | None:
    depth = 1
    for token in _TOKEN.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if not depth:
            return token.end()
    return None


def _python(base: str, patched: str) -> str:
    try:
        known, found = dict(_docstrings(base)), dict(_docstrings(patched))
    except SyntaxError:
        return patched
    lines, source = patched.splitlines(keepends=True), base.splitlines(keepends=True)
    for name, (first, last) in sorted(found.items(), key=lambda item: item[1], reverse=True):
        if name in known and _EXAMPLE.search("".join(source[slice(*known[name])])):
            lines[first:last] = source[slice(*known[name])]
    return "".join(lines)


def _docstrings(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name and line range of each docstring (module, class, function) that has its lines to itself."""
    waiting: list[tuple[str, ast.AST]] = [("", parse_python(text))]
    while waiting:
        name, node = waiting.pop()
        body = getattr(node, "body", [])
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            alone = not isinstance(node, ast.Module) and getattr(node, "lineno", 0) == first.lineno
            if not alone and first.end_lineno is not None:
                yield name, (first.lineno - 1, first.end_lineno)
        for child in body if isinstance(body, list) else []:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                waiting.append((f"{name}.{child.name}", child))
