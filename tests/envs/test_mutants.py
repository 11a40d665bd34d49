"""Copies of tests: a restated copy passes where the test passes, and a changed one fails, wherever the change is."""

import ast
import asyncio
import random
import unittest
from collections.abc import Callable
from typing import Any

import pytest

from envs.mutants import Source, changed, copy, restated, undescribed

GOOD = {
    "assert total([1, 2]) == 3": True,
    "assert 3 == total([1, 2])": True,
    "assert total([1, 2]) == expected": True,
    "assert (total([1]), total([2])) == (1, 2)": True,
    "assert [total([1]), 5] == [1, 5]": True,
    "assert {'a': total([1])} == {'a': 1}": True,
    "assert total([]) == 0 and total([1]) == 1": True,
    "assert total([1, 2]) != 4": False,
    "assert total([1]) > 0": False,
    "assert total([1]) >= 1": False,
    "assert 1 < total([2]) <= 2": False,
    "assert total([1]) is not None": False,
    "assert nothing() is None": False,
    "assert yes() is True": False,
    "assert 'ell' in word()": False,
    "assert 'x' not in word()": False,
    "assert yes()": False,
    "assert not nothing()": False,
    "assert isinstance(total([1]), int), 'a message'": False,
    "assert word() == 'hello', total([1])": False,
    "assert word().encode() == b'hello'": False,
    "assert total([0.1]) == pytest.approx(0.1)": True,
    "with pytest.raises(ValueError):\n        bad()": False,
    "with pytest.raises(ValueError, match='no'):\n        bad()\n    assert total([1]) == 1": False,
    "for a, b in [([1], 1), ([2, 3], 5)]:\n        assert total(a) == b": True,
    "for a in range(3):\n        assert total([a]) == a": False,
    "if yes():\n        assert total([1]) == 1": False,
    "try:\n        assert total([1]) == 1\n    finally:\n        pass": False,
    "total([1])": False,
    "if yes():\n        return": False,
    "if nothing(): return\n    assert total([1]) == 1": False,
    "assert_equal(total([1]), 1)": True,
    "check(total([1]), 1)": False,
}
"""Bodies of passing tests, and whether a value that equals everything is exposed by each of their changes."""

METHODS = {
    "self.assertEqual(total([1, 2]), 3)": True,
    "self.assertEqual(3, total([1, 2]), 'message')": True,
    "self.assertListEqual([total([1])], [1])": True,
    "self.assertNotEqual(total([1]), 2)": False,
    "self.assertTrue(yes())": False,
    "self.assertFalse(nothing())": False,
    "self.assertIs(yes(), True)": False,
    "self.assertIsNone(nothing())": False,
    "self.assertIsNotNone(total([1]))": False,
    "self.assertIn('ell', word())": False,
    "self.assertNotIn('x', word())": False,
    "self.assertIsInstance(total([1]), int)": False,
    "self.assertNotIsInstance(total([1]), str)": False,
    "self.assertGreater(total([2]), 1)": False,
    "self.assertLess(total([2]), 3)": False,
    "self.assertGreaterEqual(total([2]), 1)": False,
    "self.assertLessEqual(total([2]), 3)": False,
    "self.assertAlmostEqual(total([0.1, 0.2]), 0.3)": False,
    "self.assertRegex(word(), 'h.*o')": False,
    "self.assertNotRegex(word(), 'x')": False,
    "self.assertCountEqual([total([1])], [1])": False,
    "self.assertRaises(ValueError, bad)": False,
    "with self.assertRaisesRegex(ValueError, 'no') as it:\n        bad()\n    self.assertTrue(it.exception)": False,
    "with self.subTest(a=1):\n        self.assertEqual(total([1]), 1)": True,
    "mock.assert_called_once_with(1)": False,
}


class Equal:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def bad() -> None:
    raise ValueError("no")


def same(one: Any, other: Any) -> None:
    if not one == other:
        raise AssertionError(one, other)


def names(total: Callable[[Any], Any]) -> dict[str, Any]:
    """Names used in the bodies."""
    from unittest.mock import Mock

    mock = Mock()
    mock(1)
    given = {"total": total, "expected": 3, "yes": lambda: True, "nothing": lambda: None, "word": lambda: "hello"}
    return {**given, "bad": bad, "pytest": pytest, "assert_equal": same, "check": same, "mock": mock}


def fails(text: bytes, name: str, total: Callable[[Any], Any] = sum) -> bool:
    """Whether the function of that name fails; a method receives a test case."""
    space = names(total)
    exec(compile(text, "t.py", "exec"), space)
    try:
        found = space[name](*([unittest.TestCase()] if b"(self)" in text else []))
        if asyncio.iscoroutine(found):
            asyncio.run(found)
    except (AssertionError, ValueError, TypeError, pytest.fail.Exception, Exception):
        return True
    return False


