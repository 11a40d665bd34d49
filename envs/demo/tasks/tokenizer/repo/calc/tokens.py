"""Text to tokens."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    at: int


class BadCharacter(ValueError):
    """A character that no formula can contain."""


def tokenize(text):
    """Return the tokens of a formula: `number`, `name` and `sign`."""
    tokens = []
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char.isdigit():
            end = scan(text, at, "number")
            tokens.append(Token("number", text[at:end], at))
            at = end
        elif char.isalpha() or char == "_":
            end = scan(text, at, "name")
            tokens.append(Token("name", text[at : end - 1], at))
            at = end
        elif char in "+-*/()":
            tokens.append(Token("sign", char, at))
            at += 1
        else:
            raise BadCharacter(f"{char!r} at {at}")
    return tokens


def scan(text, at, kind):
    """Return where a number or a name that starts at `at` ends."""
    end = at
    while end < len(text) and (text[end].isdigit() or text[end] in "._" or (kind == "name" and text[end].isalpha())):
        end += 1
    return end
