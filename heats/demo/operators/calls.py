"""Operators on calls: another function or method, other arguments, an added or removed call."""

import ast
from collections.abc import Iterator

from heats.demo.operators.base import Code, Proposal, similar

_METHODS = (
    ("append", "extend", "insert", "add", "appendleft"),
    ("lower", "upper", "casefold", "title", "capitalize", "swapcase"),
    ("strip", "lstrip", "rstrip"),
    ("startswith", "endswith"),
    ("index", "find", "rfind", "rindex"),
    ("split", "rsplit", "partition", "rpartition", "splitlines"),
    ("keys", "values", "items"),
    ("pop", "popleft", "popitem", "remove", "discard"),
    ("union", "intersection", "difference", "symmetric_difference"),
    ("issubset", "issuperset"),
    ("isdigit", "isnumeric", "isdecimal", "isalnum", "isalpha"),
    ("removeprefix", "removesuffix"),
    ("ljust", "rjust", "center", "zfill"),
    ("match", "search", "fullmatch"),
    ("group", "groups"),
    ("update", "setdefault"),
    ("bisect_left", "bisect_right", "bisect"),
    ("floor", "ceil", "trunc"),
    ("days", "seconds", "total_seconds"),
)
_BUILTINS = (
    ("min", "max"),
    ("any", "all"),
    ("int", "round", "float"),
    ("list", "tuple", "sorted", "set"),
    ("sorted", "reversed", "list"),
    ("isinstance", "issubclass"),
    ("str", "repr"),
    ("dict", "OrderedDict"),
    ("ValueError", "TypeError", "KeyError", "IndexError", "AttributeError"),
    ("bisect_left", "bisect_right", "bisect"),
)
_COPIED = ("list", "dict", "set", "deque", "sorted")


def functions(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`f(...)`: a function or method of the same kind instead."""
    if not isinstance(node, ast.Call):
        return
    arguments = _after(code, node, node.func)
    if isinstance(node.func, ast.Attribute):
        name, base = node.func.attr, code.text(node.func.value)
        families = [family for family in _METHODS if name in family]
        for other in {other: None for family in families for other in family if other != name}:
            yield f"{base}.{other}{arguments}", 0.9 / len(families[0]) ** 0.5
        if name == "sort" and not node.args:
            yield f"sorted({base})", 0.3
    elif isinstance(node.func, ast.Name):
        name = node.func.id
        families = [family for family in _BUILTINS if name in family]
        for other in {other: None for family in families for other in family if other != name}:
            yield other + arguments, 1.0 / len(families[0]) ** 0.5
        if name == "hasattr" and len(node.args) == 2:
            yield f"getattr{arguments[:-1]}, None)", 0.5
        if name in code.hints.params:
            for other in similar(name, [n for n in code.hints.params if n in code.hints.module], 3):
                yield other + arguments, 0.15


def _after(code: Code, node: ast.expr, part: ast.expr) -> str:
    """Text of a node after one of its parts."""
    _, _, line, col = code.span(part)
    _, _, last, end = code.span(node)
    return code.slice((line, col), (last, end))


def arguments(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """Arguments swapped, dropped or added."""
    if not isinstance(node, ast.Call):
        return
    function = code.text(node.func)
    texts = [code.text(argument) for argument in node.args]
    keywords = [f"{k.arg}={code.text(k.value)}" if k.arg else f"**{code.text(k.value)}" for k in node.keywords]
    for at in range(len(texts) - 1):
        if texts[at] != texts[at + 1] and not texts[at].startswith("*"):
            swapped = [*texts[:at], texts[at + 1], texts[at], *texts[at + 2 :]]
            yield f"{function}({', '.join(swapped + keywords)})", 0.4 if len(texts) > 1 else 0.2
    if len(texts) > 1:
        yield f"{function}({', '.join(texts[:-1] + keywords)})", 0.2
    for at in range(len(keywords)):
        yield f"{function}({', '.join(texts + keywords[:at] + keywords[at + 1 :])})", 0.2
    given = {keyword.arg for keyword in node.keywords}
    yield from _passed_on(code, node, function, [*texts, *keywords], given)
    yield from _known_options(function, [*texts, *keywords], given)


def _passed_on(
    code: Code, node: ast.Call, function: str, texts: list[str], given: set[str | None]
) -> Iterator[Proposal]:
    """A parameter of the called function that is in scope here and is not passed on."""
    params = [name for name in code.hints.params.get(function.rsplit(".", 1)[-1], ()) if name not in ("self", "cls")]
    for name in params[len(node.args) :]:
        if name in code.variables and name not in given:
            yield f"{function}({', '.join([*texts, f'{name}={name}'])})", 1.2
        elif f"self.{name}" in code.source and name not in given:
            yield f"{function}({', '.join([*texts, f'{name}=self.{name}'])})", 0.5


def _known_options(function: str, texts: list[str], given: set[str | None]) -> Iterator[Proposal]:
    name = function.rsplit(".", 1)[-1]
    options = {
        "sort": ("reverse=True", "key=len", "key=str.lower"),
        "sorted": ("reverse=True", "key=len", "key=str.lower"),
        "split": ("maxsplit=1", "1"),
        "rsplit": ("maxsplit=1", "1"),
        "join": (),
        "replace": ("1",),
        "get": ("0", '""', "[]"),
        "pop": ("0", "None"),
        "enumerate": ("1", "start=1"),
        "max": ("default=0", "default=None"),
        "min": ("default=0", "default=None"),
        "next": ("None",),
        "sum": ("0.0",),
        "zip": ("strict=True",),
        "getattr": ("None",),
        "open": ('encoding="utf-8"',),
        "splitlines": ("True",),
        "compile": ("re.IGNORECASE",),
    }.get(name, ())
    for option in options:
        if option.split("=")[0] not in given:
            yield f"{function}({', '.join([*texts, option])})", 0.3 / len(options) ** 0.5


def wrapping(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """A call around an expression removed or added."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and len(node.args) >= 1 and not isinstance(node.args[0], ast.Starred):
            yield code.text(node.args[0]), 0.3
        if isinstance(node.func, ast.Attribute) and not isinstance(code.parents.get(node), ast.Expr):
            yield code.text(node.func.value), 0.25
        yield from _moved_out(code, node)
    parent = code.parents.get(node)
    text = code.text(node)
    if isinstance(parent, ast.Return | ast.Assign) and isinstance(node, ast.Name | ast.Attribute):
        yield f"{text}.copy()", 0.25
        yield f"list({text})", 0.25
    if isinstance(parent, ast.Return | ast.Assign | ast.Call) and isinstance(node, ast.Name | ast.Call | ast.BinOp):
        for function in ("int", "str", "abs", "sorted", "round", "tuple", "set"):
            yield f"{function}({text})", 0.05
        yield f"max(0, {text})", 0.06
    if isinstance(parent, ast.Call) and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Add):
        yield f"max(0, {text})", 0.15
        yield f"max(1, {text})", 0.1
    kept = isinstance(parent, ast.Return | ast.Assign | ast.Compare)
    if isinstance(node, ast.Name | ast.Attribute | ast.Call) and kept:
        for method in ("strip", "lower", "copy"):
            yield f"{text}.{method}()", 0.05


