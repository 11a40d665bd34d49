"""Patches with the same change to source code are recognised, and different ones are not confused."""

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.base import Patch
from envs.same_change import brings_tests, change_key

BASE = """import os


class Cart:
    \"\"\"What somebody buys.\"\"\"

    def total(self, prices, discount=0):
        \"\"\"Sum, less a discount in per cent.\"\"\"
        # prices are in cents
        whole = sum(prices)
        return whole * (100 + discount) / 100

    def count(self, prices):
        return len(prices)
"""
OLD = "        return whole * (100 + discount) / 100\n"
FIX = "        return whole * (100 - discount) / 100\n"


def diff(new: str, old: str = BASE, path: str = "shop/cart.py", context: int = 3) -> bytes:
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}", n=context
    )
    body = "".join(lines)
    if not old or not new:
        gone = "deleted" if old else "new"
        body = body.replace(f"--- a/{path}", "--- /dev/null") if not old else body
        body = body.replace(f"+++ b/{path}", "+++ /dev/null") if not new else body
        return f"diff --git a/{path} b/{path}\n{gone} file mode 100644\n{body}".encode()
    return f"diff --git a/{path} b/{path}\n{body}".encode()


def key(*parts: bytes) -> str:
    return change_key(Patch(b"".join(parts)))


FIXED = key(diff(BASE.replace(OLD, FIX)))
TEST = diff("def test_half():\n    assert True\n", "", "tests/test_cart.py")
NEWS = diff("- a discount makes things cheaper\n", "", "CHANGES.md")


@pytest.mark.parametrize(
    "new",
    [
        FIX + "\n",
        FIX.replace("/ 100", "/ 100  # less, not more"),
        "        # a discount makes things cheaper\n" + FIX,
        FIX.replace("whole * (100 - discount)", "whole*( 100-discount )"),
        "        return whole * (\n            100 - discount\n        ) / 100\n",
        "        return whole * (100 \\\n            - discount) / 100\n",
    ],
)
def test_comments_blank_lines_and_layout_make_no_difference(new) -> None:
    assert key(diff(BASE.replace(OLD, new))) == FIXED


def test_tests_documents_and_change_logs_make_no_difference() -> None:
    fix = diff(BASE.replace(OLD, FIX))
    assert key(fix, TEST) == key(NEWS, fix) == key(TEST, fix, NEWS) == FIXED


def test_a_changed_docstring_and_more_context_make_no_difference() -> None:
    new = BASE.replace(OLD, FIX).replace("less a discount in per cent", "less `discount` per cent")
    assert key(diff(new)) == key(diff(new, context=9)) == FIXED


def test_layout_elsewhere_makes_no_difference() -> None:
    new = BASE.replace(OLD, FIX).replace("len(prices)", "len( prices )").replace("discount=0", "discount = 0")
    assert key(diff(new)) == FIXED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f('a', b,)", 'f("a", b)'),
        ("x = [\n    1,\n    2,\n]", "x = [1, 2]"),
        ("if a:\n    pass  # nothing", "if a:\n    pass"),
    ],
)
def test_ways_to_write_the_same_are_the_same(one, other) -> None:
    assert key(diff(BASE + one + "\n")) == key(diff(BASE + other + "\n"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = (1,)", "x = (1)"),
        ("x = 'a b'", "x = 'a  b'"),
        ("x = '# a'", "x = '# b'"),
        ("x = r'\\d'", "x = '\\d'"),
        ("x = f'{a}'", "x = '{a}'"),
        ("x = 1 ; y = 2", "x = 1 ; y = 3"),
        ("not_a", "not a"),
        ("x = 1.5", "x = 1 .5"),
        ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
        ("x = '''a\nb'''", "x = '''a\n  b'''"),
        ("x = '''one'''\ny = 1\nz = '''two'''", "x = '''one'''\ny = 2\nz = '''two'''"),
        ("a\n'text'", "a\n'other'"),
    ],
)
def test_what_means_something_else_is_not_the_same(one, other) -> None:
    assert key(diff(BASE + one + "\n")) != key(diff(BASE + other + "\n"))


