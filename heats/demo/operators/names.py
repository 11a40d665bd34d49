"""Operators on names: another variable, another attribute, another exception."""

import ast
import re
from collections.abc import Iterator

from heats.demo.operators.base import Code, Proposal, similar

_EXCEPTIONS = (
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "AttributeError",
    "LookupError",
    "ZeroDivisionError",
    "StopIteration",
    "RuntimeError",
    "NotImplementedError",
    "FileNotFoundError",
    "OSError",
    "OverflowError",
    "Exception",
)


def variables(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """Another variable in scope, most similar names first, or an attribute of the same name."""
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return
    parent = code.parents.get(node)
    called = isinstance(parent, ast.Call) and parent.func is node
    if node.id in ("self", "cls") or called:
        return
    if node.id in code.variables:
        for rank, other in enumerate(similar(node.id, code.variables, 5)):
            yield other, 0.4 / (1 + rank)
        is_member = any(node.id in members for members in code.hints.classes.values())
        if re.search(r"\bself\b", code.source) and (f"self.{node.id}" in code.source or is_member):
            yield f"self.{node.id}", 0.4
    elif node.id.isupper() or node.id in code.hints.module:
        alike = [name for name in code.hints.module if name.isupper() == node.id.isupper()]
        for rank, other in enumerate(similar(node.id, alike, 3)):
            yield other, 0.3 / (1 + rank)


def attributes(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """Another attribute: of the same class, or one that is used on the same object."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return
    base = code.text(node.value)
    if base in ("self", "cls"):
        members = [m for ms in code.hints.classes.values() if node.attr in ms for m in ms if not m.startswith("__")]
        others = members or code.attributes
    else:
        others = [n.attr for n in ast.walk(code.tree) if isinstance(n, ast.Attribute) and code.text(n.value) == base]
        others += [m for ms in code.hints.classes.values() if node.attr in ms for m in ms if not m.startswith("_")]
    for rank, other in enumerate(similar(node.attr, others, 4)):
        yield f"{base}.{other}", 0.4 / (1 + rank)
    if base == "self" and node.attr in code.variables:
        yield node.attr, 0.4


def exceptions(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """Another exception raised or caught."""
    if not isinstance(node, ast.Name) or not node.id.endswith(("Error", "Exception", "StopIteration", "Warning")):
        return
    parent = code.parents.get(node)
    caught = isinstance(parent, ast.ExceptHandler)
    for other in (*_EXCEPTIONS, *(n for n in code.hints.module if n.endswith(("Error", "Exception")))):
        if other != node.id:
            told = 1.0 if other in code.hints.words else 0.12
            yield other, told
            if caught:
                yield f"({node.id}, {other})", told * 0.8


OPERATORS = {"variable": variables, "attribute": attributes, "exception": exceptions}
