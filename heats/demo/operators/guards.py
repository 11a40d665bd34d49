"""Operators that insert a statement: missing base cases, None guards, early returns, missing steps."""

import ast
from collections.abc import Iterator

from heats.demo.operators.base import Code, EditChange

_EMPTY_RESULTS = ("None", "[]", '""', "0", "False", "True", "{}")


def inserted(code: Code, node: ast.stmt, text: str, weight: float) -> EditChange:
    """Insert `text` before a statement, on separate lines.

    Args:
        code: the piece of source.
        node: the statement.
        text: the inserted statement, without indentation.
        weight: weight of the change.
    """
    line, col, _, _ = code.span(node)
    space = code.indent(node)
    edit = code.at(line, col, "", text.replace("\n", "\n" + space) + "\n" + space)
    return EditChange((edit,), "guard", weight, code.first_line + line)


def base_cases(code: Code) -> Iterator[EditChange]:
    """At a function's start: return early when an argument is None, empty or zero."""
    for function in code.functions[:3]:
        first = next((s for s in function.body if not code.is_body(s)), None)
        if first is None or not code.alone(first):
            continue
        arguments = [a.arg for a in (*function.args.args, *function.args.kwonlyargs) if a.arg not in ("self", "cls")]
        generates = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(function))
        results = ("",) if generates else (*arguments[:2], *_results(code, function))
        for name in arguments[:3]:
            for result in dict.fromkeys(results):
                leave = f"return {result}".strip()
                yield inserted(code, first, f"if not {name}:\n    {leave}", 0.5 / len(results))
                yield inserted(code, first, f"if {name} is None:\n    {leave}", 0.35 / len(results))
        yield from _raises(code, first, arguments)


def _results(code: Code, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Results worth returning early: first those that the function returns elsewhere."""
    returns = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None]
    simple = [code.text(value) for value in returns if isinstance(value, ast.Constant)]
    likely: list[str] = []
    for value in returns:
        if isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            likely.append('""')
        elif isinstance(value, ast.List | ast.ListComp):
            likely.append("[]")
    if function.returns is not None:
        likely += {"str": ['""'], "int": ["0"], "bool": ["False"]}.get(code.text(function.returns), [])
    return list(dict.fromkeys([*simple[:3], *likely, *_EMPTY_RESULTS]))[:7]


def _raises(code: Code, first: ast.stmt, arguments: list[str]) -> Iterator[EditChange]:
    """Reject a bad argument, if the failures or the issue name an exception."""
    wanted = sorted(word for word in code.hints.words if word.endswith("Error") and word != "AssertionError")
    for error in wanted[:2]:
        for name in arguments[:3]:
            for test in (f"{name} is None", f"not {name}", f"{name} < 0", f"{name} <= 0", f"{name} < 1"):
                yield inserted(code, first, f'if {test}:\n    raise {error}("invalid {name}")', 0.1)


def none_guards(code: Code, node: ast.stmt) -> Iterator[EditChange]:
    """Execute the statement only if a name that it uses is not None (or not empty)."""
    if not isinstance(node, ast.Expr | ast.Assign | ast.AugAssign) or code.is_body(node) or not code.alone(node):
        return
    loaded = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    space = code.indent(node)
    text = code.text(node).replace("\n", "\n    ")
    for name in [n for n in dict.fromkeys(loaded) if n in code.variables][:4]:
        for test, weight in ((f"{name} is not None", 0.15), (name, 0.1)):
            edit = code.replace(node, f"if {test}:\n{space}    {text}")
            yield EditChange((edit,), "guard", weight, code.first_line + node.lineno - 2)


def early_exits(code: Code, node: ast.stmt, last: bool) -> Iterator[EditChange]:
    """Leave the function or the loop if a name is None; return after the last statement of a block.

    Args:
        code: the piece of source.
        node: the statement.
        last: it is the last of its block.
    """
    parents = list(code.above(node))
    if not code.alone(node) or not any(isinstance(p, ast.FunctionDef | ast.AsyncFunctionDef) for p in parents):
        return
    loop = any(isinstance(p, ast.For | ast.While) for p in parents)
    loaded = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    for name in [n for n in dict.fromkeys(loaded) if n in code.variables and n not in code.arguments][:2]:
        for leave in ("continue", "break", "return") if loop else ("return", "return None"):
            if isinstance(node, ast.Assign | ast.Expr | ast.Return | ast.If):
                yield inserted(code, node, f"if {name} is None:\n    {leave}", 0.06)
    inside = isinstance(parents[0], ast.If | ast.For | ast.While | ast.With | ast.Try | ast.ExceptHandler)
    if last and inside and isinstance(node, ast.Expr | ast.Assign | ast.AugAssign):
        _, _, line, end = code.span(node)
        for leave, weight in (("return", 0.25), ("break", 0.25 if loop else 0), ("continue", 0.15 if loop else 0)):
            if weight:
                edit = code.at(line, end, "", "\n" + code.indent(node) + leave)
                yield EditChange((edit,), "guard", weight, code.first_line + node.lineno - 2)


def missing_steps(code: Code, node: ast.stmt) -> Iterator[EditChange]:
    """A loop that does not advance, a result that is not stored."""
    if isinstance(node, ast.While) and node.body and code.alone(node.body[-1]):
        names = [n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)]
        _, _, line, end = code.span(node.body[-1])
        for name in dict.fromkeys(names):
            for step in (f"{name} += 1", f"{name} -= 1"):
                edit = code.at(line, end, "", "\n" + code.indent(node.body[-1]) + step)
                yield EditChange((edit,), "guard", 0.15, code.first_line + node.lineno - 2)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        last = node.body[-1]
        has = any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(node))
        if not isinstance(last, ast.Return | ast.Raise) and not code.is_body(last) and code.alone(last):
            _, _, line, end = code.span(last)
            space = code.indent(node.body[0])
            stores = [name for name in code.variables if name not in code.arguments]
            for name in (*stores[:4], *(("self",) if "self" in code.source else ()), "None"):
                weight = 0.5 if name in stores and not has else 0.2
                edit = code.at(line, end, "", f"\n{space}return {name}")
                yield EditChange((edit,), "guard", weight, code.first_line + line)
