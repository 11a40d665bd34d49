"""Operators: text in, text out, everything else kept."""

import ast

import pytest

from heats.demo.edits import Edit
from heats.demo.operators import Code, Hints, changes


def mutants(source: str, hints: Hints | None = None, first: int = 1) -> set[str]:
    """Every text that the operators produce from `source`."""
    return {applied(source, change.edits, first) for change in changes(Code("m.py", first, source, hints or Hints()))}


def applied(source: str, edits: tuple[Edit, ...], first: int) -> str:
    lines = source.split("\n")
    for edit in sorted(edits, reverse=True):
        at = sum(len(line) + 1 for line in lines[: edit.line - first]) + edit.col - 1
        text = "\n".join(lines)
        assert text[at : at + len(edit.old)] == edit.old
        lines = (text[:at] + edit.new + text[at + len(edit.old) :]).split("\n")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("x = a  <  b  # why", "x = a  <=  b  # why"),
        ("if a and b:\n    c()", "if a or b:\n    c()"),
        ("if not a:\n    c()", "if a:\n    c()"),
        ("if a:\n    c()", "if a is not None:\n    c()"),
        ("x = (a +  b) / 2", "x = (a -  b) / 2"),
        ("x = a / b", "x = a // b"),
        ("x = n or 5", "x = n if n is not None else 5"),
        ("for i in range(n):\n    f(i)", "for i in range(n + 1):\n    f(i)"),
        ("for i in range(1, n - 1):\n    f(i)", "for i in range(1, n):\n    f(i)"),
        ("x = s[1:]", "x = s[:-1]".replace("[:-1]", "[:1]")),
        ("x = s[0]", "x = s[-1]"),
        ("x = d[k]", "x = d.get(k)"),
        ("s.append(x)", "s.extend(x)"),
        ("x = s.lstrip()", "x = s.strip()"),
        ("x = min(a, b)", "x = max(a, b)"),
        ("x = f(a, b)", "x = f(b, a)"),
        ("x = sorted(a)", "x = sorted(a, reverse=True)"),
        ("x = x.sort()", "x.sort()"),
        ("total = 0", "total = 1"),
        ("ok = True", "ok = False"),
        ("x = '{a}'\na = 1", "x = f'{a}'\na = 1"),
        ("x = f'{a:.1f}'", "x = f'{a:.2f}'"),
        ("x = re.sub('a+', '', s)", "x = re.sub('a*', '', s)"),
        ("def f(a):\n    g(a)", "def f(a):\n    return g(a)"),
        ("def f(a):\n    a.strip()\n    return a", "def f(a):\n    a = a.strip()\n    return a"),
        ("def f(a):\n    return a[0]", "def f(a):\n    if not a:\n        return None\n    return a[0]"),
        ("def f(a=[]):\n    g(a)", "def f(a=None):\n    if a is None:\n        a = []\n    g(a)"),
        ("for a in b:\n    c(a)\n    d()", "for a in b:\n    c(a)\nd()"),
        ("for a in b:\n    c(a)\nd()", "for a in b:\n    c(a)\n    d()"),
        ("a()\nb()", "b()\na()"),
        ("n += 1", "n -= 1"),
        ("try:\n    a()\nexcept KeyError:\n    b()", "try:\n    a()\nexcept (KeyError, TypeError):\n    b()"),
        ("def f(a):\n    yield a", "def f(a):\n    if a:\n        yield a"),
        ("def f(x):\n    return tuple(x * 2)", "def f(x):\n    return tuple(x) * 2"),
    ],
)
def test_a_known_kind_of_slip_can_be_undone(source: str, wanted: str) -> None:
    assert wanted in mutants(source)


def test_words_of_the_failure_join_a_list_of_texts() -> None:
    hints = Hints(words=frozenset({"case"}))
    assert 'if word in ("IF", "FOR", "CASE"):\n    f()' in mutants('if word in ("IF", "FOR"):\n    f()', hints)


def test_a_parameter_that_is_not_passed_on_is_passed_on() -> None:
    hints = Hints(params={"g": ["a", "depth"]})
    assert "def f(a, depth):\n    return g(a, depth=depth)" in mutants("def f(a, depth):\n    return g(a)", hints)


def test_places_are_in_characters_and_in_lines_of_the_file() -> None:
    code = Code("m.py", 40, '    naïve = "ü" if a < b else c', Hints())
    edits = {change.edits[0] for change in changes(code)}
    assert Edit("m.py", 40, 20, "a < b", "a <= b") in edits


def test_the_head_of_a_long_block_can_be_changed_alone() -> None:
    code = Code("m.py", 1, "if a < b:", Hints(), head=True)
    assert any(change.edits[0].new == "a <= b" for change in changes(code))


def test_every_change_of_a_larger_piece_still_parses() -> None:
    source = (
        "def f(items, *, key=None, limit=10):\n"
        '    """Doc."""\n'
        "    best, seen = None, {}\n"
        "    for n, item in enumerate(items):\n"
        "        if key is not None and key(item) in seen:\n"
        "            continue\n"
        "        seen[item.name] = f'{item.name!r:>10}'\n"
        "        while n < limit and not best:\n"
        "            best = item.value[1:n + 1] or -n\n"
        "    return [x for x in seen if x] if best else {**seen, 'k': lambda a: a % 2}\n"
    )
    for mutant in mutants(source):
        ast.parse(mutant)
