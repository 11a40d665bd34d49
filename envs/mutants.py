"""Copies of a Python test: restated with the same meaning, or with one expectation changed so that they must fail.

A change is made only where a passing test is certain to reach it: in statements that run once, not under a condition,
not after a conditional return, and not in a block that catches exceptions. It replaces the expected value (`== 3`
becomes `== 17`, an exception becomes another one), so that neither a comparison that always holds nor a disabled
assertion lets it pass. A test without such a place gets a failing assertion at its end.
"""

import ast
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from core.syntax import parse_python
from envs.copying import Edit, applied
from envs.literals import differing, nearby

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """A parsed test file, with byte offsets for the parser's positions.

    Raises:
        ValueError: not UTF-8, or not parsable by this version of Python.
    """

    def __init__(self, data: bytes) -> None:
        try:
            text = data.decode("utf-8-sig")
            if "\r" in text.replace("\r\n", "\n") or "\f" in text:
                raise ValueError("has line ends of another kind")
            self.tree = parse_python(text)
        except SyntaxError as error:
            raise ValueError(f"cannot be parsed: {error}") from None
        self.data = data
        start = len(data) - len(text.encode())  # the length of a byte order mark
        self.lines = [start]
        for line in text.encode().split(b"\n"):
            self.lines.append(self.lines[-1] + len(line) + 1)

    def at(self, line: int, column: int) -> int:
        """Byte offset of a position: lines counted from 1, columns in bytes."""
        return self.lines[line - 1] + column

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Offset where a node begins."""
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Offset where a node ends."""
        return self.at(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def text(self, node: ast.expr | ast.stmt) -> bytes:
        """Source of a node, as written."""
        return self.data[self.start(node) : self.end(node)]

    def span(self, function: Function) -> tuple[int, int]:
        """Offsets of a function's whole lines, decorators included."""
        first = min([function.lineno, *(one.lineno for one in function.decorator_list)])
        return self.lines[first - 1], min(self.lines[function.end_lineno or first], len(self.data))

    def replace(self, node: ast.expr, text: bytes) -> Edit:
        """An edit that replaces one node."""
        return Edit(self.start(node), self.end(node), text)

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Every function that is not nested in another, with its qualified name."""
        stack: list[tuple[str, ast.AST]] = [("", self.tree)]
        while stack:
            prefix, node = stack.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, Function):
                    yield prefix + child.name, child
                elif isinstance(child, ast.ClassDef):
                    stack.append((f"{prefix}{child.name}.", child))
                elif isinstance(child, ast.If | ast.Try | ast.With):
                    stack.append((prefix, child))


def copy(source: Source, function: Function, name: str, edits: Sequence[Edit]) -> bytes:
    """Copy a function's lines under another name, with edits applied.

    Args:
        source: the file.
        function: a function in it.
        name: name of the copy.
        edits: edits with offsets into the original file.

    Returns:
        The copy, ending with a newline.
    """
    start, end = source.span(function)
    found = re.compile(rb"def\s+" + function.name.encode() + rb"\b").search(source.data, source.start(function))
    assert found is not None
    renamed = Edit(found.end() - len(function.name.encode()), found.end(), name.encode())
    text = applied(source.data[start:end], (renamed, *edits), start)
    return text if text.endswith(b"\n") else text + b"\n"


def restated(source: Source, function: Function, rng: random.Random) -> list[Edit]:
    """Edits that change a test's text, code and line numbers without changing what it does.

    Args:
        source: the file.
        function: the test.
        rng: source of randomness for the inserted statement.
    """
    name = rng.choice("abcdefghijk") + "".join(rng.choices("aeioulmnrst", k=5))
    return [_before_all(source, function, f"{name} = {rng.randrange(100, 999)}".encode())]


def undescribed(source: Source, function: Function) -> list[Edit]:
    """An edit that removes a docstring; empty if there is none."""
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return [source.replace(first.value, b"0")]
    return []


def changed(source: Source, function: Function, rng: random.Random) -> list[list[Edit]]:
    """Ways to make the test fail, each a list of edits, always in the same order; at least one.

    Args:
        source: the file.
        function: the test.
        rng: source of randomness for the changed values.
    """
    ways = [way for statement in _sure(function.body) for way in _changes(source, statement, rng)]
    return ways or [_failing_end(source, function, rng)]


def _before_all(source: Source, function: Function, text: bytes) -> Edit:
    """An edit that inserts a statement at the start of a body, after its docstring."""
    body = function.body
    described = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1
    first = body[1] if described else body[0]
    at = min([source.start(first), *(source.start(one) for one in getattr(first, "decorator_list", ()))])
    line = source.data.rfind(b"\n", 0, at) + 1
    indent = source.data[line:at]
    if indent.strip(b" \t@"):  # the body is on the line of `def`, or a line holds two statements
        return Edit(at, at, text + b"; ")
    return Edit(line, line, indent.rstrip(b"@") + text + b"\n")


def _failing_end(source: Source, function: Function, rng: random.Random) -> list[Edit]:
    """Edits that insert a failing assertion before each return and at the end."""
    left, right = rng.randrange(2, 90), rng.randrange(2, 90)
    text = f"assert {left} + {right} == {left + right + rng.randrange(1, 9)}".encode()
    edits = [Edit(source.start(one), source.start(one), text + b"; ") for one in _own(function, ast.Return)]
    last = function.body[-1]
    if isinstance(last, ast.Return):
        return edits
    if last.lineno == function.lineno:
        return [*edits, Edit(source.end(last), source.end(last), b"; " + text)]
    line = source.lines[function.body[0].lineno - 1]
    indent = re.match(rb"[ \t]*", source.data[line:])
    assert indent is not None
    _, end = source.span(function)
    newline = b"" if source.data[:end].endswith(b"\n") else b"\n"
    return [*edits, Edit(end, end, newline + indent[0] + text + b"\n")]


def _own(function: Function, kind: type[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a kind in a function, not in functions or classes nested in it."""
    stack: list[ast.AST] = [*function.body]
    while stack:
        node = stack.pop()
        if isinstance(node, kind):
            yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(node))


