"""What `git apply` accepts is accepted, and what can be safely repaired is repaired and reported."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from core.diff import DiffSyntaxError, parse_diff
from core.diff_repair import read_diff

HUNK = b"@@ -1 +1 @@\n-a\n+b\n"
GIT = b"diff --git a/src/x.py b/src/x.py\n--- a/src/x.py\n+++ b/src/x.py\n" + HUNK
NEW = b"new file mode 100644\n--- /dev/null\n+++ %s\n@@ -0,0 +1 @@\n+x\n"


def names(data: bytes) -> list[bytes]:
    return [file.path for file in parse_diff(read_diff(data).data)]


@pytest.mark.parametrize(
    "data",
    [
        GIT,
        GIT.replace(b"a/src", b"i/src").replace(b"b/src", b"w/src"),
        GIT.replace(b"a/src", b"c/src").replace(b"b/src", b"o/src"),
        GIT.replace(b"a/src", b"old/src").replace(b"b/src", b"new/src"),
        b"diff --git i/src/x.py w/src/x.py\nnew file mode 100644\n--- /dev/null\n+++ w/src/x.py\n@@ -0,0 +1 @@\n+x\n",
        b"--- a/src/x.py\t2024-01-01 00:00:01.5 +0000\n+++ b/src/x.py\t2024-01-02 00:00:00 +0000\n" + HUNK,
        b"--- pkg-1.0/src/x.py 2024-01-01 00:00:01\n+++ pkg-1.1/src/x.py 2024-01-02 00:00:00\n" + HUNK,
        b"From 12 Mon Sep 17\nSubject: [PATCH] fix\n\n---\n src/x.py | 2 +-\n\n" + GIT + b"-- \n2.39.5\n\n",
    ],
)
def test_what_git_apply_takes_stays_as_it_is(data: bytes) -> None:
    assert read_diff(data).data == data
    assert read_diff(data).notes == ()
    assert names(data) == [b"src/x.py"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"diff --git src/x.py src/x.py\n--- src/x.py\n+++ src/x.py\n" + HUNK, [b"src/x.py"]),
        (b"--- src/x.py\n+++ src/x.py\n" + HUNK, [b"src/x.py"]),
        (b"--- x.py\n+++ x.py\n" + HUNK, [b"x.py"]),
        (b"--- x.py.orig\n+++ x.py\n" + HUNK, [b"x.py"]),
        (b"diff --git src/n.py src/n.py\n" + NEW % b"src/n.py", [b"src/n.py"]),
        (b"diff --git old.py new.py\nsimilarity index 100%\nrename from old.py\nrename to new.py\n", [b"new.py"]),
        (b"diff --git run.sh run.sh\nold mode 100644\nnew mode 100755\n", [b"run.sh"]),
        (b'diff --git "\\303\\244 b" "\\303\\244 b"\n' + NEW % b'"\\303\\244 b"\t', ["\u00e4 b".encode()]),
        (
            b"--- src/x.py\n+++ src/x.py\n" + HUNK + b"--- /dev/null\n+++ src/n.py\n@@ -0,0 +1 @@\n+x\n",
            [b"src/x.py", b"src/n.py"],
        ),
        (GIT + b"--- /dev/null\n+++ lib/n.py\n@@ -0,0 +1 @@\n+x\n", [b"src/x.py", b"n.py"]),
    ],
)
def test_paths_without_prefix_get_one_where_it_is_sure_that_they_have_none(data: bytes, expected: list[bytes]) -> None:
    assert names(data) == expected


def test_a_path_of_which_nobody_can_say_whether_it_has_a_prefix_is_refused() -> None:
    with pytest.raises(DiffSyntaxError, match=r"src/n\.py: write a/ or b/ before it"):
        read_diff(b"--- /dev/null\n+++ src/n.py\n@@ -0,0 +1 @@\n+x\n")


def test_a_folder_named_like_a_prefix_is_read_as_git_reads_it() -> None:
    assert names(b"--- a/x.py\n+++ a/x.py\n" + HUNK) == [b"x.py"]


def test_line_ends_of_the_diff_file_are_no_content() -> None:
    read = read_diff(GIT.replace(b"\n", b"\r\n"))
    assert (read.data, read.notes) == (GIT, ("the diff file had CR LF line ends; they were read as LF",))


def test_line_ends_of_the_files_are_content() -> None:
    data = GIT.replace(b"-a\n+b\n", b"-a\r\n+b\r\n")
    assert read_diff(data).data == data
    assert b"-a\r\n" in read_diff(data.replace(b"\n", b"\r\n")).data


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\ndiff --git a/y b/y\n--- a/y\n+++ b/y\n" + HUNK])
def test_blank_context_that_was_stripped_is_put_back_and_said(end: bytes) -> None:
    whole = GIT.replace(b"@@ -1 +1 @@", b"@@ -1,4 +1,4 @@") + b" c"
    read = read_diff(whole + end)
    assert b"+b\n c\n \n \n" in read.data
    lost = 2 - min(end.count(b"\n\n"), 1) if not end.startswith(b"\ndiff") else 2
    assert [f"put back {lost}" in note and "hunk 1 of src/x.py" in note for note in read.notes] == [True]


def test_a_hunk_that_lost_more_than_blanks_is_refused_by_name() -> None:
    with pytest.raises(DiffSyntaxError, match=r"hunk 1 of src/x\.py is cut: 0 old and 1 new lines are missing"):
        read_diff(GIT.removesuffix(b"+b\n"))


def test_a_binary_change_without_its_data_is_left_out_and_said() -> None:
    binary = (
        b"diff --git a/o.png b/o.png\nnew file mode 100644\nindex 000..111\nBinary files /dev/null and b/o.png differ\n"
    )
    read = read_diff(binary + GIT)
    assert (read.data, read.notes) == (GIT, ("left out: o.png: a binary change without its data",))
    assert read_diff(binary).data == b""


def test_a_new_file_without_its_mode_gets_the_usual_one() -> None:
    data = b"diff --git a/n b/n\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"
    assert b"new file mode 100644\n" in read_diff(data).data


@pytest.mark.parametrize("data", [b"", b"\n", b" \n\n"])
def test_nothing_is_an_empty_patch(data: bytes) -> None:
    assert read_diff(data).data == b""


@pytest.mark.parametrize("data", [b"I fixed it.\n", b"@@ -1 +1 @@\n-a\n+b\n", b"diff --cc a\n@@@ -1 -1 +1 @@@\n"])
def test_what_is_no_diff_is_refused(data: bytes) -> None:
    with pytest.raises(DiffSyntaxError):
        read_diff(data)


def git(folder: str, *arguments: str, stdin: bytes | None = None) -> bytes:
    quiet = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C", "PATH": os.environ["PATH"]}
    command = ["git", "-c", "core.autocrlf=false", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, env=quiet, capture_output=True, check=True).stdout


FILES = st.dictionaries(
    st.sampled_from(["a.py", "src/b.py", "src/c d.txt", "t\tab", "\u00fcber/x", 'q"uote', "-dash", "a/a", "b/run.sh"]),
    st.one_of(
        st.binary(max_size=40),
        st.lists(st.sampled_from([b"x\n", b"\n", b"y \n", b"-- a\n", b"++ b\n", b"w\r\n", b"end"]), max_size=9).map(
            b"".join
        ),
    ),
    max_size=5,
)
STYLES = [
    ["--src-prefix=a/", "--dst-prefix=b/"],
    ["--src-prefix=i/", "--dst-prefix=w/"],
    ["--src-prefix=old/", "--dst-prefix=new/"],
    ["--no-prefix"],
]


def write(folder: str, files: dict[str, bytes], modes: dict[str, bool]) -> None:
    for name, data in files.items():
        path = Path(folder, name)
        if not any(parent.is_file() for parent in path.parents) and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if modes.get(name) else 0o644)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    before=FILES,
    after=FILES,
    modes=st.dictionaries(st.sampled_from(["a.py", "src/b.py", "b/run.sh"]), st.booleans()),
    style=st.sampled_from(STYLES),
    more=st.sampled_from([[], ["-M", "-C"], ["-U0"], ["-U1"], ["-U10"]]),
    stripped=st.booleans(),
)
def test_any_diff_of_git_gives_the_same_tree_after_reading(before, after, modes, style, more, stripped) -> None:
    assume(style != ["--no-prefix"] or not {"a/a", "b/run.sh"} & {*before, *after})  # a/ is then read as git reads it
    with tempfile.TemporaryDirectory() as folder:
        git(folder, "init", "-q")
        write(folder, before, {})
        git(folder, "add", "-A")
        base = git(folder, "write-tree").decode().strip()
        for name in before.keys() - after.keys():
            Path(folder, name).unlink(missing_ok=True)
        write(folder, after, modes)
        git(folder, "add", "-A")
        wanted = git(folder, "write-tree")
        diff = git(folder, "diff", "--cached", "--binary", "--full-index", *style, *more, base)
        if stripped:
            diff = diff.removesuffix(b"\n")
        git(folder, "read-tree", base)
        read = read_diff(diff)
        if read.data:
            git(
                folder,
                "apply",
                "--cached",
                "--whitespace=nowarn",
                *(["--unidiff-zero"] if more == ["-U0"] else []),
                stdin=read.data,
            )
        assert git(folder, "write-tree") == wanted
        assert not read.notes
