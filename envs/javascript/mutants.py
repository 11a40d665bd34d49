"""Changes one expectation of a test in JavaScript, so that it must fail; the equivalent of `envs/mutants.py`.

As there, a change is made only where a passing test is certain to reach it: in statements that run once and not in
functions that may not be called. The statements before the only call of `done` count as well, and those of an awaited
subtest. It replaces the expected value, or turns the expectation around. A test without such a place cannot be copied:
an error thrown at its end would fail it without showing whether its assertions work.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator

from tree_sitter import Node

from envs.copying import Edit
from envs.javascript.literals import differing, nearby
from envs.javascript.syntax import FUNCTIONS, arguments, called, inside, string_of, text_of, unwrapped, within

Ways = Iterator[list[Edit]]

_ASSERTS = re.compile(r"(?:\w+\.)?(?:assert|chai|should|expect|strict|t|node_?[aA]ssert)")
"""What the methods of assertion modules are called on."""
_BARE = re.compile(r"assert|ok|equal|notEqual|\w+(?:Equal|Equals)|throws|rejects|doesNotThrow")
"""Functions of such modules that are called by their names alone."""


def changes(function: Node, rng: random.Random) -> list[list[Edit]]:
    """Ways to make a test's function fail, each a list of edits; empty if no expectation is certain to be checked.

    Ways that follow one another change different expectations, and in different manners, so that a few of them in a row
    try much of a long test.
    """
    groups = [ways for expression in _sure(function) if (ways := list(_expectation(expression, rng)))]
    longest = max(map(len, groups), default=0)
    return [ways[(turn + place) % len(ways)] for turn in range(longest) for place, ways in enumerate(groups)]


def _sure(function: Node) -> Iterator[Node]:
    """Expressions that a passing run of a function has certainly evaluated."""
    body = function.child_by_field_name("body")
    if body is None:
        return
    if body.type != "statement_block":
        yield body
        return
    yield from _sure_in(inside(body), _parameter(function))
    last = _success(body, _parameter(function))
    if last is not None and last.parent is not None and last.parent != body:
        before = [one for one in inside(last.parent) if one.start_byte < last.start_byte]
        yield from _sure_in(before, None, reached=True)


def _sure_in(statements: Iterable[Node], context: str | None, *, reached: bool = False) -> Iterator[Node]:
    """Expressions that certainly run if a list of statements does.

    Args:
        statements: the statements.
        context: name of a node:test context, whose awaited subtests count.
        reached: it is known that what follows the statements runs, too.
    """
    for statement in statements:
        expressions = inside(statement) if statement.type in _STATEMENTS else []
        if (looped := _looped(statement)) is not None:
            yield from _sure(looped)
        if len(expressions) == 1:
            yield expressions[0]
            if context is not None and (subtest := _subtest(expressions[0], context)) is not None:
                yield from _sure(subtest)
        elif statement.type == "statement_block":
            yield from _sure_in(inside(statement), context)
        if not reached and statement.type not in FUNCTIONS and any(map(_leaves, within(statement, scopes=False))):
            return


def _looped(statement: Node) -> Node | None:
    """What certainly runs for each element: the statement `for (const x of list)`, the function in `list.forEach`."""
    if statement.type == "for_in_statement":
        sign, items = statement.child_by_field_name("operator"), statement.child_by_field_name("right")
        return statement if sign is not None and text_of(sign) == "of" and _has_elements(items) else None
    call = inside(statement)[0] if statement.type == "expression_statement" and len(inside(statement)) == 1 else None
    function = called(call) if call is not None else None
    if call is None or function is None or function.type != "member_expression":
        return None
    given, prop = arguments(call), function.child_by_field_name("property")
    if prop is None or text_of(prop) != "forEach" or not _has_elements(function.child_by_field_name("object")):
        return None
    return given[0] if len(given) == 1 and given[0].type in FUNCTIONS else None


def _has_elements(items: Node | None) -> bool:
    """Whether an expression is a list that is not empty: a literal, or a constant of the file that holds one."""
    if items is not None and items.type == "identifier":
        items = _constant(items)
    return items is not None and items.type == "array" and any(one.type != "spread_element" for one in inside(items))


def _constant(name: Node) -> Node | None:
    """The value of a constant that a file defines at its top."""
    root = name
    while root.parent is not None:
        root = root.parent
    for statement in inside(root):
        if statement.type == "lexical_declaration" and text_of(statement).startswith("const"):
            for one in inside(statement):
                known = one.child_by_field_name("name")
                if known is not None and text_of(known) == text_of(name):
                    return one.child_by_field_name("value")
    return None


def _leaves(node: Node) -> bool:
    return node.type in _LEAVING


_STATEMENTS = ("expression_statement", "return_statement")
_LEAVING = frozenset(
    ("return_statement", "throw_statement", "break_statement", "continue_statement", "yield_expression")
)


def _parameter(function: Node) -> str | None:
    """The name of a function's only parameter."""
    single = function.child_by_field_name("parameter")
    listed = function.child_by_field_name("parameters")
    names = [single] if single is not None else inside(listed) if listed is not None else []
    return re.sub(r":.*", "", text_of(names[0]), flags=re.DOTALL).strip() if len(names) == 1 else None


