"""Operators on arithmetic, numbers, indices, slices and plain constants."""

import ast
import re
from collections.abc import Iterator

from heats.demo.operators.base import Code, Proposal

_SWAPS: dict[type[ast.operator], tuple[str, tuple[tuple[str, float], ...]]] = {
    ast.Add: ("+", (("-", 0.8), ("*", 0.15), ("|", 0.03))),
    ast.Sub: ("-", (("+", 0.8), ("/", 0.05), ("%", 0.05))),
    ast.Mult: ("*", (("/", 0.4), ("+", 0.3), ("**", 0.15), ("//", 0.15))),
    ast.Div: ("/", (("//", 0.8), ("*", 0.4), ("%", 0.1))),
    ast.FloorDiv: ("//", (("/", 0.8), ("%", 0.4), ("*", 0.1))),
    ast.Mod: ("%", (("//", 0.5), ("/", 0.1))),
    ast.Pow: ("**", (("*", 0.6),)),
    ast.BitAnd: ("&", (("|", 0.8), ("^", 0.2), ("-", 0.1))),
    ast.BitOr: ("|", (("&", 0.8), ("^", 0.2), ("-", 0.1))),
    ast.BitXor: ("^", (("&", 0.4), ("|", 0.4), ("**", 0.3))),
    ast.LShift: ("<<", ((">>", 0.8),)),
    ast.RShift: (">>", (("<<", 0.8),)),
}


