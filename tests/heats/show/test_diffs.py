"""Diffs become rows to colour, whatever their bytes."""

from hypothesis import given
from hypothesis import strategies as st

from heats.report.diffs import diff_view

DIFF = b"""diff --git a/x.py b/x.py
index 1..2 100644
--- a/x.py
+++ b/x.py
@@ -1,4 +1,4 @@ def f():
 a
--- b
+++ c
 d
\\ No newline at end of file
diff --git a/new b/new
new file mode 100644
--- /dev/null
+++ b/new
@@ -0,0 +1 @@
+one
"""


def test_lines_are_numbered_and_told_apart() -> None:
    first, second = diff_view(DIFF).files
    assert [(row.kind, row.text, row.old, row.new) for row in first.rows] == [
        ("hunk", "@@ -1,4 +1,4 @@ def f():", None, None),
        ("same", "a", 1, 1),
        ("del", "-- b", 2, None),
        ("add", "++ c", None, 2),
        ("same", "d", 3, 3),
        ("note", "\\ No newline at end of file", None, None),
    ]
    assert (first.name, first.added, first.removed) == ("x.py", 1, 1)
    assert (second.name, second.added, second.removed, second.status) == ("new", 1, 0, "new")


def test_a_hunk_whose_header_lies_does_not_swallow_the_next_file() -> None:
    view = diff_view(DIFF.replace(b"-1,4 +1,4", b"-1,40 +1,40"))
    assert [file.name for file in view.files] == ["x.py", "new"]


def test_windows_line_ends_make_no_empty_rows() -> None:
    view = diff_view(DIFF.replace(b"\n", b"\r\n"))
    assert all("\n" not in row.text and "\r" not in row.text for file in view.files for row in file.rows)


def test_a_long_diff_is_cut_at_a_line_and_says_how_much_is_missing() -> None:
    view = diff_view(DIFF, limit=100)
    assert 0 < view.cut < len(DIFF)
    assert len(DIFF) - view.cut <= 100


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([*DIFF.splitlines(), b"\xff", b"@@ -1 +1 @@", b"+"])).map(b"\n".join)
)
def test_any_bytes_make_rows(data: bytes) -> None:
    view = diff_view(data)
    assert view.added == sum(row.kind == "add" for file in view.files for row in file.rows)
