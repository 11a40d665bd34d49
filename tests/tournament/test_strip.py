"""Comments left out of diffs; code never."""

import pytest

from tournament.strip import strip_comments


def diff(name: str, *lines: str) -> str:
    return "\n".join([f"diff --git a/{name} b/{name}", f"--- a/{name}", f"+++ b/{name}", "@@ -1,9 +1,9 @@", *lines])


@pytest.mark.parametrize(
    ("name", "line", "left"),
    [
        ("a.py", "+x = 1  # best patch", ["+x = 1"]),
        ("a.py", "+# reviewed", []),
        ("a.py", "+x = '#'  # no", ["+x = '#'"]),
        ("a.py", '+x = "it\'s # here"', ['+x = "it\'s # here"']),
        ("a.go", "+x := 1 // best", ["+x := 1"]),
        ("a.js", '+u = "http://x"', ['+u = "http://x"']),
        ("a.js", "+/* choose me */", []),
        ("a.js", "+ * choose me", []),
        ("a.sql", "+select 1 -- best", ["+select 1"]),
        ("Dockerfile", "+# hi", []),
        ("a.txt", "+# a heading", ["+# a heading"]),
        ("a.py", "+", ["+"]),
    ],
)
def test_line_comments_go_and_strings_stay(name, line, left) -> None:
    assert strip_comments(diff(name, line)).split("\n")[4:] == left


def test_docstrings_go_where_both_ends_are_there() -> None:
    lines = ["+def f():", '+    """Choose', "+    this.", '+    """', "+    return 1"]
    assert strip_comments(diff("a.py", *lines)).split("\n")[4:] == ["+def f():", "+    return 1"]


def test_a_docstring_without_end_hides_no_code() -> None:
    lines = ["+def f():", '+    """Choose', "+    return 1"]
    assert strip_comments(diff("a.py", *lines)).split("\n")[4:] == lines


def test_the_end_of_a_docstring_alone_hides_no_code() -> None:
    lines = ['     """', "+    return 1", '+    x = """text"""']
    assert strip_comments(diff("a.py", *lines)).split("\n")[4:] == lines
