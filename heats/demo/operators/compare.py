"""Operators on comparisons and conditions."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from heats.demo.operators.base import Code, Proposal

_SWAPS: dict[type[ast.cmpop], tuple[tuple[str, float], ...]] = {
    ast.Lt: (("<=", 1.2), (">", 0.5), (">=", 0.3), ("!=", 0.1)),
    ast.LtE: (("<", 1.2), (">=", 0.5), (">", 0.3), ("==", 0.1)),
    ast.Gt: ((">=", 1.2), ("<", 0.5), ("<=", 0.3), ("!=", 0.1)),
    ast.GtE: ((">", 1.2), ("<=", 0.5), ("<", 0.3), ("==", 0.1)),
    ast.Eq: (("!=", 0.5), ("in", 0.25), ("is", 0.05), (">=", 0.3), ("<=", 0.3), (">", 0.1), ("<", 0.1)),
    ast.NotEq: (("==", 0.5), ("not in", 0.2), (">", 0.15), ("<", 0.15)),
    ast.In: (("not in", 0.5), ("==", 0.15)),
    ast.NotIn: (("in", 0.5), ("!=", 0.1)),
    ast.Is: (("is not", 0.5), ("==", 0.5)),
    ast.IsNot: (("is", 0.5), ("!=", 0.5)),
}
_WRITTEN = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}


def is_condition(code: Code, node: ast.expr) -> bool:
    """Whether only the truth value of this expression matters."""
    parent = code.parents.get(node)
    if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert):
        return parent.test is node
    if isinstance(parent, ast.comprehension):
        return node in parent.ifs
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    return isinstance(parent, ast.BoolOp) and is_condition(code, parent)


def comparisons(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`a < b`: another comparison, bounds moved by one, letter case ignored."""
    if not isinstance(node, ast.Compare):
        return
    operands = [node.left, *node.comparators]
    texts = [code.text(operand) for operand in operands]
    gaps = [code.between(a, b) for a, b in pairwise(operands)]
    for at, operator in enumerate(node.ops):
        none = isinstance(operands[at + 1], ast.Constant) and operands[at + 1].value is None  # type: ignore[attr-defined]
        for written, weight in _SWAPS[type(operator)]:
            if none and written in ("==", "!=") and isinstance(operator, ast.Is | ast.IsNot):
                continue
            gap = gaps[at].replace(_WRITTEN[type(operator)], written, 1)
            yield _assembled(texts, [*gaps[:at], gap, *gaps[at + 1 :]]), weight
    if len(operands) == 2:
        yield from _bounds(code, node, texts, gaps[0])
        yield from _letter_case(node, texts, gaps[0])
        if isinstance(node.ops[0], ast.In | ast.NotIn | ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            yield _assembled(texts[::-1], gaps), 0.15
    else:
        yield _assembled(texts[:2], gaps[:1]), 0.15
        yield _assembled(texts[-2:], gaps[-1:]), 0.15


def _assembled(texts: list[str], gaps: list[str]) -> str:
    return "".join(part for pair in zip(texts, [*gaps, ""], strict=False) for part in pair)


def _bounds(code: Code, node: ast.Compare, texts: list[str], gap: str) -> Iterator[Proposal]:
    if isinstance(node.ops[0], ast.Is | ast.IsNot | ast.In | ast.NotIn):
        return
    right = node.comparators[0]
    if not isinstance(right, ast.Constant):
        for change in (" + 1", " - 1"):
            yield texts[0] + gap + code.atom(right) + change, 0.2
    if not isinstance(node.left, ast.Constant) and not isinstance(node.ops[0], ast.Eq | ast.NotEq):
        for change in (" + 1", " - 1"):
            yield code.atom(node.left) + change + gap + texts[1], 0.1
        yield f"abs({texts[0]})" + gap + texts[1], 0.12


def _letter_case(node: ast.Compare, texts: list[str], gap: str) -> Iterator[Proposal]:
    """`x == "AS"` that should ignore letter case."""
    texts_of = [n.value for n in ast.walk(node.comparators[0]) if isinstance(n, ast.Constant)]
    strings = [text for text in texts_of if isinstance(text, str) and text]
    if not strings or not isinstance(node.left, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
        return
    for method, fits in (("upper", str.isupper), ("lower", str.islower)):
        if all(fits(text) for text in strings) and not texts[0].endswith("()"):
            yield f"{texts[0]}.{method}(){gap}{texts[1]}", 0.6
    if isinstance(node.ops[0], ast.Eq | ast.In):
        yield f"{texts[0]}.strip(){gap}{texts[1]}", 0.1


def conditions(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`if a:`: negated, or compared with None."""
    if not is_condition(code, node):
        return
    text, parent = code.text(node), code.parents[node]
    if not isinstance(node, ast.Compare | ast.UnaryOp | ast.BoolOp):
        yield f"not {code.atom(node)}", 0.6
    if isinstance(node, ast.BoolOp):
        yield f"not ({text})", 0.15
    inside_not = isinstance(parent, ast.UnaryOp)
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call) and not inside_not:
        yield f"{text} is not None", 0.5
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield code.text(node.operand), 0.6
        if isinstance(node.operand, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            yield f"{code.text(node.operand)} is None", 0.5
    if isinstance(node, ast.Compare) and isinstance(node.comparators[0], ast.Constant):
        yield from _none_tests(code, node)
    if not isinstance(parent, ast.BoolOp | ast.UnaryOp):
        yield "True", 0.08
        yield "False", 0.08
        yield from _more_conditions(code, node)


def _none_tests(code: Code, node: ast.Compare) -> Iterator[Proposal]:
    left = code.text(node.left)
    if node.comparators[0].value is None:  # type: ignore[attr-defined]
        yield (f"not {left}" if isinstance(node.ops[0], ast.Is | ast.Eq) else left), 0.5


def _more_conditions(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """A further condition: something used here must not be None or empty."""
    text = f"({code.text(node)})" if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) else code.text(node)
    used = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in code.variables]
    for name in list(dict.fromkeys(used))[:3]:
        yield f"{name} is not None and {text}", 0.12
        yield f"{name} and {text}", 0.12
        yield f"not {name} or {text}", 0.04
        yield f"{name} is None or {text}", 0.04
    for name in [other for other in code.variables if other not in used][:5]:
        yield f"{text} and {name}", 0.05
        yield f"{text} and not {name}", 0.05


def booleans(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`a and b`: `or`, an operand dropped or negated, the default only for None."""
    if not isinstance(node, ast.BoolOp):
        return
    written, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    texts = [code.text(value) for value in node.values]
    gaps = [code.between(a, b) for a, b in zip(node.values, node.values[1:], strict=False)]
    yield _assembled(texts, [gap.replace(written, other, 1) for gap in gaps]), 0.8
    for at, value in enumerate(node.values):
        kept = texts[:at] + texts[at + 1 :]
        yield _assembled(kept, (gaps[:at] + gaps[at + 1 :])[: len(kept) - 1]), 0.35
        negated = code.text(value.operand) if isinstance(value, ast.UnaryOp) else f"not {code.atom(value)}"
        if not isinstance(value, ast.Compare):
            yield _assembled([*texts[:at], negated, *texts[at + 1 :]], gaps), 0.25
    if len(texts) == 2:
        yield texts[1] + gaps[0] + texts[0], 0.2
        if written == "or" and not is_condition(code, node):
            yield f"{texts[0]} if {texts[0]} is not None else {texts[1]}", 0.8


def choices(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`a if c else b`: branches swapped, or one of them always taken."""
    if isinstance(node, ast.IfExp):
        body, test, other = code.text(node.body), code.text(node.test), code.text(node.orelse)
        yield f"{other} if {test} else {body}", 0.7
        yield body, 0.25
        yield other, 0.25


OPERATORS = {"compare": comparisons, "condition": conditions, "boolean": booleans, "choice": choices}
