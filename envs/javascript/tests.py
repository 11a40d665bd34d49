"""Finds the tests of node:test and mocha in a file by their titles, and copies them.

Only calls that surely define one test count: `test("title", function)` as a statement of its own, at the top of the
file or in the body of such a call of `describe`. Titles must be literal. Tests in loops, conditions and helpers, and
titles that occur twice, are not copied.
"""

import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from tree_sitter import Node

from envs.copying import Edit, Target, applied
from envs.javascript.mutants import changes
from envs.javascript.syntax import FUNCTIONS, arguments, called, inside, parse, string_of, text_of
from envs.recording import stable_id, titled_id

WITHIN = " > "
"""What separates titles in ids."""

_TESTS = frozenset(("it", "test", "specify"))
_GROUPS = frozenset(("describe", "context", "suite"))


def whole_of(test: str, known: Collection[str]) -> str:
    """The outermost test around a subtest, as ids tell; the test itself if there is none."""
    parts = test.split(WITHIN)
    outer = (WITHIN.join(parts[:length]) for length in range(1, len(parts)))
    return next((one for one in outer if one in known), test)


class JavaScriptFile:
    """A parsed file in JavaScript or TypeScript; see `ParsedFile`.

    Raises:
        ValueError: it cannot be parsed.
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data = path, data
        self._root = parse(path, data)

    def find(self, target: Target) -> "JavaScriptTest | None":
        """See `ParsedFile.find`: by the titles."""
        found = [one for one in self.tests() if one.reported(one.name) == target.whole]
        return found[0] if len(found) == 1 and found[0].function is not None else None

    def tests(self) -> Iterator["JavaScriptTest"]:
        """All tests that can be seen, those that cannot be copied included."""
        waiting: list[tuple[Node, tuple[str, ...]]] = [(self._root, ())]
        while waiting:
            block, titles = waiting.pop()
            for statement in inside(block):
                call = _call_in(statement)
                given = arguments(call) if call is not None else []
                title = string_of(given[0]) if given else None
                if call is None or title is None:
                    continue
                function = given[-1] if len(given) in (2, 3) and given[-1].type in FUNCTIONS else None
                name = _definer(called(call))
                if name in _TESTS:
                    yield JavaScriptTest(self, statement, given[0], function, title, titles)
                elif name in _GROUPS and function is not None:
                    body = function.child_by_field_name("body")
                    if body is not None and body.type == "statement_block":
                        waiting.append((body, (*titles, title)))


def _call_in(statement: Node) -> Node | None:
    """The call that makes up a statement, awaited or not."""
    found = inside(statement) if statement.type == "expression_statement" else []
    while len(found) == 1 and found[0].type == "await_expression":
        found = inside(found[0])
    return found[0] if len(found) == 1 and found[0].type == "call_expression" else None


def _definer(function: Node | None) -> str:
    """`it` for `it` and `it.only`; empty for anything but a name of the runners'."""
    if function is None:
        return ""
    name, _, rest = text_of(function).partition(".")
    if rest and rest != "only":
        # `test.describe` and `describe.it` of node:test
        name = rest if name in _TESTS | _GROUPS and rest in _TESTS | _GROUPS else ""
    return name


@dataclass(frozen=True, slots=True)
class JavaScriptTest:
    """A call that defines a test; see `CopyableTest`.

    Attributes:
        function: the test's function; None if it is not written in the call.
        groups: titles of the groups around it.
    """

    file: JavaScriptFile
    statement: Node
    title: Node
    function: Node | None
    name: str
    groups: tuple[str, ...]

    @property
    def span(self) -> tuple[int, int]:
        """See `CopyableTest.span`: the statement."""
        return self.statement.start_byte, self.statement.end_byte

    @property
    def text(self) -> bytes:
        """See `CopyableTest.text`."""
        return self.statement.text or b""

    @property
    def _body(self) -> Node:
        body = self.function.child_by_field_name("body") if self.function is not None else None
        assert body is not None
        return body

    def renamed(self, words: Sequence[str]) -> str:
        """See `CopyableTest.renamed`."""
        return " ".join([self.name, *words])

    def reported(self, name: str) -> str:
        """See `CopyableTest.reported`."""
        return stable_id(titled_id(self.file.path, [*self.groups, name]))

    def copy(self, name: str, edits: Sequence[Edit]) -> bytes:
        """See `CopyableTest.copy`."""
        titled = Edit(self.title.start_byte, self.title.end_byte, json.dumps(name).encode())
        text = applied(self.text, (titled, *edits), self.span[0])
        return text + (b"\n" if text.endswith(b";") else b";\n")

    def restated(self, rng: random.Random) -> list[Edit]:
        """See `CopyableTest.restated`."""
        name = rng.choice("abcdefghijk") + "".join(rng.choices("aeioulmnrst", k=5))
        text = f"const {name} = {rng.randrange(100, 999)};".encode()
        body = self._body
        if body.type != "statement_block":
            return [
                Edit(body.start_byte, body.start_byte, b"{ " + text + b" return ("),
                Edit(body.end_byte, body.end_byte, b"); }"),
            ]
        first = next((one for one in inside(body) if not _is_directive(one)), None)
        at = first.start_byte if first is not None else body.end_byte - 1
        return [Edit(at, at, text + b" ")]

    def undescribed(self) -> list[Edit]:
        """See `CopyableTest.undescribed`."""
        return []

    def changed(self, rng: random.Random) -> list[list[Edit]]:
        """See `CopyableTest.changed`."""
        assert self.function is not None
        return changes(self.function, rng)


def _is_directive(statement: Node) -> bool:
    found = inside(statement) if statement.type == "expression_statement" else []
    return len(found) == 1 and found[0].type == "string"
