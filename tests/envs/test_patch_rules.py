"""What may leave a sandbox as a patch: a hostile corpus, a benign one, sizes and equality."""

import subprocess
from pathlib import Path

import pytest

from core.diff import diff_stats
from envs.base import Patch
from envs.errors import PatchRejected
from envs.patches import PatchRules, check_patch, patch_key, read_patch


def add(path: str, body: str = "x\n", mode: str = "100644", header: str | None = None) -> bytes:
    """A patch that adds one file; `header` replaces the names of the `diff --git` line."""
    lines = body.splitlines(keepends=True)
    names = header or f"a/{path} b/{path}"
    hunk = "".join("+" + line for line in lines) + ("" if body.endswith("\n") else "\n\\ No newline at end of file\n")
    return (
        f"diff --git {names}\nnew file mode {mode}\nindex 0000000..1111111\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{hunk}"
    ).encode()


def change(path: str, old: str = "a", new: str = "b") -> bytes:
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n".encode()


def quoted(name: str) -> bytes:
    return (
        f'diff --git "a/{name}" "b/{name}"\nnew file mode 100644\n--- /dev/null\n+++ "b/{name}"\n@@ -0,0 +1 @@\n+x\n'
    ).encode()


BINARY = b"GIT binary patch\nliteral 3\nKcmYdfNCE%>hycU@\n\nliteral 0\nHcmV?d00001\n\n"
BINARY_AS_WELL = b"GIT binary patch\nliteral 3\nKcmYdfNCp4_i2%g_\n\nliteral 3\nKcmYdfNCE%>hycU@\n\n"
ZERO, ONE, TWO = b"0" * 40, b"20b5be91886d0b6f26dc98a225c0dac05fe2c86e", b"88f37001cec36655decf891d4244853aaa51a00a"

HOSTILE: dict[str, bytes] = {
    "parent": change("../outside.py"),
    "parent in the middle": change("src/../../outside.py"),
    "parent with backslash": change("src\\..\\..\\outside.py"),
    "dot part": change("./a.py"),
    "empty part": change("src//a.py"),
    "absolute": change("/etc/passwd"),
    "traditional without prefix": b"--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n",
    "drive letter": change("C:/windows/system.ini"),
    "unc path": change("\\\\host\\share"),
    "git hook": add(".git/hooks/post-checkout", mode="100755"),
    "git config": change(".git/config"),
    "nested git": add("vendor/.git/config"),
    "git upper case": add(".GIT/config"),
    "git short name": add("GIT~1/config"),
    "git with trailing dot": add(".git./config"),
    "git alternate stream": add(".git::$INDEX_ALLOCATION/config"),
    "git with ignorable": add(".g\u200dit/config"),
    "nul": quoted("a\\000b.py"),
    "newline": quoted("a\\nb.py"),
    "escape": quoted("a\\033[2Jb.py"),
    "delete char": quoted("a\\177b.py"),
    "right-to-left": add("a\u202etxt.py"),
    "isolate": add("a\u2066b.py"),
    "zero width": add("a\u200bb.py"),
    "not utf-8": quoted("a\\377b.py"),
    "submodule": add("lib", "Subproject commit " + "1" * 40 + "\n", mode="160000"),
    "submodule by index": b"diff --git a/lib b/lib\nindex 111..222 160000\n--- a/lib\n+++ b/lib\n@@ -1 +1 @@\n-a\n+b\n",
    "odd mode": add("dev", mode="060644"),
    "directory mode": add("dir", mode="040000"),
    "link absolute": add("leak", "/etc/passwd", mode="120000"),
    "link out": add("sub/leak", "../../etc/passwd", mode="120000"),
    "link to parent": add("up", "..", mode="120000"),
    "link into git": add("hooks", ".git/hooks", mode="120000"),
    "link with an empty target": b"diff --git a/l b/l\nnew file mode 120000\nindex 000..e69de29\n",
    "through a link": add("dir", "src", mode="120000") + add("dir/x.py"),
    "through a link, other case": add("Dir", "src", mode="120000") + add("dir/x.py"),
    "through a file": add("pkg") + add("pkg/x.py"),
    "link as binary": b"diff --git a/l b/l\nnew file mode 120000\n" + BINARY,
    "names disagree": b"diff --git a/safe.py b/safe.py\n--- a/safe.py\n+++ b/other.py\n@@ -1 +1 @@\n-a\n+b\n",
    "line and headers disagree": add("evil.py", header="a/safe.py b/safe.py"),
    "rename out": b"diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to ../b\n",
    "half a rename": b"diff --git a/a b/b\nrename from a\n",
    "binary without data": b"diff --git a/x b/x\nindex 1..2 100644\nBinary files a/x and b/x differ\n",
    "binary cut": b"diff --git a/x b/x\nnew file mode 100644\nGIT binary patch\nliteral 3\nKcmZQzU|?ckVgLXD00;nC\n",
    "binary bomb": b"diff --git a/x b/x\nnew file mode 100644\n" + BINARY.replace(b"literal 3", b"literal 99999999999"),
    "stripped": change("a.py").rstrip(b"\n"),
    "cut hunk": change("a.py")[: -len(b"+b\n")],
    "long hunk": change("a.py").replace(b"-1 +1", b"-1,2 +1"),
    "hunk without file": b"@@ -1 +1 @@\n-a\n+b\n",
    "prose only": b"I fixed it.\n",
    "name too long": add("a" * 300),
    "header twice": change("a.py").replace(b"+++ b/a.py\n", b"+++ b/a.py\n+++ b/a.py\n"),
    "combined diff": b"diff --cc a.py\nindex 1,2..3\n--- a/a.py\n+++ b/a.py\n@@@ -1,1 -1,1 +1,1 @@@\n- a\n",
}