def _success(body: Node, done: str | None) -> Node | None:
    """The statement `done()` that every passing run of a test reaches.

    Only if the body uses that name for nothing else but to report errors: `done(err)`, `.catch(done)`.
    """
    found: list[Node] = []
    for one in within(body):
        if done is None or "identifier" not in one.type or text_of(one) != done:
            continue
        call = one.parent
        if call is None or call.type != "call_expression":
            if not _is_catch(call):
                return None
        elif not (given := arguments(call)):
            found.append(call)
        elif not re.fullmatch(r"_?e(rr(or)?)?", text_of(given[0])):
            return None
    statement = found[0].parent if len(found) == 1 else None
    return statement if statement is not None and statement.type in _STATEMENTS else None


def _is_catch(given: Node | None) -> bool:
    """Whether arguments are those of `.catch(...)`."""
    function = called(given.parent) if given is not None and given.parent is not None else None
    return function is not None and text_of(function).endswith(".catch")


def _subtest(expression: Node, context: str) -> Node | None:
    """The function of `await t.test("title", function)`."""
    call = unwrapped(expression)
    given = arguments(call) if call.type == "call_expression" and expression.type == "await_expression" else []
    function = called(call)
    if len(given) != 2 or function is None or text_of(function) != f"{context}.test":
        return None
    return given[1] if given[1].type in FUNCTIONS else None


def _expectation(expression: Node, rng: random.Random) -> Ways:
    """Ways to turn an expectation that holds into one that does not."""
    settled = expression.type == "await_expression" or (
        expression.parent is not None and expression.parent.type in ("return_statement", "arrow_function")
    )
    found = unwrapped(expression)
    if (start := _chain_start(found)) is not None:
        yield from _chain(found, start, rng)
        return
    function = called(found)
    if function is None or not (given := arguments(found)):
        return
    if function.type == "member_expression":
        owner, prop = function.child_by_field_name("object"), function.child_by_field_name("property")
        if owner is None or prop is None or not _ASSERTS.fullmatch(text_of(owner)):
            return
        name = text_of(prop)
    else:
        name = text_of(function)
        if not _BARE.fullmatch(name):
            return
    for pattern, least, way in _CALLS:
        if pattern.fullmatch(name) and len(given) >= least:
            if settled or name != "rejects":
                yield from way(name, given, rng)
            return


_Way = Callable[[str, list[Node], random.Random], Ways]


def _replace(node: Node, text: bytes) -> Edit:
    return Edit(node.start_byte, node.end_byte, text)


def _bytes(node: Node) -> bytes:
    return node.text or b""


def _unequal(left: Node, right: Node, rng: random.Random, *, exact: bool, loose: bool) -> Ways:
    """Ways to make two equal values differ: change the literal one, else the one that calls less.

    Args:
        left: left side of the comparison.
        right: right side, where tests usually put the expected value.
        rng: source of randomness for the changed values.
        exact: the comparison tolerates no deviation, so a nearby value is enough.
        loose: the comparison is `==`.
    """
    for side in (right, left):
        other = differing(side, rng)
        if other is not None:
            yield [_replace(side, other)]
            if exact:
                yield from ([_replace(side, near)] for near in nearby(side, rng, loose=loose))
            return
    calls = [any(one.type == "call_expression" for one in within(side)) for side in (left, right)]
    yield [_replace(left if calls == [False, True] else right, b"Symbol()")]


def _sides(name: str, given: list[Node], rng: random.Random) -> Ways:
    loose = re.search(r"(?i)strict|^is$|^same$|eql", name) is None
    return _unequal(given[0], given[1], rng, exact=True, loose=loose)


def _same_twice(name: str, given: list[Node], rng: random.Random) -> Ways:
    yield [Edit(given[0].start_byte, given[1].end_byte, b"...((it) => [it, it])(" + _bytes(given[0]) + b")")]


def _not(name: str, given: list[Node], rng: random.Random) -> Ways:
    condition = given[0]
    sign = condition.child_by_field_name("operator") if condition.type == "binary_expression" else None
    left, right = condition.child_by_field_name("left"), condition.child_by_field_name("right")
    held = sign is not None and text_of(sign) in ("==", "===") and name not in ("isFalse", "isNotOk", "notOk")
    if sign is not None and held and left is not None and right is not None:
        yield from _unequal(left, right, rng, exact=True, loose=text_of(sign) == "==")
    else:
        yield [_replace(condition, b"!(" + _bytes(condition) + b")")]


