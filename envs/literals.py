"""Generate a different value for a literal in a test."""

import ast
import random
import re

from core.syntax import parse_python

_CONSTRUCTORS = re.compile(
    r"approx|Decimal|Fraction|datetime|date|timedelta|Path|PurePath|OrderedDict|list|tuple|dict|set"
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


_WAYS_NEAR = 3


def differing(node: ast.expr, rng: random.Random) -> bytes | None:
    """Source of a value that differs from a literal; None if the node is not a literal.

    Calls of well-known constructors, such as `approx(3)`, count as literals if an argument is one.
    """
    text = _Other(rng).of(node)
    return None if text is None else text.encode()


def nearby(node: ast.expr, rng: random.Random) -> list[bytes]:
    """Source of values that only an overly lenient comparison takes for the given literal.

    The opposite sign, neighbouring numbers, the other letter case, an extra space. Not for comparisons that are lenient
    on purpose.
    """
    found = (_Other(rng, way).of(node) for way in range(_WAYS_NEAR))
    return list(dict.fromkeys(text.encode() for text in found if text is not None))


class _Other:
    """Generates other values: distant ones, or near ones of a given variant."""

    def __init__(self, rng: random.Random, near: int | None = None) -> None:
        self.rng, self.near = rng, near

    def of(self, node: ast.expr) -> str | None:
        word = "".join(self.rng.choices(_LETTERS, k=6))
        match node:
            case ast.Constant(value=bool() as value):
                return str(not value)
            case ast.Constant(value=int() | float() as value) if value == value and abs(value) < 1e300:
                return self.number(value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if abs(value) < 1e300:
                return self.number(-value)
            case ast.Constant(value=str() as value):
                return repr(self.text(value, word))
            case ast.Constant(value=bytes() as value):
                return repr(value + word.encode())
            case ast.Constant(value=None):
                return repr(word)
            case ast.List() | ast.Tuple() | ast.Set():
                return self.element(node, word)
            case ast.Dict() if None not in node.keys:
                return self.value(node, word)
            case ast.Call(func=func, args=[first, *_]) if _CONSTRUCTORS.fullmatch(_last(func)):
                other = self.of(first) if _last(func) != "approx" or self.near is None else None
                if other is None:
                    return None
                return ast.unparse(ast.Call(func, [parse_python(other, "eval").body, *node.args[1:]], node.keywords))
            case _:
                return None

    def number(self, value: float) -> str:
        """A number that is never equal to the original, nor within any sensible tolerance of it unless `near`."""
        if self.near is not None:
            return repr((-value or 1, value + 1, value - 1)[self.near])
        far = abs(value) + self.rng.randrange(1_000, 90_000)
        return repr(far if isinstance(value, int) else far * 3 + 0.25)

    def text(self, value: str, word: str) -> str:
        """A text that never equals the original: longer by a word, or a slight variant if `near`."""
        if self.near is None:
            return value + word
        other = (value.swapcase(), value + " ", value[:-1])[self.near]
        return other if other != value else value + "\n"

    def element(self, node: ast.List | ast.Tuple | ast.Set, word: str) -> str | None:
        """Change one element, so that the container keeps its length; an empty one gets an element."""
        if not node.elts:
            return f"[{word!r}]" if isinstance(node, ast.List) else f"({word!r},)"
        elements = [ast.unparse(one) for one in node.elts]
        number, other = self.one_of(node.elts)
        if other is None:
            return None
        elements[number] = other
        inside = ", ".join(elements) + ","
        return {ast.List: f"[{inside}]", ast.Tuple: f"({inside})", ast.Set: f"{{{inside}}}"}[type(node)]

    def value(self, node: ast.Dict, word: str) -> str | None:
        """Change one value; an empty dictionary gets one."""
        if not node.keys:
            return f"{{{word!r}: 1}}"
        values = [ast.unparse(one) for one in node.values]
        number, other = self.one_of(node.values)
        if other is None:
            return None
        values[number] = other
        pairs = (f"{ast.unparse(key)}: {new}" for key, new in zip(node.keys, values, strict=True) if key is not None)
        return f"{{{', '.join(pairs)}}}"

    def one_of(self, nodes: list[ast.expr]) -> tuple[int, str | None]:
        """Index and replacement of a value to change; None if none of them is a literal."""
        others = {number: other for number, one in enumerate(nodes) if (other := self.of(one)) is not None}
        if not others:
            return 0, None
        number = self.rng.choice(list(others))
        return number, others[number]


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