def arithmetic(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`a + b`: another operation, operands swapped or dropped, off by one."""
    if not isinstance(node, ast.BinOp) or type(node.op) not in _SWAPS:
        return
    written, swaps = _SWAPS[type(node.op)]
    left, right, gap = code.text(node.left), code.text(node.right), code.between(node.left, node.right)
    textual = _is_text(node.left) or _is_text(node.right)
    for other, weight in () if textual else swaps:
        yield left + gap.replace(written, other, 1) + right, weight
    swapped = 0.15 if isinstance(node.op, ast.Mult | ast.BitAnd | ast.BitOr) else 0.4
    yield code.atom(node.right) + gap.strip(")( ").join("  ") + code.atom(node.left), swapped
    yield left, 0.25
    yield right, 0.25
    if isinstance(node.op, ast.FloorDiv):
        yield f"-(-{left} // {right})", 0.2
    if isinstance(node.op, ast.Sub) and not textual:
        yield f"max(0, {left}{gap}{right})", 0.2
        yield f"abs({left}{gap}{right})", 0.15
    yield from _regrouped(code, node)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _regrouped(code: Code, node: ast.BinOp) -> Iterator[Proposal]:
    """`a + b / c` that should be `(a + b) / c`, and vice versa."""
    gap = code.between(node.left, node.right)
    for inner, first in ((node.right, True), (node.left, False)):
        if not isinstance(inner, ast.BinOp):
            continue
        a, b, between = code.text(inner.left), code.text(inner.right), code.between(inner.left, inner.right)
        if "(" in gap + between or ")" in gap + between:
            if isinstance(node.op, ast.Mult | ast.Div) and isinstance(inner.op, ast.Add | ast.Sub):
                left, right = code.text(node.left), code.text(node.right)
                flat = f"{left}{gap}{a}{between}{b}" if first else f"{a}{between}{b}{gap}{right}"
                if flat.count("(") == flat.count(")"):
                    yield flat, 0.1
        elif first:
            yield f"({code.text(node.left)}{gap}{a}){between}{b}", 0.35
        else:
            yield f"{a}{between}({b}{gap}{code.text(node.right)})", 0.35


def signs(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`-a` and `a`."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield code.text(node.operand), 0.5
    if isinstance(node, ast.Name | ast.Call) and isinstance(code.parents.get(node), ast.Return | ast.BinOp):
        yield f"-{code.text(node)}", 0.05


def numbers(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """A number: one more, one less, 0, 1, -1, ten times, or one that the issue or a failure mentions."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
        return
    value, written = node.value, code.text(node)
    if isinstance(value, int):
        near: list[tuple[float, float]] = [
            (value + 1, 0.6),
            (value - 1, 0.6),
            (0, 0.4),
            (1, 0.4),
            (-1, 0.25),
            (2, 0.2),
            (-value, 0.15),
        ]
        if abs(value) >= 10:
            near += [(value * 10, 0.2), (value // 10, 0.2), (value * 2, 0.05), (value // 2, 0.05)]
        if 1000 <= abs(value) <= 1024:
            near += [(1024, 0.4), (1000, 0.4)]
    else:
        near = [(0.0, 0.2), (1.0, 0.2), (value * 10, 0.3), (value / 10, 0.3), (-value, 0.2)]
    best: dict[str, float] = {}
    for number, weight in near:
        best[str(number)] = max(weight, best.get(str(number), 0))
    for mentioned in code.hints.numbers[:8]:
        best[mentioned] = max(0.25, best.get(mentioned, 0))
    best.pop(written, None)
    yield from best.items()
    if written == "0" and not isinstance(code.parents.get(node), ast.Subscript | ast.Compare | ast.Call):
        yield "None", 0.1


def constants(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """True, False, None and empty containers."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield str(not node.value), 1.0
        yield "None", 0.2
    elif isinstance(node, ast.Constant) and node.value is None:
        parent = code.parents.get(node)
        texts = {"False": 0.2, "True": 0.2, "0": 0.2, '""': 0.25, "[]": 0.25, "{}": 0.15}
        if isinstance(parent, ast.Compare):
            texts = {'""': 0.05, "0": 0.05}
        elif isinstance(parent, ast.Return):
            texts.update(dict.fromkeys(code.arguments[:3], 0.12))
        yield from texts.items()
    elif isinstance(node, ast.List | ast.Dict | ast.Tuple) and code.text(node) in ("[]", "{}", "()"):
        yield "None", 0.3
        yield ("{}" if isinstance(node, ast.List) else "[]"), 0.2


def subscripts(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`a[i]` and `a[i:j]`: index off by one, from the other end, bounds dropped, `get`."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    base, index = code.text(node.value), node.slice
    if isinstance(index, ast.Slice):
        yield from _slices(code, base, index)
        return
    text = code.text(index)
    if isinstance(index, ast.Constant) and isinstance(index.value, int):
        for other, weight in (("0", 0.5), ("-1", 0.6), ("1", 0.4)):
            if other != text:
                yield f"{base}[{other}]", weight
    elif isinstance(index, ast.UnaryOp):
        yield f"{base}[0]", 0.6
    elif not isinstance(index, ast.Constant | ast.Tuple):
        for change in (" + 1", " - 1"):
            yield f"{base}[{text}{change}]", 0.3
        yield f"{base}[-{code.atom(index)}]", 0.1
    if not isinstance(index, ast.UnaryOp | ast.Tuple) and not re.fullmatch(r"-?\d+", text):
        yield f"{base}.get({text})", 0.4
        yield f"{base}.get({text}, 0)", 0.2
        yield f"{base}.get({text}, {text})", 0.1


def _slices(code: Code, base: str, index: ast.Slice) -> Iterator[Proposal]:
    lower, upper, step = (code.text(part) if part else "" for part in (index.lower, index.upper, index.step))
    tail = f":{step}" if step else ""
    for new, weight in (("", 0.4), *_near(lower)):
        if new != lower:
            yield f"{base}[{new}:{upper}{tail}]", weight
    for new, weight in (("", 0.4), ("-1", 0.2), *_near(upper)):
        if new != upper:
            yield f"{base}[{lower}:{new}{tail}]", weight
    yield f"{base}[{upper}:{lower}{tail}]", 0.3
    if not step:
        yield f"{base}[{lower}:{upper}:-1]", 0.1
        yield f"{base}[{lower or 0}:{upper}]" if not lower else base, 0.08
    else:
        yield f"{base}[{lower}:{upper}]", 0.3
    if bool(lower) != bool(upper) and not step:
        bound = lower or upper
        negated = f"-{bound}" if re.fullmatch(r"[\w.]+", bound) else f"-({bound})"
        turned = bound[1:] if bound.startswith("-") else negated
        for new in (f"{turned}:", f":{turned}", f"{bound}:", f":{bound}"):
            if new != f"{lower}:{upper}":
                yield f"{base}[{new}]", 0.4


def _near(text: str) -> list[Proposal]:
    if not text:
        return [("1", 0.4)]
    if re.fullmatch(r"-?\d+", text):
        return [(str(int(text) + 1), 0.5), (str(int(text) - 1), 0.5), (str(-int(text)), 0.2)]
    trimmed = re.sub(r"\s*[+-]\s*1$", "", text)
    near = [(f"{text} + 1", 0.5), (f"{text} - 1", 0.5), (f"-{text}" if text.isidentifier() else text, 0.1)]
    return [*near, (trimmed, 0.5)] if trimmed != text else near


def collections(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`(a, b)` swapped, an element dropped, a comprehension's filter negated or dropped."""
    if isinstance(node, ast.List) and len(node.elts) == 1 and not isinstance(node.elts[0], ast.Constant):
        yield f"list({code.text(node.elts[0])})", 0.3
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load) and 2 <= len(node.elts) <= 5:
        whole = code.text(node)
        for a, b in zip(node.elts, node.elts[1:], strict=False):
            first, second, gap = code.text(a), code.text(b), code.between(a, b)
            if first != second and f"{first}{gap}{second}" in whole:
                yield whole.replace(f"{first}{gap}{second}", f"{second}{gap}{first}", 1), 0.3
    if isinstance(node, ast.Dict) and len(node.keys) == 2 and not any(node.keys):
        yield f"{{**{code.text(node.values[1])}, **{code.text(node.values[0])}}}", 0.8
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp) and len(node.generators) == 1:
        for test in node.generators[0].ifs:
            text = code.text(node)
            dropped = re.sub(r"\s+if\s+" + re.escape(code.text(test)), "", text, count=1)
            if dropped != text:
                yield dropped, 0.3


OPERATORS = {
    "arithmetic": arithmetic,
    "sign": signs,
    "number": numbers,
    "constant": constants,
    "index": subscripts,
    "collection": collections,
}
