"""Syntax trees of JavaScript and TypeScript, by tree-sitter, which parses untrusted source in linear time."""

from collections.abc import Iterator
from functools import cache

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

MOST_BYTES = 1 << 20
FUNCTIONS = frozenset(("arrow_function", "function_expression", "function_declaration", "method_definition"))
GENERATORS = frozenset(("generator_function", "generator_function_declaration"))
_SCOPES = FUNCTIONS | GENERATORS | {"class", "class_declaration"}


@cache
def _language(ending: str) -> Language:
    if ending == "tsx":
        return Language(tree_sitter_typescript.language_tsx())
    typed = ending in ("ts", "mts", "cts")
    return Language(tree_sitter_typescript.language_typescript() if typed else tree_sitter_javascript.language())


def parse(path: str, data: bytes) -> Node:
    """Parse a file; its extension tells the language.

    Raises:
        ValueError: it is too long, not UTF-8, or has syntax that is not understood.
    """
    if len(data) > MOST_BYTES:
        raise ValueError("the source is too long to be parsed")
    data.decode("utf-8")
    root = Parser(_language(path.rpartition(".")[2])).parse(data).root_node
    if root.has_error:
        raise ValueError("the source cannot be parsed")
    return root


def text_of(node: Node) -> str:
    """The source of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def inside(node: Node) -> list[Node]:
    """The children of a node that are neither punctuation nor comments."""
    return [one for one in node.named_children if one.type != "comment"]


def within(node: Node, *, scopes: bool = True) -> Iterator[Node]:
    """A node and all nodes below it.

    Args:
        node: where to begin.
        scopes: also enter functions and classes below it.
    """
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        if scopes or one is node or one.type not in _SCOPES:
            stack.extend(one.named_children)


def unwrapped(node: Node) -> Node:
    """An expression without `await` and parentheses around it."""
    while node.type in ("await_expression", "parenthesized_expression") and len(inside(node)) == 1:
        node = inside(node)[0]
    return node


def string_of(node: Node) -> str | None:
    """The value of a string literal; None for anything else, and for a string with an unusual escape."""
    raw = text_of(node)
    if node.type == "template_string" and all(one.type != "template_substitution" for one in node.named_children):
        raw = raw.replace("\r\n", "\n")
    elif node.type != "string":
        return None
    value, escaped = "", False
    for sign in raw[1:-1]:
        if escaped and sign not in _ESCAPES:
            return None
        value += _ESCAPES[sign] if escaped else "" if sign == "\\" else sign
        escaped = sign == "\\" and not escaped
    return value


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "`": "`", "\\": "\\", "$": "$", "/": "/"}


def arguments(call: Node) -> list[Node]:
    """The arguments of a call; empty if they are a template string or contain `...`."""
    found = call.child_by_field_name("arguments")
    given = inside(found) if found is not None and found.type == "arguments" else []
    return [] if any(one.type == "spread_element" for one in given) else given


def called(call: Node) -> Node | None:
    """What a call calls."""
    return call.child_by_field_name("function") if call.type == "call_expression" else None
