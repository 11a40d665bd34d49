"""Mutation operators: functions from a syntax node to replacements of source text.

Operators only propose; they know nothing of tests or suspicion. Every proposal replaces exactly the text that changes,
so that the formatting of everything else is preserved.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from core.syntax import parse_python
from heats.demo.edits import Edit


@dataclass(frozen=True, slots=True)
class EditChange:
    """One proposal.

    Attributes:
        edits: replacements that belong together.
        kind: the operator's family, such as `compare`.
        weight: roughly how often such a change is the fix, relative to others at the same place.
        line: the line whose suspicion counts.
    """

    edits: tuple[Edit, ...]
    kind: str
    weight: float
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Knowledge besides the code: names in scope, and values that failures and the issue mention."""

    module: Sequence[str] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    strings: Sequence[str] = ()
    numbers: Sequence[str] = ()
    words: frozenset[str] = frozenset()


class Code:
    """A piece of source text with its syntax tree and the text of every node.

    Args:
        path: its file.
        first_line: its first line in that file, from 1.
        source: whole lines of text; may be indented.
        hints: further knowledge.
        head: the text is only the header of a compound statement, such as `if a:`.

    Raises:
        SyntaxError: it cannot be parsed.
    """

    def __init__(self, path: str, first_line: int, source: str, hints: Hints, *, head: bool = False) -> None:
        self.path, self.first_line, self.source, self.hints = path, first_line, source, hints
        self.lines = source.split("\n")
        indent = len(self.lines[0]) - len(self.lines[0].lstrip())
        wrapped = source + ("\n" + " " * (indent + 1) + "pass" if head else "")
        self.tree = parse_python("if 1:\n" + wrapped if indent else "\n" + wrapped)
        self.body: list[ast.stmt] = self.tree.body
        if indent and isinstance(self.tree.body[0], ast.If):
            self.body = self.tree.body[0].body
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Functions in the piece, outer ones first."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    @cached_property
    def arguments(self) -> list[str]:
        """Parameters of the functions in the piece, without `self` and `cls`."""
        found = [a.arg for f in self.functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
        return [name for name in dict.fromkeys(found) if name not in ("self", "cls")]

    @cached_property
    def variables(self) -> list[str]:
        """Parameters and assigned names, in order of appearance."""
        stores = [n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        return list(dict.fromkeys([*self.arguments, *stores]))

    @cached_property
    def attributes(self) -> list[str]:
        """Attribute names read or written in the piece."""
        return list(dict.fromkeys(n.attr for n in ast.walk(self.tree) if isinstance(n, ast.Attribute)))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int, int, int]:
        """First line, column, last line, column of a node, in characters, from 0, within the piece."""
        first, last = node.lineno - 2, (node.end_lineno or node.lineno) - 2
        start = len(self.lines[first].encode()[: node.col_offset].decode(errors="ignore"))
        if last >= len(self.lines):
            return first, start, len(self.lines) - 1, len(self.lines[-1])
        return first, start, last, len(self.lines[last].encode()[: node.end_col_offset].decode(errors="ignore"))

    def slice(self, start: tuple[int, int], end: tuple[int, int]) -> str:
        """Text between two positions."""
        if start[0] == end[0]:
            return self.lines[start[0]][start[1] : end[1]]
        middle = self.lines[start[0] + 1 : end[0]]
        return "\n".join([self.lines[start[0]][start[1] :], *middle, self.lines[end[0]][: end[1]]])

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Source text of a node."""
        first, start, last, end = self.span(node)
        return self.slice((first, start), (last, end))

    def atom(self, node: ast.expr) -> str:
        """Source text of an expression, in parentheses unless it binds tightly."""
        tight = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant | ast.List | ast.Dict | ast.Set
        text = self.text(node)
        return text if isinstance(node, tight) else f"({text})"

    def replace(self, node: ast.expr | ast.stmt, new: str) -> Edit:
        """The edit that replaces a node by `new`."""
        first, start, _, _ = self.span(node)
        return Edit(self.path, self.first_line + first, start + 1, self.text(node), new)

    def between(self, left: ast.expr, right: ast.expr) -> str:
        """Text between two expressions."""
        _, _, line, col = self.span(left)
        first, start, _, _ = self.span(right)
        return self.slice((line, col), (first, start))

    def at(self, line: int, col: int, old: str, new: str) -> Edit:
        """An edit at a position within the piece.

        Args:
            line: line, from 0.
            col: column in characters, from 0.
            old: the replaced text.
            new: its replacement.
        """
        return Edit(self.path, self.first_line + line, col + 1, old, new)

    def indent(self, node: ast.stmt) -> str:
        """White space before a statement."""
        return self.lines[node.lineno - 2][: self.span(node)[1]]

    def shown(self, node: ast.stmt) -> bool:
        """Whether the statement is in the text, and not merely added to complete a header."""
        return node.lineno - 2 < len(self.lines)

    def alone(self, node: ast.stmt) -> bool:
        """Whether the statement has its lines to itself."""
        if not self.shown(node):
            return False
        first, start, last, end = self.span(node)
        rest = self.lines[last][end:].strip()
        return not self.lines[first][:start].strip() and (not rest or rest.startswith("#"))

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """The ancestors of a node, the nearest first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def is_body(self, node: ast.stmt) -> bool:
        """Whether the statement is a docstring or another bare constant."""
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


Proposal = tuple[str, float]
"""New text for the node, and its weight."""

Operator = Callable[[Code, ast.expr], Iterator[Proposal]]
"""Proposes replacements for one expression."""


def similar(name: str, others: Sequence[str], limit: int = 4) -> list[str]:
    """The names most similar to `name`, except itself, in decreasing similarity.

    Args:
        name: the name.
        others: candidate names.
        limit: maximum number of results.
    """
    parts = set(re.findall(r"[a-z]+|[A-Z][a-z]*|\d+", name))

    def distance(other: str) -> tuple[float, int]:
        common = parts & set(re.findall(r"[a-z]+|[A-Z][a-z]*|\d+", other))
        prefix = next(
            (n for n, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other))
        )
        return -len(common) - prefix / max(len(name), len(other)), abs(len(name) - len(other))

    found = [other for other in dict.fromkeys(others) if other != name]
    return sorted(found, key=distance)[:limit]
