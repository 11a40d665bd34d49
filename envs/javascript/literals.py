"""Generate a different value for a literal in a test in JavaScript; the equivalent of `envs/literals.py`."""

import random

from tree_sitter import Node

from envs.javascript.syntax import inside, text_of

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WAYS_NEAR = 3


def differing(node: Node, rng: random.Random) -> bytes | None:
    """Source of a value that neither `===` nor `==` takes for the given literal; None if the node is no literal."""
    text = _Other(rng).of(node)
    return None if text is None else text.encode()


def nearby(node: Node, rng: random.Random, *, loose: bool) -> list[bytes]:
    """Source of values that only an overly lenient comparison takes for the given literal.

    The opposite sign, neighbouring numbers, the other letter case, an extra space. Not for comparisons that are lenient
    on purpose.

    Args:
        node: the literal.
        rng: source of randomness.
        loose: the comparison is `==`, for which `"3 "` equals 3.
    """
    found = (_Other(rng, way, loose=loose).of(node) for way in range(_WAYS_NEAR))
    return list(dict.fromkeys(text.encode() for text in found if text is not None))


class _Other:
    """Generates other values: distant ones, or near ones of a given variant."""

    def __init__(self, rng: random.Random, near: int | None = None, *, loose: bool = False) -> None:
        self.rng, self.near, self.loose = rng, near, loose

    def of(self, node: Node) -> str | None:
        """Another value; None if there is none."""
        word = "".join(self.rng.choices(_LETTERS, k=6))
        raw = text_of(node)
        match node.type:
            case "true" | "false":
                return "false" if raw == "true" else "true"
            case "null" | "undefined":
                return f'"{word}"'
            case "number":
                return self.number(raw, 1)
            case "unary_expression" if raw.startswith("-") and inside(node)[-1].type == "number":
                return self.number(text_of(inside(node)[-1]), -1)
            case "string":
                return self.text(raw, word)
            case "template_string":
                return f"{raw[:-1]}{word}`"
            case "array":
                return self.element(node, word)
            case "object":
                return self.value(node, word)
            case "parenthesized_expression" if len(inside(node)) == 1:
                return self.of(inside(node)[0])
            case "binary_expression" if self._joins_text(node):
                return f'({raw} + "{word}")'
            case _:
                return None

    def number(self, raw: str, sign: int) -> str:
        """A number that is never equal to the original, nor within any sensible tolerance of it unless `near`."""
        big = raw.endswith("n")
        digits = raw.removesuffix("n").replace("_", "")
        try:
            value: float = sign * int(digits, 0)
        except ValueError:
            try:
                value = sign * float(digits)
            except ValueError:
                return f"{self.rng.randrange(1_000, 90_000)}.25"
        if abs(value) > 1 << 50:
            return f"{self.rng.randrange(1_000, 90_000)}" + ("n" if big else "")
        if self.near is not None:
            value = (-value or 1, value + 1, value - 1)[self.near]
        else:
            far = abs(value) + self.rng.randrange(1_000, 90_000)
            value = far if isinstance(value, int) else far * 3 + 0.25
        return repr(value) + ("n" if big else "")

    def text(self, raw: str, word: str) -> str:
        """A text that never equals the original: longer by a word, or a slight variant if `near`."""
        inner, quote = raw[1:-1], raw[0]
        if self.near is None or "\\" in inner or (self.loose and not inner.strip(" 0123456789.+-eE")):
            return f"{quote}{inner}{word}{quote}"
        variants = (inner.swapcase(), inner + ("_" if self.loose else " "), inner[:-1])
        other = variants[self.near]
        return f"{quote}{other if other != inner else inner + '_'}{quote}"

    def element(self, node: Node, word: str) -> str:
        """Change one element; an array without literal elements gets one more."""
        return self._changed_in(node, inside(node), f'"{word}"')

    def value(self, node: Node, word: str) -> str:
        """Change the value of one property; an object without literal values gets another property."""
        pairs = [one for one in inside(node) if one.type == "pair"]
        # The value of a property may not count if there is another one of that name, or `...rest`.
        plain = len({text_of(one.children[0]) for one in pairs}) == len(inside(node))
        values = [one.children[-1] for one in pairs] if plain else []
        return self._changed_in(node, values, f"{word}: 1")

    def _changed_in(self, node: Node, values: list[Node], more: str) -> str:
        raw = (node.text or b"").decode("utf-8", "replace")
        others = [(one, other) for one in values if (other := self.of(one)) is not None]
        if not others:
            rest = raw[:-1].rstrip()
            return f"{rest}{'' if rest[-1] in '[{,' else ','} {more}{raw[-1]}"
        one, other = self.rng.choice(others)
        data, start = node.text or b"", one.start_byte - node.start_byte
        return (data[:start] + other.encode() + data[one.end_byte - node.start_byte :]).decode("utf-8", "replace")

    def _joins_text(self, node: Node) -> bool:
        sign = node.child_by_field_name("operator")
        sides = (node.child_by_field_name("left"), node.child_by_field_name("right"))
        if sign is None or text_of(sign) != "+":
            return False
        return any(one is not None and (one.type in ("string", "template_string") or
                   (one.type == "binary_expression" and self._joins_text(one))) for one in sides)  # fmt: skip
