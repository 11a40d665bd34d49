"""Operators on whole statements: dropped, swapped, moved, assigned, returned."""

import ast
import re
from collections.abc import Iterator

from heats.demo.edits import Edit
from heats.demo.operators.base import Code, EditChange

_AUGMENTED = {
    "+=": ("-=", "*=", "="),
    "-=": ("+=", "="),
    "*=": ("+=", "/=", "**="),
    "/=": ("//=", "*="),
    "//=": ("/=",),
    "|=": ("&=", "="),
    "&=": ("|=",),
    "%=": ("//=", "/="),
    "**=": ("*=",),
}
_IN_PLACE = frozenset(
    ["append", "extend", "sort", "reverse", "update", "insert", "add", "remove", "clear", "pop", "discard", "write"]
)
_SIMPLE = ast.Assign | ast.AugAssign | ast.Expr | ast.Continue | ast.Break | ast.Raise | ast.Delete


def _change(code: Code, edits: tuple[Edit, ...], weight: float, node: ast.stmt) -> EditChange:
    return EditChange(edits, "statement", weight, code.first_line + node.lineno - 2)


def simple(code: Code, node: ast.stmt) -> Iterator[EditChange]:
    """One statement: dropped, its value returned or assigned, another operation."""
    text = code.text(node)
    if isinstance(node, _SIMPLE) and not code.is_body(node):
        yield _change(code, (code.replace(node, "pass"),), 0.3, node)
    if isinstance(node, ast.Break | ast.Continue):
        yield _change(code, (code.replace(node, "continue" if text == "break" else "break"),), 0.6, node)
        if code.functions:
            yield _change(code, (code.replace(node, "return"),), 0.1, node)
    for new, weight in (*_assignments(code, node), *_values(code, node), *_returns(code, node)):
        yield _change(code, (code.replace(node, new),), weight, node)


def _assignments(code: Code, node: ast.stmt) -> Iterator[tuple[str, float]]:
    if isinstance(node, ast.AugAssign):
        gap = code.between(node.target, node.value)
        written = gap.strip().strip("()").strip()
        for other in _AUGMENTED.get(written, ()):
            yield code.text(node.target) + gap.replace(written, other, 1) + code.text(node.value), 0.5
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = code.text(node.targets[0]), code.text(node.value)
        numeric = isinstance(node.value, ast.BinOp | ast.Name | ast.Constant | ast.Call | ast.Subscript)
        inside = any(isinstance(parent, ast.For | ast.While) for parent in code.above(node))
        if numeric and inside:
            yield f"{target} += {value}", 0.3
        function = node.value.func if isinstance(node.value, ast.Call) else None
        if isinstance(function, ast.Attribute) and function.attr in _IN_PLACE:
            yield value, 1.2
        if isinstance(node.value, ast.Name | ast.Attribute) and re.fullmatch(r"[\w.]+", target):
            for copied in (f"list({value})", f"dict({value})", f"{value}[:]"):
                yield f"{target} = {copied}", 0.15
        if isinstance(node.targets[0], ast.Tuple) and len(node.targets[0].elts) == 2:
            first, second = (code.text(element) for element in node.targets[0].elts)
            yield f"{second}, {first} = {value}", 0.4