def _sure(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that a passing test has certainly executed; of a compound statement, only its header."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.With | ast.AsyncWith):
            if not any(_catches(item.context_expr) for item in statement.items):
                yield from _sure(statement.body)
        elif (
            isinstance(statement, ast.For) and isinstance(statement.iter, ast.List | ast.Tuple) and statement.iter.elts
        ):
            yield from _sure(statement.body)
        if isinstance(statement, ast.Return | ast.Raise) or any(_leaves(statement)):
            return


def _leaves(statement: ast.stmt) -> Iterator[ast.AST]:
    """Nodes at which a statement may leave the test or a loop iteration early."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Return | ast.Break | ast.Continue | ast.Yield | ast.YieldFrom):
            yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(node))


def _name(node: ast.expr) -> str:
    """The last part of the called name."""
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def _catches(context: ast.expr) -> bool:
    return re.search(r"(?i)raises|suppress|fails|xfail|ignore", _name(context)) is not None


def _changes(source: Source, statement: ast.stmt, rng: random.Random) -> Iterator[list[Edit]]:
    if isinstance(statement, ast.Assert):
        yield from _condition(source, statement.test, rng)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await):
        called = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if isinstance(called, ast.Call):
            yield from _call(source, called, rng)
    elif isinstance(statement, ast.With | ast.AsyncWith):
        for item in statement.items:
            if isinstance(item.context_expr, ast.Call) and _RAISES.fullmatch(_name(item.context_expr)):
                yield from _call(source, item.context_expr, rng)


def _condition(source: Source, test: ast.expr, rng: random.Random) -> Iterator[list[Edit]]:
    """Ways to make a true condition false."""
    text = source.text
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _condition(source, value, rng)
        return
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        yield [source.replace(test, b"bool(" + text(test.operand) + b")")]
        return
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right = test.left, test.comparators[0]
        match test.ops[0]:
            case ast.Eq():
                yield from _unequal(source, left, right, rng)
                return
            case ast.Is():
                other = differing(right, rng) if isinstance(getattr(right, "value", None), bool) else None
                yield [source.replace(right, other or b"object()")]
                return
            case ast.NotEq() | ast.Lt() | ast.Gt() if _plain(left):
                sign = {ast.NotEq: b"!=", ast.Lt: b"<", ast.Gt: b">"}[type(test.ops[0])]
                yield [source.replace(test, b"(lambda it: it " + sign + b" it)(" + text(left) + b")")]
                return
            case ast.In():
                yield [source.replace(left, differing(left, rng) or b"object()")]
                return
            case ast.NotIn():
                yield [source.replace(test, b"None not in [None, " + text(left) + b", " + text(right) + b"]")]
                return
            case _:
                pass
    yield [source.replace(test, b"not (" + text(test) + b")")]


def _plain(node: ast.expr) -> bool:
    """Whether an expression keeps its meaning as an argument of a lambda call."""
    return not any(isinstance(one, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr) for one in ast.walk(node))


def _unequal(
    source: Source, left: ast.expr, right: ast.expr, rng: random.Random, *, exact: bool = True
) -> Iterator[list[Edit]]:
    """Ways to make two equal values differ: change the literal one, else the right one, where tests usually put it.

    Args:
        source: the file.
        left: left side of the comparison.
        right: right side of the comparison.
        rng: source of randomness for the changed values.
        exact: the comparison tolerates no deviation, so a nearby value is enough.
    """
    for side in (right, left):
        other = differing(side, rng)
        if other is not None:
            yield [source.replace(side, other)]
            if exact and not _lenient(left) and not _lenient(right):
                yield from ([source.replace(side, near)] for near in nearby(side, rng))
            return
    calls = [any(isinstance(one, ast.Call) for one in ast.walk(side)) for side in (left, right)]
    yield [source.replace(left if calls == [False, True] else right, b"object()")]


def _lenient(node: ast.expr) -> bool:
    """Whether one side of a comparison is meant to equal nearby values."""
    return any(re.search(r"(?i)approx|close|any", _name(one)) for one in ast.walk(node) if isinstance(one, ast.expr))


_RAISES = re.compile(r"raises|warns|assertRaises(Regexp?)?|assertWarns(Regex)?|assertRaisesMessage")
_NO_OTHER = re.compile(r"(?i)skip|exit|interrupt|xfail|outcomes")
"""Exceptions that do not fail a test when uncaught."""

_Way = Callable[[Source, ast.Call, random.Random], Iterable[list[Edit]]]


def _call(source: Source, call: ast.Call, rng: random.Random) -> Iterator[list[Edit]]:
    """Ways to make an asserting call fail."""
    if any(isinstance(one, ast.Starred) for one in call.args):
        return
    name, given = _name(call), len(call.args)
    for pattern, least, way in _CALLS:
        if pattern.fullmatch(name) and given >= least:
            yield from way(source, call, rng)
            return


def _other_exception(source: Source, call: ast.Call, rng: random.Random) -> Iterable[list[Edit]]:
    expected = call.args[0]
    if _NO_OTHER.search(source.text(expected).decode("utf-8", "replace")):
        return []
    kind = b"UserWarning" if "arns" in _name(call) else b"Exception"
    return [[source.replace(expected, b'type("Other", (' + kind + b",), {})")]]


def _argument(number: int, text: str) -> _Way:
    """Replace an argument; `{}` stands for the original."""

    def way(source: Source, call: ast.Call, rng: random.Random) -> Iterable[list[Edit]]:
        was = source.text(call.args[number])
        return [[source.replace(call.args[number], text.encode().replace(b"{}", was))]]

    return way


def _both(text: str) -> _Way:
    """Replace the first two arguments; `{0}` and `{1}` stand for the originals."""

    def way(source: Source, call: ast.Call, rng: random.Random) -> Iterable[list[Edit]]:
        left, right = call.args[:2]
        new = text.encode().replace(b"{1}", source.text(right)).replace(b"{0}", source.text(left))
        return [[Edit(source.start(left), source.end(right), new)]]

    return way


def _sides(source: Source, call: ast.Call, rng: random.Random) -> Iterable[list[Edit]]:
    exact = re.search(r"(?i)almost|close|HTML|XML|JSON|Contains", _name(call)) is None
    return _unequal(source, call.args[0], call.args[1], rng, exact=exact)


def _member(source: Source, call: ast.Call, rng: random.Random) -> Iterable[list[Edit]]:
    return [[source.replace(call.args[0], differing(call.args[0], rng) or b"object()")]]


def _one_more(source: Source, call: ast.Call, rng: random.Random) -> Iterable[list[Edit]]:
    at = source.start(call.args[0])
    return [[Edit(at, at, b"object(), ")]]


_CALLS: tuple[tuple[re.Pattern[str], int, _Way], ...] = (
    (_RAISES, 1, _other_exception),
    (re.compile(r"assertNot(Almost)?Equals?|assertIsNot"), 2, _both("*(2 * [{0}])")),
    (re.compile(r"assert(Greater|Less)"), 2, _both("*(2 * [{0}])")),
    (re.compile(r"assertGreaterEqual"), 2, _argument(1, 'float("inf")')),
    (re.compile(r"assertLessEqual"), 2, _argument(1, 'float("-inf")')),
    (re.compile(r"assert(True|False|_)|fail(Unless|If)"), 1, _argument(0, "not ({})")),
    (re.compile(r"assertIsNone"), 1, _argument(0, "({}, 0)")),
    (re.compile(r"assertIsNotNone"), 1, _argument(0, "({}, None)[1]")),
    (re.compile(r"assertIn"), 2, _member),
    (re.compile(r"assertNotIn"), 2, _both("None, [None, {0}, {1}]")),
    (re.compile(r"assertIsInstance"), 2, _argument(1, "({},)[1:]")),
    (re.compile(r"assertNotIsInstance"), 2, _argument(1, "object")),
    (re.compile(r"assertRegex(pMatches)?"), 2, _argument(1, '"(?!)"')),
    (re.compile(r"assertNotRegex(pMatches)?"), 2, _argument(1, '""')),
    (re.compile(r"assert_(called(_once)?|any|has_call|awaited(_once)?)_?(with|call)?"), 1, _one_more),
    (re.compile(r"assertIs"), 2, _argument(1, "object()")),
    (re.compile(r"assert(?!\w*Not)\w*Equals?"), 2, _sides),
    (re.compile(r"assert_(?!\w*not)\w*(equal|close|same|eq)\w*"), 2, _sides),
)
