"""Ranks functions and module-level statements by how suspicious they are, and cuts their source out of the files.

Suspicion of a line is Ochiai's: failing tests that execute it / sqrt(all failing tests x tests that execute it).
The repair policy sends this file to the sandbox. Python 3.8 or later, standard library only.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from repair_record import is_source  # type: ignore[import-not-found]

LIMIT = 3000
"""Longest source text of one unit, in characters; longer ones are cut into their statements."""
FRAMES = re.compile(r'File "([^"\n]+\.py)", line (\d+)|^([^\s:>][^\s:]*\.py):(\d+)', re.MULTILINE)


class Unit:
    """A function, a class-level or module-level statement, or a piece of a long function."""

    def __init__(self, path: str, name: str, first: int, last: int) -> None:
        self.path, self.name, self.first, self.last = path, name, first, last
        self.score = 0.0
        self.head = False
        self.reads: set[str] = set()
        self.defines: set[str] = set()

    def data(self, source: list[str], lines: dict[int, float]) -> dict[str, Any]:
        """What the policy is shown of it."""
        hot = {str(n): int(100 * lines[n]) for n in range(self.first, self.last + 1) if lines.get(n, 0) > 0.01}
        text = "\n".join(source[self.first - 1 : self.last])
        found = {"k": "code", "path": self.path, "name": self.name, "line": self.first}
        found.update(score=round(self.score, 3), hot=hot, src=text)
        return dict(found, head=True) if self.head else found


def frames(text: str, root: str) -> list[tuple[str, int]]:
    """Source files and lines named in a failure's text, outermost first; paths relative to the repository."""
    found = []
    for quoted, line_a, bare, line_b in FRAMES.findall(text):
        path = os.path.realpath(os.path.join(root, quoted or bare))
        if path.startswith(root + os.sep) and os.path.exists(path):
            found.append((path[len(root) + 1 :], int(line_a or line_b)))
    return found


def ochiai(
    failed: dict[str, dict[int, int]], passed: dict[str, dict[int, int]], total: int
) -> dict[str, dict[int, float]]:
    """Suspicion of every line that a failing test executed, between 0 and 1."""
    ranked: dict[str, dict[int, float]] = {}
    for path, lines in failed.items():
        others = passed.get(path, {})
        for line, count in lines.items():
            ranked.setdefault(path, {})[line] = count / (max(total, 1) * (count + others.get(line, 0))) ** 0.5
    return ranked


def units_of(path: str, source: str) -> list[Unit]:
    """All units of a file, in order; empty when it cannot be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    return list(_units(path, tree.body, "", source.split("\n")))


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno] + [item.lineno for item in decorators])


def _units(path: str, body: list[ast.stmt], prefix: str, source: list[str]) -> Iterator[Unit]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _units(path, node.body, prefix + node.name + ".", source)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _pieces(path, node, prefix + node.name, source)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_text(node):
            yield from _pieces(path, node, prefix + "<body>", source)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _pieces(path: str, node: ast.stmt, name: str, source: list[str]) -> Iterator[Unit]:
    first, last = _first_line(node), node.end_lineno or node.lineno
    size = sum(len(line) + 1 for line in source[first - 1 : last])
    body = [item for field in ("body", "orelse", "finalbody") for item in getattr(node, field, [])]
    for handler in getattr(node, "handlers", []):
        body += handler.body
    if size <= LIMIT or not body:
        if size <= 2 * LIMIT:
            yield _filled(Unit(path, name, first, last), [node])
        return
    head = Unit(path, name, first, max(first, body[0].lineno - 1))
    head.head = True
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.For, ast.While)):
        yield _filled(head, [])
    group: list[ast.stmt] = []
    for item in body:
        if group and sum(len(line) + 1 for line in source[group[0].lineno - 1 : item.end_lineno]) > LIMIT // 2:
            yield from _group(path, group, name, source)
            group = []
        if group and item.col_offset != group[0].col_offset:
            yield from _group(path, group, name, source)
            group = []
        group.append(item)
    yield from _group(path, group, name, source)


def _group(path: str, group: list[ast.stmt], name: str, source: list[str]) -> Iterator[Unit]:
    if len(group) == 1:
        yield from _pieces(path, group[0], name, source)
    elif group:
        yield _filled(Unit(path, name, _first_line(group[0]), group[-1].end_lineno or group[-1].lineno), list(group))


def _filled(unit: Unit, nodes: list[ast.stmt]) -> Unit:
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Name):
                (unit.reads if isinstance(node.ctx, ast.Load) else unit.defines).add(node.id)
            elif isinstance(node, ast.Attribute):
                unit.reads.add(node.attr)
    return unit


def names_of(path: str, source: str, limit: int) -> str:
    """One JSON line: module-level names, members of classes and parameters of functions, within `limit` characters."""
    tree = ast.parse(source)
    module: list[str] = []
    classes: dict[str, list[str]] = {}
    params: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            members = {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute) and _on_self(item)}
            members |= {item.name for item in node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))}
            classes[node.name] = sorted(members)[:40]
        for item in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
                params[item.name] = [arg.arg for arg in item.args.args + item.args.kwonlyargs]
        module += _bound(node)
    data = {"k": "names", "path": path, "module": module, "classes": classes, "params": params}
    while len(json.dumps(data)) > limit and (module or classes or params):
        for part in (module, classes, params):
            if part and len(json.dumps(part)) >= limit // 4:
                part.popitem() if isinstance(part, dict) else part.pop()
    return json.dumps(data)


def _on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def rank(files: dict[str, str], lines: dict[str, dict[int, float]], words: set[str]) -> list[Unit]:
    """All suspicious units of `files` (path -> source), the most suspicious first.

    Names in `words` (of the issue) add to a unit's score, as does being a constant that a suspicious unit reads.
    """
    units = [unit for path, source in files.items() for unit in units_of(path, source)]
    for unit in units:
        per_file = lines.get(unit.path, {})
        unit.score = max([per_file.get(n, 0.0) for n in range(unit.first, unit.last + 1)] + [0.0])
        if unit.name.endswith("<body>"):
            unit.score *= 0.3
        parts = set(unit.name.split("."))
        if (unit.score or unit.head) and parts & words:
            unit.score += 0.25 if unit.name.split(".")[-1] in words else 0.1
    leaders = sorted(units, key=lambda unit: -unit.score)[:12]
    for unit in units:
        if unit.name.endswith("<body>"):
            unit.score = max([unit.score] + [0.6 * other.score for other in leaders if unit.defines & other.reads])
        elif unit.head:
            same = [other.score for other in leaders if (other.path, other.name) == (unit.path, unit.name)]
            unit.score = max([unit.score] + [0.8 * score for score in same])
    return sorted((unit for unit in units if unit.score > 0.05), key=lambda unit: -unit.score)


def source_files(root: str, limit: int = 400) -> list[str]:
    """Paths of the repository's source files, tests left out."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        found += [os.path.relpath(os.path.join(folder, name), root) for name in sorted(names)]
        if len(found) > 20 * limit:
            break
    return [path for path in found if is_source(path)][:limit]
