"""Diffs are read by a single scanner, so display and statistics see the same files and lines as applying does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.diff import DiffSyntaxError, diff_stats, parse_diff, scan_diff, touched

DIFF = b"""diff --git a/x.py b/x.py
index 1..2 100644
--- a/x.py
+++ b/x.py
@@ -1,3 +1,3 @@ def f():
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


def test_content_that_looks_like_a_header_is_content() -> None:
    """Judged by their signs alone, `--- old` and `+++ new` were taken for headers by two of five readers."""
    sql = b"diff --git a/x.sql b/x.sql\n--- a/x.sql\n+++ b/x.sql\n@@ -1,3 +1,2 @@\n--- old\n--- older\n+++ new\n y\n"
    assert (diff_stats(sql).added, diff_stats(sql).removed) == (1, 2)


def test_quoted_names_are_read() -> None:
    name = b"\\303\\244.py"
    quoted = b'diff --git "a/%s" "b/%s"\n--- "a/%s"\n+++ "b/%s"\n@@ -1 +1 @@\n-a\n+b\n' % (name, name, name, name)
    assert diff_stats(quoted).files == ("\u00e4.py",)


def test_a_traditional_diff_has_files_too() -> None:
    assert diff_stats(b"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n").files == ("x.py",)


def test_files_are_counted_under_their_new_names_and_touched_under_both() -> None:
    moved = b"diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n"
    gone = b"diff --git a/c b/c\ndeleted file mode 100644\n"
    assert diff_stats(moved + gone).files == ("b", "c")
    assert touched(scan_diff(moved + gone)) == {"a", "b", "c"}


def test_whatever_cannot_be_applied_can_be_shown() -> None:
    file = scan_diff(DIFF.replace(b"-1,3 +1,3", b"-1,40 +1,40"))[0]
    assert (file.name, file.hunks[0].count(b"+"), file.flaw and file.flaw.kind) == ("x.py", 1, "syntax")
    assert [one.name for one in scan_diff(DIFF.replace(b"-1,3 +1,3", b"-1,40 +1,40"))] == ["x.py", "new"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((b"-1,3 +1,3", b"-1,4 +1,3"), r"line 10: hunk 1 of x\.py is cut: 1 old and 0 new lines are missing"),
        ((b"-1,3 +1,3", b"-1,2 +1,3"), r"line 9: hunk 1 of x\.py: unexpected line"),
        ((b" a\n", b"a\n"), r"line 6: hunk 1 of x\.py: unexpected line"),
        ((b"@@ -1,3", b"@@ -x,3"), "line 5: unreadable hunk header"),
    ],
)
def test_a_broken_hunk_is_named(change, told) -> None:
    with pytest.raises(DiffSyntaxError, match=told):
        parse_diff(DIFF.replace(*change))


PIECES = [*DIFF.splitlines(), b"\xff", b"@@ -1 +1 @@", b"+", b"rename from a", b"GIT binary patch", b"literal 3", b""]


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES)).map(b"\n".join))
def test_any_bytes_can_be_scanned_and_no_line_is_lost(data: bytes) -> None:
    files = scan_diff(data)
    lines = data.split(b"\n")
    assert all(file.first <= file.after for file in files)
    for file in files:
        for hunk in file.hunks:
            assert all(line == b"\\" or line in lines or not line.strip() for line in hunk.lines)


@given(st.lists(st.sampled_from(PIECES)).map(lambda pieces: b"\n".join([*pieces, b""])))
def test_what_is_parsed_strictly_counts_the_same_when_scanned(data: bytes) -> None:
    try:
        files = parse_diff(data)
    except DiffSyntaxError:
        return
    assert diff_stats(files) == diff_stats(data)


@pytest.mark.parametrize(
    "line", [b"diff --git " + b" " * 8000, b"diff --git a/" + b"x " * 4000, b"@@ -1,9999 +1,9999 @@"]
)
def test_hostile_headers_take_linear_time(line) -> None:
    started = time.process_time()
    scan_diff((line + b"\n") * 300)
    assert time.process_time() - started < 5