BENIGN: dict[str, bytes] = {
    "empty": b"",
    "one line": change("a.py"),
    "new file": add("pkg/new.py"),
    "new file without last newline": add("new.txt", "no end"),
    "new empty file": b"diff --git a/e b/e\nnew file mode 100644\nindex 000..e69de29\n",
    "executable": add("run.sh", mode="100755"),
    "mode only": b"diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n",
    "deletion": b"diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
    "empty deletion": b"diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..000\n",
    "pure rename": b"diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n",
    "rename and edit": (
        b"diff --git a/a.py b/b.py\nsimilarity index 80%\nrename from a.py\nrename to b.py\n"
        b"index 1..2 100644\n--- a/a.py\n+++ b/b.py\n@@ -1 +1 @@\n-a\n+b\n"
    ),
    "copy": b"diff --git a/a b/b\nsimilarity index 100%\ncopy from a\ncopy to b\n",
    "binary": b"diff --git a/i b/i\nnew file mode 100644\nindex " + ZERO + b".." + ONE + b"\n" + BINARY,
    "binary change": b"diff --git a/i b/i\nindex " + ONE + b".." + TWO + b" 100644\n" + BINARY_AS_WELL,
    "unicode name": quoted("caf\\303\\251.py"),
    "plain unicode name": add("naïve/日本.py"),
    "blank in name": add("a b.py"),
    "quotes in name": quoted('a\\"b.py'),
    "tab after name": b"--- a/x.py\t2024-01-01\n+++ b/x.py\t2024-01-02\n@@ -1 +1 @@\n-a\n+b\n",
    "link inside": add("docs/link", "../README.md", mode="120000"),
    "link to sibling": add("latest", "v1", mode="120000"),
    "link changed": (
        b"diff --git a/l b/l\nindex 1..2 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n"
        b"+y\n\\ No newline at end of file\n"
    ),
    "file becomes link": (
        b"diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"
        + add("x", "y", "120000")
    ),
    "crlf": b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\r\n+b\r\n",
    "form feed": b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\x0cb\n+b\x0c\n",
    "line separator in text": change("x", "a\u2028b", "c\u2029d"),
    "stripped empty context": b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n\n-a\n+b\n",
    "mail": b"From 123 Mon Sep 17\nSubject: fix\n\n---\n x | 2 +-\n\n" + change("x") + b"-- \n2.39.5\n\n",
    "lines like headers": change("x", "-- a/y", "++ b/z"),
    "gitignore": change(".gitignore") + change(".github/workflows/ci.yml") + change(".gitattributes"),
    "dots in names": add("a..b/...c") + add(".hidden"),
    "rename of case": b"diff --git a/Foo.py b/foo.py\nsimilarity index 100%\nrename from Foo.py\nrename to foo.py\n",
    "two files": change("a.py") + change("b/a.py"),
    "case clash": add("Readme.md") + add("README.md"),
    "unicode clash": add("caf\u00e9.py") + add("cafe\u0301.py"),
    "named twice": change("a.py") + change("a.py"),
    "section heading": change("a.py").replace(b"+1 @@", b"+1 @@ def f(a, b):"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_patches_are_rejected_with_a_reason(name: str) -> None:
    with pytest.raises(PatchRejected) as caught:
        check_patch(HOSTILE[name])
    assert all(reason.isprintable() and reason for reason in caught.value.reasons)


@pytest.mark.parametrize("name", BENIGN)
def test_benign_patches_pass(name: str) -> None:
    check_patch(BENIGN[name])


@pytest.mark.parametrize("name", [name for name in BENIGN if name != "empty"])
def test_git_sees_the_same_files_and_counts_as_we_do(name: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        ["git", "apply", "--numstat", "-z"], cwd=tmp_path, input=BENIGN[name], capture_output=True, check=True
    )
    rows = [row.split(b"\t", 2) for row in ran.stdout.split(b"\0") if row.count(b"\t") >= 2]
    stats = diff_stats(BENIGN[name])
    assert {row[2].decode() for row in rows} <= set(stats.files)
    assert sum(int(row[0]) for row in rows if row[0] != b"-") == stats.added
    assert sum(int(row[1]) for row in rows if row[1] != b"-") == stats.removed


def test_both_corpora_are_large_enough() -> None:
    assert len(HOSTILE) >= 30
    assert len(BENIGN) >= 30


def test_size_ceilings_are_kept() -> None:
    with pytest.raises(PatchRejected, match="more than the 10 allowed"):
        check_patch(change("a.py"), PatchRules(max_bytes=10))
    with pytest.raises(PatchRejected, match="2 files"):
        check_patch(change("a.py") + change("b.py"), PatchRules(max_files=1))


def test_every_reason_is_given_at_once() -> None:
    with pytest.raises(PatchRejected) as caught:
        check_patch(change("../a") + add(".git/x"))
    assert len(caught.value.reasons) == 2


HEAD = b"diff --git a/m.py b/m.py\nindex %s 100644\n--- a/m.py\n+++ b/m.py\n"
WIDE = HEAD % b"11..22" + b"@@ -3,5 +3,5 @@ def f():\n a\n b\n-c\n+C\n d\n e\n"
NARROW = HEAD % b"1111111..2222222" + b"@@ -5 +5 @@\n-c\n+C\n"
ELSEWHERE = HEAD % b"11..22" + b"@@ -9 +9 @@\n-c\n+C\n"


def test_context_and_index_lines_do_not_count_for_equality() -> None:
    assert patch_key(Patch(WIDE)) == patch_key(Patch(NARROW))


def test_offsets_of_the_new_side_do_not_count_for_equality() -> None:
    assert patch_key(Patch(NARROW)) == patch_key(Patch(NARROW.replace(b"+5 @@", b"+7 @@")))


def test_the_same_lines_elsewhere_are_another_patch() -> None:
    assert patch_key(Patch(NARROW)) != patch_key(Patch(ELSEWHERE))


def test_insertions_are_placed_alike_with_and_without_context() -> None:
    with_context = HEAD % b"1..2" + b"@@ -4,2 +4,3 @@\n a\n+new\n b\n"
    without = HEAD % b"1..2" + b"@@ -4,0 +5 @@\n+new\n"
    assert patch_key(Patch(with_context)) == patch_key(Patch(without))


@pytest.mark.parametrize("other", [NARROW.replace(b"+C", b"+C "), NARROW.replace(b"+C", b"+C\r"), NARROW + b"\\ x\n"])
def test_white_space_and_the_last_newline_count(other: bytes) -> None:
    assert patch_key(Patch(NARROW)) != patch_key(Patch(other))


def test_the_order_of_files_does_not_count() -> None:
    assert patch_key(Patch(change("a") + change("b"))) == patch_key(Patch(change("b") + change("a")))


def test_mode_and_binary_changes_make_different_keys() -> None:
    names = ("mode only", "binary", "binary change", "new empty file", "empty deletion", "pure rename", "copy")
    assert len({patch_key(Patch(BENIGN[name])) for name in names}) == len(names)


def test_an_unreadable_patch_equals_only_itself() -> None:
    assert patch_key(Patch(b"junk\n")) == patch_key(Patch(b"junk\n")) != patch_key(Patch(b"junk \n"))
    assert patch_key(Patch(b"")) == ""


def test_a_bad_part_of_a_patch_is_left_out_and_the_rest_is_kept_byte_for_byte() -> None:
    patch = read_patch(b"Subject: x\n\n" + change("a.py") + HOSTILE["link out"] + change("b.py"))
    assert patch.data == change("a.py") + change("b.py")
    assert patch.notes == ("left out: sub/leak: a symbolic link that leaves the tree",)
    assert read_patch(mail := b"Subject: x\n\n" + change("a.py")).data == mail


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_kept_of_a_hostile_patch_passes_the_rules(name: str) -> None:
    try:
        patch = read_patch(HOSTILE[name] + change("kept.py"))
    except PatchRejected as rejected:
        assert all(reason.isprintable() and reason for reason in rejected.reasons)
        return
    check_patch(patch.data)
    assert b"kept.py" in patch.data


def test_a_link_where_a_folder_is_needed_goes_and_the_files_stay() -> None:
    patch = read_patch(HOSTILE["through a link, other case"])
    assert patch.data == add("dir/x.py")
    assert patch.notes == ("left out: Dir: a symbolic link where dir/x.py needs a folder",)


def test_the_largest_parts_go_until_a_patch_keeps_to_its_ceilings() -> None:
    data = change("a.py") + add("big.txt", "x\n" * 500) + change("b.py")
    patch = read_patch(data, PatchRules(max_bytes=400))
    assert (patch.data, len(patch.notes)) == (change("a.py") + change("b.py"), 1)
    many = b"".join(add(f"unpacked/{number}.txt") for number in range(60))
    patch = read_patch(many + change("a.py"), PatchRules(max_files=20))
    assert patch.data == change("a.py")
    assert patch.notes[0] == "left out: unpacked/0.txt: one of 60 new files in unpacked/; a patch may have 20"
    assert patch.notes[-1] == "and 10 more"


def test_a_series_of_mails_may_change_a_file_more_than_once(tmp_path: Path) -> None:
    series = read_patch(b"From 1\n\n" + change("a.py") + b"-- \n2.39\n\nFrom 2\n\n" + change("a.py", "b", "c"))
    (tmp_path / "a.py").write_bytes(b"a\n")
    subprocess.run(["git", "apply"], cwd=tmp_path, input=series.data, check=True)
    assert (tmp_path / "a.py").read_bytes() == b"c\n"
    backwards = change("a.py", "b", "c") + change("a.py")
    assert patch_key(series) != patch_key(Patch(backwards))
