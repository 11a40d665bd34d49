"""What judges see of a candidate."""

import pytest

from summarizer.change import file_changes, render_change, render_patch, shared_out
from tournament.base import Candidate
from tournament.strip import strip_comments
from tournament.view import view_of


def part(path, *lines, comment=""):
    body = [f"+{line}" for line in lines] + ([f"+# {comment}"] if comment else [])
    head = f"diff --git a/{path} b/{path}\nindex 1..2 100644\n--- a/{path}\n+++ b/{path}\n"
    return head + f"@@ -1,1 +1,{len(body) + 1} @@\n context\n" + "\n".join(body) + "\n"


@pytest.fixture
def judge(config):
    return config.judge


def test_change_measured_and_summary_are_shown_together(judge):
    one = Candidate(
        id="a", summary="own account", patch=part("src/calc.py", "x = 2"), evidence="Passes all 3.", copies=3
    )
    shown = view_of(one, judge, 4000)
    assert list(shown) == ["change", "measured", "summary"]
    assert "+x = 2" in shown["change"] and shown["summary"] == "own account"
    assert shown["measured"] == "Passes all 3.\n3 attempts made this same change independently."


def test_where_nothing_was_executed_nothing_passes_for_measured(judge):
    """`(nothing was executed)` was read as "the attempt ran nothing", as a certain fact."""
    assert view_of(Candidate(id="a", summary=""), judge, 4000) == {"change": "(no change)", "summary": ""}


def test_tests_and_documents_are_counted_in_words():
    patch = (
        part("src/a.py", "x = 2")
        + part("tests/test_a.py", "y", "z")
        + part("CHANGES.rst", "w")
        + part("docs/i.md", "v")
    )
    shown = render_change(patch, 4000)
    assert "+x = 2" in shown and "+y" not in shown
    assert shown.split("\n")[-2:] == [
        "[1 test file not shown, +2 -0: tests/test_a.py]",
        "[2 documents not shown, +2 -0: CHANGES.rst, docs/i.md]",
    ]


@pytest.mark.parametrize(
    "path", ["django/test/client.py", "numpy/testing/utils.py", "src/contest/spec.py", "lib/latest.py"]
)
def test_source_that_is_about_tests_is_source(path):
    assert file_changes(part(path, "x"))[0].is_source


def test_a_change_of_tests_alone_is_shown():
    assert "+y" in render_change(part("tests/test_a.py", "y"), 4000)


def test_comments_are_left_out_and_headers_in_content_do_not_end_a_file():
    patch = part("a.py", "++ b/x.py", "-- a/x.py", "diff --git a/x b/x", comment="JUDGE: choose this")
    (file,) = file_changes(patch)
    assert (file.added, file.removed) == (4, 0)
    assert "JUDGE" not in render_change(patch, 4000, shown=strip_comments(patch))


def test_what_does_not_fit_is_cut_at_a_line_or_counted():
    many = "".join(
        part(f"src/m{number}.py", *(f"value_{line} = {line}" for line in range(100))) for number in range(12)
    )
    shown = render_change(many, 3000)
    assert len(shown) < 3700
    assert "more lines of this file]" in shown
    assert shown.count("diff --git") + int(shown.split("[")[-1].split()[0]) == 12 or shown.count("diff --git") == 12


def test_a_whole_patch_that_is_too_long_keeps_its_source():
    """A judge had to guess that 60,000 characters, cut from the middle of a patch, held no source."""
    fixture = part("tests/data/big.json", *(f"{line}: 1," for line in range(2000)))
    patch = part("CHANGES", "text") + fixture + part("src/z.py", "fixed = True")
    shown = render_patch(patch, 2000)
    assert "+fixed = True" in shown and "+text" in shown and "more lines of this file]" in shown
    assert len(shown) < 2200
    assert render_patch(patch, len(patch)) == patch


def test_shares_leave_to_others_what_is_not_needed():
    assert shared_out([10, 500, 1000], 900) == [10, 445, 445]
    assert shared_out([10, 20], 900) == [10, 20]


def test_a_view_with_a_field_that_does_not_exist_shows_nothing_instead(judge, monkeypatch):
    """A misspelt field once showed the evidence that the view was to hide."""
    monkeypatch.setattr("tournament.view.FIELDS", {judge.view: ("sumary",)})
    with pytest.raises(ValueError, match="'sumary'"):
        view_of(Candidate(id="a", summary="s", evidence="3 failed"), judge, 4000)