def _throws(name: str, given: list[Node], rng: random.Random) -> Ways:
    yield [_replace(given[0], b"async () => {}" if name == "rejects" else b"() => {}")]
    # A text is the message of node's assertion, and what chai looks for.
    if len(given) > 1 and string_of(given[1]) is None and given[1].type in ("regex", "object", "identifier"):
        yield [_replace(given[1], b"/(?!)/")]


def _argument(number: int, text: str) -> _Way:
    """Replace an argument; `{}` stands for the original."""

    def way(name: str, given: list[Node], rng: random.Random) -> Ways:
        yield [_replace(given[number], text.encode().replace(b"{}", _bytes(given[number])))]

    return way


def _literal(number: int) -> _Way:
    """Change an argument if it is a literal."""

    def way(name: str, given: list[Node], rng: random.Random) -> Ways:
        if (other := differing(given[number], rng)) is not None:
            yield [_replace(given[number], other)]

    return way


_CALLS: tuple[tuple[re.Pattern[str], int, _Way], ...] = (
    (re.compile(r"(strict|deep(Strict)?|deepLoose|strictDeep)?Equals?|equals?|eql|same|strictSame|is"), 2, _sides),
    (re.compile(r"not(Strict|Deep(Strict)?|StrictDeep)?Equal"), 2, _same_twice),
    (re.compile(r"assert|ok|isTrue|isFalse|isOk|isNotOk|notOk"), 1, _not),
    (re.compile(r"throws|rejects"), 1, _throws),
    (re.compile(r"doesNotThrow"), 1, _argument(0, '() => { throw new Error("other") }')),
    (re.compile(r"match"), 2, _argument(1, "/(?!)/")),
    (re.compile(r"doesNotMatch"), 2, _argument(1, "/(?:)/")),
    (re.compile(r"isNull|isUndefined"), 1, _argument(0, "[{}]")),
    (re.compile(r"isDefined|exists"), 1, _argument(0, "void ({})")),
    (re.compile(r"isArray|isObject|isFunction|isString|isNumber|isBoolean"), 1, _argument(0, "Symbol()")),
    (re.compile(r"lengthOf|typeOf"), 2, _literal(1)),
)

_EXACT = frozenset(("equal", "equals", "eql", "eq", "eqls", "be", "exactly", "toBe", "toEqual", "toStrictEqual"))
_GIVEN = _EXACT | {"length", "lengthOf", "toHaveLength", "toHaveProperty", "property"}
"""Methods whose first argument, if it is a literal, may be replaced by any other value of its kind."""
_LOOSE = frozenset(("include", "includes", "contain", "contains", "toContain", "toContainEqual", "throw", "throws"))
_LARGER = _LOOSE | {"toThrow", "toThrowError", "string", "members"}
"""Methods whose argument is part of what is expected: a text that is longer is not."""
_NO_TURN = re.compile(
    r"\b(?:rejects|resolves|eventually|rejected\w*|fulfilled|become|notify|assertions|fail|soft|poll)\b"
)


def _chain_start(expression: Node) -> Node | None:
    """The beginning of `expect(x).to.equal(3)` or `x.should.equal(3)`, after which `.not` may stand."""
    node: Node | None = expression
    while node is not None and node.type in ("call_expression", "member_expression"):
        if node.type == "member_expression":
            prop = node.child_by_field_name("property")
            if prop is not None and text_of(prop) == "should" and node != expression:
                return node
            node = node.child_by_field_name("object")
        else:
            function = called(node)
            if function is not None and text_of(function) in ("expect", "should", "chai.expect") and node != expression:
                return node
            node = function
    return None


def _chain(expression: Node, start: Node, rng: random.Random) -> Ways:
    """Ways to turn an expectation in words around: another value, or `.not` put in or taken away."""
    words = _bytes(expression)[start.end_byte - expression.start_byte :]
    negated = list(re.finditer(rb"\.(?:not|never)\b", _outer(words)))
    function = called(expression)
    prop = function.child_by_field_name("property") if function is not None else None
    given = arguments(expression) if function is not None else []
    if not negated and prop is not None and given:
        name, other = text_of(prop), differing(given[0], rng)
        if other is not None and (name in _GIVEN or (name in _LARGER and string_of(given[0]) is not None)):
            yield [_replace(given[0], other)]
            if name in _EXACT:
                yield from ([_replace(given[0], near)] for near in nearby(given[0], rng, loose=name == "eql"))
            return
    if _NO_TURN.search(_outer(words).decode("utf-8", "replace")) or len(negated) > 1:
        return
    if negated:
        at = start.end_byte + negated[0].start()
        yield [Edit(at, at + len(negated[0][0]), b"")]
    elif expression != start:
        yield [Edit(start.end_byte, start.end_byte, b".not")]


def _outer(words: bytes) -> bytes:
    """A chain of the same length without what is in parentheses and in strings."""
    depth, kept = 0, bytearray()
    for sign in words:
        depth -= sign == ord(")")
        kept.append(sign if depth == 0 and sign not in b"()" else ord(" "))
        depth += sign == ord("(")
    return bytes(kept)
