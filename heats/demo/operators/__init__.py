"""Mutation operators: all changes that they propose for a piece of source."""

import ast
from collections.abc import Iterator

from core.syntax import parse_python
from heats.demo.operators import calls, compare, guards, names, statements, strings, values
from heats.demo.operators.base import Code, EditChange, Hints

__all__ = ["Code", "EditChange", "Hints", "changes"]

_EXPRESSIONS = {
    **compare.OPERATORS,
    **values.OPERATORS,
    **calls.OPERATORS,
    **names.OPERATORS,
    **strings.OPERATORS,
}
_BINDING = ast.BinOp | ast.UnaryOp | ast.Compare | ast.BoolOp | ast.Attribute | ast.Subscript | ast.Starred
_LOAD = ast.Load()
_BLOCKS = ("body", "orelse", "finalbody")


def changes(code: Code) -> list[EditChange]:
    """Every distinct change that the operators propose, except those that do not parse.

    Args:
        code: the piece to change.

    Returns:
        The changes, in source order; deterministic.
    """
    best: dict[tuple[object, ...], EditChange] = {}
    for change in (*_of_expressions(code), *_of_statements(code)):
        key = change.edits
        if any(edit.old != edit.new for edit in change.edits) and (key not in best or best[key].weight < change.weight):
            best[key] = change
    return list(best.values())


def _of_expressions(code: Code) -> Iterator[EditChange]:
    for node in _plain_expressions(code.tree):
        old = code.text(node)
        for kind, operator in _EXPRESSIONS.items():
            for new, weight in operator(code, node):
                if new != old and _parses(new):
                    line = code.first_line + node.lineno - 2
                    yield EditChange((code.replace(node, _fitted(code, node, new)),), kind, weight, line)


def _plain_expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """All expressions except annotations and parts of f-strings, which the parser does not locate before 3.12."""
    for name, field in ast.iter_fields(tree):
        if name in ("annotation", "returns"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.expr) and isinstance(getattr(child, "ctx", _LOAD), ast.Load):
                yield child
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from _plain_expressions(child)


def _parses(text: str) -> bool:
    try:
        parse_python(f"({text}\n)", "eval")
    except SyntaxError:
        return False
    return True


def _fitted(code: Code, node: ast.expr, new: str) -> str:
    """The new text, in parentheses if it would otherwise be parsed differently in its place."""
    parent = code.parents.get(node)
    if not isinstance(parent, _BINDING):
        return new
    if isinstance(parent, ast.Subscript) and parent.slice is node:
        return new
    grown = type(parse_python(f"({new}\n)", "eval").body)
    if grown is type(node) and not isinstance(node, ast.BinOp | ast.BoolOp):
        return new
    if grown in (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.List, ast.Tuple, ast.Dict):
        return new
    line, col, last, end = code.span(node)
    before, after = code.lines[line][:col].rstrip(), code.lines[last][end:].lstrip()
    return new if before.endswith("(") and after.startswith(")") else f"({new})"


def _of_statements(code: Code) -> Iterator[EditChange]:
    yield from guards.base_cases(code)
    for whole in _blocks(code):
        block = [node for node in whole if code.shown(node)]
        for at, node in enumerate(block):
            following = block[at + 1] if at + 1 < len(block) else None
            yield from statements.simple(code, node)
            yield from statements.keywords(code, node)
            yield from statements.levels(code, node, following)
            yield from guards.none_guards(code, node)
            yield from guards.early_exits(code, node, following is None)
            yield from guards.missing_steps(code, node)
            if following is not None:
                yield from statements.pairs(code, node, following)
                yield from statements.separate_ifs(code, node, following)


def _blocks(code: Code) -> Iterator[list[ast.stmt]]:
    yield code.body
    for root in code.body:
        for node in ast.walk(root):
            for name in _BLOCKS:
                block = getattr(node, name, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    yield block