def test_the_same_lines_in_another_place_are_another_change() -> None:
    first = BASE.replace(
        "        whole = sum(prices)\n", "        prices = list(prices)\n        whole = sum(prices)\n"
    )
    second = BASE.replace("        return len(prices)\n", "        prices = list(prices)\n        return len(prices)\n")
    assert key(diff(first)) != key(diff(second))


def test_code_between_two_strings_that_a_hunk_cuts_is_not_taken_for_text() -> None:
    """The hunk begins inside one docstring and ends inside the next; what lies between is code."""
    old = '"""\nNotes:\n"""\nlimit = 1\nsize = 2\n"""\nmore\n'
    low, high = (diff(old.replace("limit = 1", f"limit = {value}"), old) for value in (2, 3))
    assert key(low) != key(high)


def test_patches_without_any_source_are_the_same_only_when_they_are_equal() -> None:
    other = diff("def test_other():\n    assert True\n", "", "tests/test_cart.py")
    assert key(TEST) != key(other) and key(TEST) != key(TEST, NEWS) and key(TEST) == key(TEST)
    assert key(b"") == "" and key(b"no diff at all\n").startswith("raw-")


def test_requirements_build_files_and_data_are_source() -> None:
    for path in ("requirements.txt", "CMakeLists.txt", "data/history.json", "lib/changes.py"):
        assert key(diff("a\n", "b\n", path)) != key(diff("c\n", "b\n", path))


def test_line_breaks_mean_nothing_where_braces_do() -> None:
    old = "int f(int a) {\n  return a;\n}\n"
    one = old.replace("return a;", "return a + 1; // one more")
    other = old.replace("return a;", "return a\n    /* one more */ + 1;")
    third = old.replace("return a;", "return a + 2;")
    keys = [key(diff(new, old, "src/f.c")) for new in (one, other, third)]
    assert keys[0] == keys[1] != keys[2]


def test_indentation_counts_in_languages_that_are_not_known() -> None:
    old = "a:\n  b: 1\n"
    assert key(diff("a:\n  b: 1\n  c: 2\n", old, "x.yml")) != key(diff("a:\n  b: 1\nc: 2\n", old, "x.yml"))
    assert key(diff("a:\n  # why\n  b: 2\n", old, "x.yml")) == key(diff("a:\n  b: 2\n", old, "x.yml"))


def test_new_renamed_and_removed_files_are_changes() -> None:
    new, gone = diff("x = 1\n", "", "a.py"), diff("", "x = 1\n", "a.py")
    moved = b"diff --git a/a.py b/b.py\nsimilarity index 100%\nrename from a.py\nrename to b.py\n"
    assert len({key(new), key(gone), key(moved), key(new, moved)}) == 4


def test_a_patch_brings_tests_when_it_adds_to_them() -> None:
    fix = diff(BASE.replace(OLD, FIX))
    taken_away = diff("", "def test_half():\n    assert True\n", "tests/test_cart.py")
    assert [brings_tests(Patch(data)) for data in (fix, fix + TEST, fix + taken_away, b"?")] == [
        False,
        True,
        False,
        False,
    ]


@given(data=st.binary(max_size=200), text=st.text(max_size=200))
def test_no_bytes_break_it(data, text) -> None:
    whole = text.replace("\r", "").replace("\x0c", "") + "\n"
    for new in (data, diff(BASE + whole), diff(BASE + whole, path="a.js"), diff(BASE + whole, path="a.txt")):
        assert isinstance(change_key(Patch(new)), str)


def test_a_very_large_change_takes_no_time() -> None:
    rows = "".join(f"int a{row} = f({row});\n" for row in range(4000))
    assert key(diff(rows.replace("f(", "g("), rows, "x.c")) != key(diff(rows.replace("f(", "h("), rows, "x.c"))