def _moved_out(code: Code, node: ast.Call) -> Iterator[Proposal]:
    """`f(a * b)` that should be `f(a) * b`."""
    if len(node.args) == 1 and isinstance(inner := node.args[0], ast.BinOp) and not node.keywords:
        gap = code.between(inner.left, inner.right)
        if not set("()") & set(gap):
            yield f"{code.text(node.func)}({code.text(inner.left)}){gap}{code.text(inner.right)}", 0.3
            yield f"{code.text(inner.left)}{gap}{code.text(node.func)}({code.text(inner.right)})", 0.15
    last = node.args[-1] if node.args and not node.keywords else None
    if isinstance(last, ast.Call) and len(last.args) == 1 and isinstance(inner := last.args[0], ast.BinOp):
        gap = code.between(inner.left, inner.right)
        moved = code.text(node).replace(code.text(inner), code.text(inner.left), 1)
        if not set("()") & set(gap):
            yield f"{moved}{gap}{code.text(inner.right)}", 0.2


def ranges(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`range(n)` and `len(x)`: bounds off by one."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return
    texts = [code.text(argument) for argument in node.args]
    if node.func.id == "range" and texts and not node.keywords:
        if len(texts) == 1:
            for new in (f"{texts[0]} + 1", f"{texts[0]} - 1", f"1, {texts[0]}", f"1, {texts[0]} + 1"):
                yield f"range({new})", 0.5
            return
        for at, name in enumerate(texts[:2]):
            for change in (" + 1", " - 1"):
                other = " - 1" if change == " + 1" else " + 1"
                moved = name.removesuffix(other) if name.endswith(other) else name + change
                yield f"range({', '.join([*texts[:at], moved, *texts[at + 1 :]])})", 0.45
        yield f"range({', '.join(['0', *texts[1:]])})", 0.3
    elif node.func.id == "len" and not isinstance(code.parents.get(node), ast.BinOp):
        yield f"{code.text(node)} - 1", 0.2
        yield f"{code.text(node)} + 1", 0.2


def defaults(code: Code, node: ast.expr) -> Iterator[Proposal]:
    """`d.get(k)` with another default, an object that should have been copied, a mutable default value."""
    if not isinstance(node, ast.Call):
        return
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop", "setdefault") and len(node.args) == 2:
        base, key = code.text(node.func), code.text(node.args[0])
        for value in ("0", "1", "None", '""', "[]", key):
            if value != code.text(node.args[1]):
                yield f"{base}({key}, {value})", 0.2
    if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and len(node.args) == 1:
        yield f"{code.text(node.func.value)}[{code.text(node.args[0])}]", 0.2
    for argument in node.args[:3]:
        function = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(argument, ast.Name) and function in ("append", "add"):
            for copied in (f"{argument.id}.copy()", f"list({argument.id})", f"{argument.id}[:]"):
                yield code.text(node).replace(f"({argument.id})", f"({copied})"), 0.3
    if isinstance(node.func, ast.Name) and node.func.id in _COPIED and not node.args:
        yield "None", 0.05


OPERATORS = {
    "function": functions,
    "argument": arguments,
    "wrap": wrapping,
    "range": ranges,
    "default": defaults,
}
