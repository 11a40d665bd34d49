"""Tokens to a value, by recursive descent."""

from calc.tokens import tokenize


class FormulaError(ValueError):
    """The formula cannot be evaluated."""


class _Reader:
    def __init__(self, text, names):
        self.tokens = tokenize(text)
        self.names = names
        self.at = 0

    def peek(self):
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def take(self):
        if self.at >= len(self.tokens):
            raise FormulaError("the formula ends too early")
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self):
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take().text == "+" else value - self.product()
        return value

    def product(self):
        value = self.factor()
        while self.peek() in ("*", "/"):
            value = value * self.factor() if self.take().text == "*" else value / self.factor()
        return value

    def factor(self):
        token = self.take()
        if token.text == "-":
            return -self.factor()
        if token.text == "(":
            value = self.sum()
            if self.take().text != ")":
                raise FormulaError("a bracket is not closed")
            return value
        if token.kind == "number":
            return float(token.text)
        if token.kind == "name" and token.text in self.names:
            return self.names[token.text]
        raise FormulaError(f"unknown name: {token.text}")


def evaluate(text, **names):
    reader = _Reader(text, names)
    value = reader.sum()
    if reader.peek():
        raise FormulaError(f"unexpected {reader.peek()}")
    return value