def source(body: str, signature: str = "def test_it():") -> tuple[Source, Any]:
    parsed = Source(f'{signature}\n    """Says what."""\n    {body}\n'.encode())
    return parsed, next(parsed.functions())[1]


CASES = [(body, "def test_it():") for body in GOOD] + [(body, "def test_it(self):") for body in METHODS]
CASES += [(body, "async def test_it():") for body in list(GOOD)[:3]]


@pytest.mark.parametrize(("body", "signature"), CASES)
def test_what_passes_passes_in_other_words_and_fails_when_changed(body: str, signature: str) -> None:
    parsed, function = source(body, signature)
    assert not fails(parsed.data, "test_it")
    for seed in range(4):
        rng = random.Random(seed)
        edits = restated(parsed, function, rng) + undescribed(parsed, function)
        assert not fails(copy(parsed, function, "test_other", edits), "test_other")
        for way in changed(parsed, function, rng):
            assert fails(copy(parsed, function, "test_other", way), "test_other"), way


@pytest.mark.parametrize("body", [body for body, tells in {**GOOD, **METHODS}.items() if tells])
def test_a_value_that_equals_everything_passes_a_changed_copy(body: str) -> None:
    signature = "def test_it(self):" if "self." in body else "def test_it():"
    parsed, function = source(body, signature)
    ways = changed(parsed, function, random.Random(1))
    passed = [way for way in ways if not fails(copy(parsed, function, "test_it", way), "test_it", lambda _: Equal())]
    assert passed


def test_an_assertion_that_never_fails_passes_a_changed_copy() -> None:
    parsed, function = source("assert_equal(total([1]), 1)")
    for way in changed(parsed, function, random.Random(1)):
        space = {**names(sum), "assert_equal": lambda *_: None}
        exec(compile(copy(parsed, function, "test_it", way), "t.py", "exec"), space)
        space["test_it"]()


@pytest.mark.parametrize(
    ("body", "lenient"),
    [
        ("assert total([1, 2]) == 3", lambda one, other: abs(one - other) <= 1 or one == -other),
        ("assert [total([1, 2]), 0] == [3, 0]", lambda one, other: abs(one - other) <= 1 or one == -other),
    ],
)
def test_a_comparison_that_is_more_lenient_than_the_tests_passes_a_changed_copy(body: str, lenient: Any) -> None:
    class Lenient(int):
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            return bool(lenient(int(self), other))

    parsed, function = source(body)
    ways = changed(parsed, function, random.Random(1))
    ends = {fails(copy(parsed, function, "test_it", way), "test_it", lambda it: Lenient(sum(it))) for way in ways}
    assert ends == {True, False}


LAYOUTS = [
    b"def test_it(): assert total([1]) == 1",
    b"def test_it(): 'Says what.'; assert total([1]) == 1\n",
    b"\xef\xbb\xbfdef test_it():\r\n\tassert total([1]) == 1\r\n",
    b"def test_it():\n    # a comment\n    @staticmethod\n    def inner(): return 1\n\n    assert total([1]) == 1\n",
    b"def test_it(\n    a=1,\n):\n    t = '''\ndef test_it(): pass\n'''\n    assert (\n        total([a]) == 1\n    )",
    "def test_it():\n    assert '\u00fc' + word() == '\u00fchello'; assert total([1]) == 1\n".encode(),
]


@pytest.mark.parametrize("data", LAYOUTS)
def test_any_layout_can_be_copied(data: bytes) -> None:
    parsed = Source(data)
    function = next(one for name, one in parsed.functions() if name == "test_it")
    rng = random.Random(3)
    assert not fails(copy(parsed, function, "test_other", restated(parsed, function, rng)), "test_other")
    for way in changed(parsed, function, rng):
        assert fails(copy(parsed, function, "test_other", way), "test_other")


def test_decorators_and_indentation_are_copied_too() -> None:
    data = b"class A:\n    @mark('x')\n    def test_a(self):\n        assert 1 == 1\n\n    def test_b(self): pass\n"
    parsed = Source(data)
    function = dict(parsed.functions())["A.test_a"]
    text = copy(parsed, function, "test_c", [])
    assert text == b"    @mark('x')\n    def test_c(self):\n        assert 1 == 1\n"
    start, end = parsed.span(function)
    ast.parse(data[:end] + text + data[end:])
    assert data[:start] == b"class A:\n"


@pytest.mark.parametrize("data", [b"def a(:\n", b"\xff", b"a = 1\rb = 2\n", b"(" * 5000, b"x = 1\n\0"])
def test_what_cannot_be_parsed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"parsed|line ends|decode|null"):
        Source(data)
