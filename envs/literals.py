"""Another value for one that is written out in a test."""

import ast
import random
import re

from core.syntax import parse_python

_CONSTRUCTORS = re.compile(
    r"approx|Decimal|Fraction|datetime|date|timedelta|Path|PurePath|OrderedDict|list|tuple|dict|set"
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def differing(node: ast.expr, rng: random.Random) -> bytes | None:
    """Source for a value that differs from the one written; None where the node is not written out.

    Calls of well-known constructors, such as `approx(3)`, count as written out where an argument does.
    """
    text = _differing(node, rng)
    return None if text is None else text.encode()


def _differing(node: ast.expr, rng: random.Random) -> str | None:
    word = "".join(rng.choices(_LETTERS, k=6))
    match node:
        case ast.Constant(value=bool() as value):
            return str(not value)
        case ast.Constant(value=int() as value):
            return str(abs(value) + rng.randrange(1_000, 90_000))
        case ast.Constant(value=float() as value) if value == value and abs(value) < 1e300:
            return repr(abs(value) * 3 + rng.randrange(1_000, 90_000) + 0.25)
        case ast.Constant(value=str() as value):
            return repr(value + word)
        case ast.Constant(value=bytes() as value):
            return repr(value + word.encode())
        case ast.Constant(value=None):
            return repr(word)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return str(abs(value) + rng.randrange(1_000, 90_000))
        case ast.List() | ast.Tuple() | ast.Set():
            return _another_element(node, rng, word)
        case ast.Dict() if None not in node.keys:
            return _another_value(node, rng, word)
        case ast.Call(func=func, args=[first, *_]) if _CONSTRUCTORS.fullmatch(_last(func)):
            other = _differing(first, rng)
            if other is None:
                return None
            return ast.unparse(ast.Call(func, [parse_python(other, "eval").body, *node.args[1:]], node.keywords))
        case _:
            return None


def _another_element(node: ast.List | ast.Tuple | ast.Set, rng: random.Random, word: str) -> str | None:
    """One element changed, so that containers are as long as they were; an empty one gets an element."""
    if not node.elts:
        return f"[{word!r}]" if isinstance(node, ast.List) else f"({word!r},)"
    elements = [ast.unparse(one) for one in node.elts]
    others = {number: other for number, one in enumerate(node.elts) if (other := _differing(one, rng)) is not None}
    if not others:
        return None
    number = rng.choice(list(others))
    elements[number] = others[number]
    inside = ", ".join(elements) + ","
    return {ast.List: f"[{inside}]", ast.Tuple: f"({inside})", ast.Set: f"{{{inside}}}"}[type(node)]


def _another_value(node: ast.Dict, rng: random.Random, word: str) -> str | None:
    """One value changed; an empty dictionary gets one."""
    if not node.keys:
        return f"{{{word!r}: 1}}"
    values = [ast.unparse(one) for one in node.values]
    others = {number: other for number, one in enumerate(node.values) if (other := _differing(one, rng)) is not None}
    if not others:
        return None
    number = rng.choice(list(others))
    values[number] = others[number]
    pairs = (f"{ast.unparse(key)}: {value}" for key, value in zip(node.keys, values, strict=True) if key is not None)
    return f"{{{', '.join(pairs)}}}"


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