def _values(code: Code, node: ast.stmt) -> Iterator[tuple[str, float]]:
    """A value that is computed and thrown away."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call) or not code.functions:
        return
    text, function = code.text(node), node.value.func
    mutates = isinstance(function, ast.Attribute) and function.attr in _IN_PLACE
    yield f"return {text}", 0.15 if mutates else 0.6
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name | ast.Attribute) and not mutates:
        yield f"{code.text(function.value)} = {text}", 0.6
    if isinstance(function, ast.Name) and node.value.args and isinstance(node.value.args[0], ast.Name):
        yield f"{node.value.args[0].id} = {text}", 0.4


def _returns(code: Code, node: ast.stmt) -> Iterator[tuple[str, float]]:
    if not isinstance(node, ast.Return):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield) and node.value.value is not None:
            value = code.text(node.value.value)
            yield f"yield from {value}", 0.3
            yield f"if {value}:\n{code.indent(node)}    yield {value}", 0.4
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.YieldFrom):
            yield f"yield {code.text(node.value.value)}", 0.3
        return
    if node.value is None:
        yield from ((f"return {name}", 0.2) for name in (*code.variables[:4], "None", "False", "True"))
        return
    text = code.text(node.value)
    if isinstance(node.value, ast.Compare | ast.UnaryOp | ast.BoolOp):
        yield f"return not ({text})", 0.3
    for name in code.variables:
        if name != text and not (isinstance(node.value, ast.Constant) and node.value.value is not None):
            yield f"return {name}", 0.5 / (2 + len(code.variables))
    yield "return None", 0.05
    if "self" in code.source:
        yield "return self", 0.04


def pairs(code: Code, first: ast.stmt, second: ast.stmt) -> Iterator[EditChange]:
    """Swap two neighbouring statements.

    Args:
        code: the piece of source.
        first: a statement.
        second: the statement after it.
    """
    if not (code.alone(first) and code.alone(second)) or code.is_body(first):
        return
    if isinstance(first, ast.Return | ast.Raise | ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return
    if isinstance(second, ast.FunctionDef | ast.ClassDef):
        return
    if sum(len(code.text(node)) for node in (first, second)) > 600:
        return
    a, b = code.text(first), code.text(second)
    start, col, _, _ = code.span(first)
    _, _, line, end = code.span(second)
    both = code.slice((start, col), (line, end))
    gap = both[len(a) : len(both) - len(b)]
    weight = 0.25 if isinstance(second, ast.Return | ast.Raise | ast.Continue) else 0.15
    yield _change(code, (code.at(start, col, both, b + gap + a),), weight, second)


def levels(code: Code, block: ast.stmt, following: ast.stmt | None) -> Iterator[EditChange]:
    """Move the last statement of a block out of it, or the statement after a block into it.

    Args:
        code: the piece of source.
        block: the compound statement.
        following: the statement after it, if any.
    """
    body: list[ast.stmt] = getattr(block, "orelse", None) or getattr(block, "body", [])
    if not body or isinstance(block, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not code.alone(body[-1]):
        return
    last, outer, inner = body[-1], code.indent(block), code.indent(body[-1])
    if len(body) > 1 and code.span(last)[2] - code.span(last)[0] < 6:
        moved = code.text(last).replace("\n" + inner, "\n" + outer)
        line, _, _, _ = code.span(last)
        weight = 0.5 if isinstance(last, ast.Return | ast.AugAssign) else 0.25
        yield _change(code, (code.at(line, 0, inner + code.text(last), outer + moved),), weight, last)
    if following is not None and code.alone(following) and code.indent(following) == outer:
        moved = inner + code.text(following).replace("\n" + outer, "\n" + inner)
        line, _, _, _ = code.span(following)
        edit = code.at(line, 0, outer + code.text(following), moved)
        weight = 0.4 if not isinstance(following, ast.Return) else 0.15
        yield _change(code, (edit,), weight, following)


def keywords(code: Code, node: ast.stmt) -> Iterator[EditChange]:
    """`if` / `while` / `elif`, a loop over something else, a default argument shared between calls."""
    line, col, _, _ = code.span(node)
    rest = code.lines[line][col:]
    if isinstance(node, ast.If):
        if rest.startswith("if "):
            yield _change(code, (code.at(line, col, "if", "while"),), 0.12, node)
        if rest.startswith("elif "):
            yield _change(code, (code.at(line, col, "elif", "if"),), 0.4, node)
    elif isinstance(node, ast.While) and rest.startswith("while "):
        yield _change(code, (code.at(line, col, "while", "if"),), 0.12, node)
    elif isinstance(node, ast.For):
        target = code.text(node.iter)
        for new, weight in ((f"list({target})", 0.35), (f"sorted({target})", 0.1), (f"reversed({target})", 0.15)):
            yield _change(code, (code.replace(node.iter, new),), weight, node)
        if not isinstance(node.iter, ast.Call):
            yield _change(code, (code.replace(node.iter, f"{code.atom(node.iter)}[1:]"),), 0.1, node)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from _shared_defaults(code, node)


def separate_ifs(code: Code, first: ast.stmt, second: ast.stmt) -> Iterator[EditChange]:
    """`if a: ... if b: ...` that should be `elif`.

    Args:
        code: the piece of source.
        first: a statement.
        second: the statement after it.
    """
    if isinstance(first, ast.If) and not first.orelse and isinstance(second, ast.If):
        line, col, _, _ = code.span(second)
        if code.alone(second) and code.lines[line][col:].startswith("if "):
            yield _change(code, (code.at(line, col, "if", "elif"),), 0.5, second)


def _shared_defaults(code: Code, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[EditChange]:
    positional = [*node.args.posonlyargs, *node.args.args]
    pairs_ = list(zip(positional[::-1], node.args.defaults[::-1], strict=False))
    pairs_ += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d]
    first = next((s for s in node.body if not code.is_body(s)), node.body[-1])
    for argument, default in pairs_:
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call) and code.alone(first):
            line, col, _, _ = code.span(first)
            space = code.indent(first)
            inserted = f"if {argument.arg} is None:\n{space}    {argument.arg} = {code.text(default)}\n{space}"
            edits = tuple(sorted((code.replace(default, "None"), code.at(line, col, "", inserted))))
            yield _change(code, edits, 2.0, first)
