"""Syntax highlighting keeps the text unchanged, whatever it is, and its time is limited."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.sanitize import for_screen
from heats.report.colour import LANGUAGES, colour
from heats.report.diffs import colour_diff, diff_view
from heats.report.report import code_html

ENDINGS = [ending for endings in LANGUAGES.values() for ending in endings.split()]
KNOTS = ["'", '"', "\\", "(", "{", "<!--", "/*", "${", "r'", 'f"{', "a.", "[[", "%{", "<<E ", "class a "]


def test_python_is_coloured() -> None:
    lines = colour("x.py", ["def f():  # why", '    return "one"'])
    assert lines is not None
    assert [kind for kind, _ in lines[0] if kind] == ["k", "f", "c"]
    assert ("s", '"one"') in lines[1]


def test_a_string_over_several_lines_is_one_string() -> None:
    lines = colour("x.py", ['"""one', 'two"""'])
    assert lines is not None
    assert [line[0][0] for line in lines] == ["s", "s"]


@settings(deadline=None)  # the first text of a language loads its lexer
@given(
    st.sampled_from(ENDINGS), st.lists(st.text(max_size=60).map(for_screen).map(lambda text: text.replace("\n", "")))
)
def test_colouring_changes_no_character(ending: str, lines: list[str]) -> None:
    found = colour(f"x.{ending}", lines)
    assert found is None or not lines or ["".join(text for _, text in line) for line in found] == lines


@pytest.mark.parametrize("knot", KNOTS)
def test_no_language_chokes_on_a_knot(knot: str) -> None:
    started = time.process_time()
    for ending in ("py", "js", "ts", "c", "java", "rb", "rs", "sh", "html", "yaml"):
        colour(f"x.{ending}", [(knot * 300)[:300]] * 10)
    assert time.process_time() - started < 5


def test_other_files_and_long_lines_stay_plain() -> None:
    assert colour("x.unknown", ["a"]) is None
    assert colour("x.py", ["a" * 1000]) is None


def test_what_is_coloured_in_a_diff_is_escaped() -> None:
    view = diff_view(b'diff --git a/x.py b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = "<script>alert(1)</script>"\n')
    colour_diff(view)
    shown = "".join(code_html(row) for file in view.files for row in file.rows)
    assert '<i class="s">&#34;&lt;script&gt;' in shown
    assert "<script" not in shown
