"""The tree enters complete and alone; the diff leaves exact, whatever the agent did to `.git`."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.diff import diff_stats
from envs.base import Patch
from envs.basetree import BaseTree, make_base_tree, read_base_tree
from envs.errors import PatchRejected, SetupFailed
from envs.patches import PatchRules
from envs.worktree import apply_patch, put_tree, set_leftovers_aside, take_patch

FILES = {
    "m.py": b"def f():\n    return 1\n",
    "pkg/__init__.py": b"",
    "data.bin": bytes(range(256)),
    "crlf.txt": b"a\r\nb\r\n",
}


@pytest.fixture
async def tree(box: Any, workdir: str) -> BaseTree:
    base = make_base_tree(FILES)
    await put_tree(box, workdir, base)
    return base


async def test_the_sandbox_has_the_commit_clean_and_alone(box: Any, workdir: str, tree: BaseTree, git: Any) -> None:
    assert git(workdir, "rev-parse", "HEAD") == tree.commit
    assert git(workdir, "status", "--porcelain") == ""
    assert git(workdir, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert git(workdir, "remote") == git(workdir, "reflog") == git(workdir, "stash", "list") == ""
    assert (Path(workdir) / "data.bin").read_bytes() == bytes(range(256))


async def test_an_agent_can_commit_at_once(box: Any, workdir: str, tree: BaseTree) -> None:
    result = await box.exec("echo x > n && git add n && git commit -qm x", timeout=120)
    assert result.ok


async def test_an_untouched_tree_gives_an_empty_patch(box: Any, workdir: str, tree: BaseTree) -> None:
    assert (await take_patch(box, workdir, tree)).data == b""


EDIT = "sed -i s/1/2/ m.py; echo new > new.py"
TRICKS = {
    "plain": "true",
    "commits": "git add -A; git commit -qm a; git commit -q --amend -m b",
    "staged": "git add -A",
    "another branch": "git checkout -qb other; git add -A; git commit -qm a; git checkout -q main; git merge -q other",
    "orphan": "git checkout -q --orphan o; git commit -qm o",
    "skip-worktree": "git update-index --skip-worktree m.py; git update-index --assume-unchanged m.py",
    "no git directory": "rm -rf .git",
    "git is a file": "rm -rf .git; echo gitdir: /nowhere > .git",
    "git is a link": "rm -rf .git; ln -s /nowhere .git",
    "empty repository": "rm -rf .git; git init -q",
    "index lock": "touch .git/index.lock",
    "objects gone": "rm -rf .git/objects",
    "hostile configuration": (
        "printf '[core]\\n fsmonitor=touch MARK\\n hooksPath=.\\n[diff]\\n external=touch MARK\\n noprefix=true\\n"
        "[filter \"x\"]\\n clean=touch MARK\\n' >> .git/config; echo '*.py filter=x diff=x' > .git/info/attributes"
    ),
    "excludes": "printf '*.py\\n' > .git/info/exclude",
    "left running": "(while :; do sleep 0.05; echo noise > noise.txt; done) >/dev/null 2>&1 & sleep 0.1; rm noise.txt",
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_the_diff_is_the_tree_change_whatever_happened_to_git(
    trick: str, box: Any, workdir: str, tree: BaseTree
) -> None:
    await box.exec(f"{EDIT}; {TRICKS[trick]}", timeout=120)
    patch = await take_patch(box, workdir, tree)
    assert set(diff_stats(patch.data).files) - {"noise.txt"} == {"m.py", "new.py"}
    assert not (Path(workdir) / "MARK").exists()


async def test_a_nested_repository_enters_as_files_and_stays_one(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec("mkdir -p sub/deep; cd sub/deep; git init -q; echo x > f; git add f; git commit -qm x", timeout=120)
    patch = await take_patch(box, workdir, tree)
    assert diff_stats(patch.data).files == ("sub/deep/f",)
    assert (Path(workdir) / "sub/deep/.git/HEAD").exists()


async def test_scratch_stays_out_and_tracked_files_with_such_names_stay_in(box: Any, workdir: str) -> None:
    base = make_base_tree({"kept.orig": b"1\n"})
    await put_tree(box, workdir, base)
    await box.exec(
        "mkdir -p a/__pycache__ .pytest_cache; touch a/__pycache__/m.pyc .pytest_cache/x b.pyc .coverage f~", timeout=60
    )
    await box.exec("echo 2 > kept.orig", timeout=60)
    assert diff_stats((await take_patch(box, workdir, base)).data).files == ("kept.orig",)


async def test_ignored_files_stay_out(box: Any, workdir: str) -> None:
    base = make_base_tree({".gitignore": b"*.log\n"})
    await put_tree(box, workdir, base)
    await box.exec("echo x > a.log; echo x > b.txt", timeout=60)
    assert diff_stats((await take_patch(box, workdir, base)).data).files == ("b.txt",)


BAD = {
    "a link out of the tree": ("ln -s /etc/passwd leak", "left out: leak: a symbolic link to an absolute path"),
    "a huge file": ("head -c 9000000 /dev/zero > dump.bin", "left out: dump.bin: a file too large for a patch"),
    "a core dump": ("head -c 100000 /dev/urandom > core.71", "left out: core.71: a core dump"),
    "a virtual environment": (
        "mkdir -p env3/lib; touch env3/pyvenv.cfg env3/lib/a.py env3/lib/b.py",
        "left out: env3: a virtual environment",
    ),
    "a name that is not UTF-8": ("touch $'odd\\xff.py'", "left out: odd\\xff.py: the name is not UTF-8"),
    "a line end in a name": ("touch $'odd\\nname'", "left out: odd\\nname: a control character in the name"),
}


@pytest.mark.parametrize("bad", BAD)
async def test_one_bad_part_is_left_out_and_named_and_the_rest_is_carried(
    bad: str, box: Any, workdir: str, tree: BaseTree
) -> None:
    command, note = BAD[bad]
    await box.exec(f"{EDIT}; {command}", timeout=120)
    patch = await take_patch(box, workdir, tree, PatchRules(max_bytes=8 << 20))
    assert (diff_stats(patch.data).files, patch.notes) == (("m.py", "new.py"), (note,))


async def test_a_patch_of_which_nothing_may_be_kept_is_rejected(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec("ln -s /etc/passwd leak", timeout=9)
    with pytest.raises(PatchRejected, match="leak: a symbolic link to an absolute path"):
        await take_patch(box, workdir, tree)
    await box.exec("rm leak; head -c 9000 /dev/urandom > big", timeout=9)
    with pytest.raises(PatchRejected, match="big: a file too large for a patch"):
        await take_patch(box, workdir, tree, PatchRules(max_bytes=4000))


async def test_many_large_files_leave_room_for_small_ones(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec(f"{EDIT}; for n in $(seq 40); do head -c 150000 /dev/urandom > big$n; done", timeout=120)
    patch = await take_patch(box, workdir, tree, PatchRules(max_bytes=1 << 20))
    assert {"m.py", "new.py"} <= set(diff_stats(patch.data).files)
    assert len(patch.data) <= 1 << 20
    assert all("big" in note for note in patch.notes)


async def test_files_that_may_not_be_read_are_read(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec(f"{EDIT}; chmod 000 new.py; mkdir d; echo x > d/x; chmod 000 d", timeout=9)
    assert diff_stats((await take_patch(box, workdir, tree)).data).files == ("d/x", "m.py", "new.py")


ATTRIBUTES = {
    "none": "",
    "text": "* text",
    "text=auto": "* text=auto",
    "crlf in the tree": "*.txt text eol=crlf",
    "lf in the tree": "*.txt text eol=lf",
    "encoding": "u16.txt text working-tree-encoding=UTF-16LE",
    "encoding that does not fit": "data.bin text working-tree-encoding=UTF-16",
    "a filter that is not installed": "*.bin filter=lfs diff=lfs merge=lfs -text\n*.txt filter=nobody",
    "ident": "*.py ident\n*.txt -diff",
}
MIXED = FILES | {
    "u16.txt": "grün\n".encode(),
    "lf.txt": b"a\nb\n",
    "mixed.txt": b"a\r\nb\nc\r\nd\ne\nf\ng\nh\n",
    "id.py": b"x = '$Id$'\n",
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
async def test_an_untouched_tree_gives_an_empty_patch_under_all_attributes(kind: str, box: Any, workdir: str) -> None:
    base = make_base_tree(MIXED | {".gitattributes": ATTRIBUTES[kind].encode() + b"\n"})
    await put_tree(box, workdir, base)
    assert (await take_patch(box, workdir, base)).data == b""


@pytest.mark.parametrize("kind", ATTRIBUTES)
async def test_a_changed_file_comes_out_byte_for_byte_under_all_attributes(kind: str, make_box: Any) -> None:
    base = make_base_tree(MIXED | {".gitattributes": ATTRIBUTES[kind].encode() + b"\n"})
    agent, clean = make_box(), make_box()
    for one in (agent, clean):
        await put_tree(one, one.spec.workdir, base)
    await agent.exec(
        "sed -i s/b/B/ lf.txt mixed.txt crlf.txt; chmod +x m.py; "
        r"printf 'new\r\n' > new.txt; printf '\1' >> data.bin",
        timeout=9,
    )
    patch = await take_patch(agent, agent.spec.workdir, base)
    assert set(diff_stats(patch.data).files) == {"lf.txt", "mixed.txt", "crlf.txt", "new.txt", "data.bin", "m.py"}
    assert await apply_patch(clean, clean.spec.workdir, patch) is None
    assert contents(clean) == contents(agent)


def contents(box: Any) -> dict[str, tuple[bytes, int]]:
    files = [path for path in Path(box.spec.workdir).rglob("*") if path.is_file() and ".git" not in path.parts]
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in files}


async def test_a_repository_of_sha256_ids_works(box: Any, workdir: str, tmp_path: Path, git: Any) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "--object-format=sha256")
    (source / "m.py").write_text("1\n")
    (source / ".gitattributes").write_text("* text=auto\n")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "base")
    base = read_base_tree(str(source))
    await put_tree(box, workdir, base)
    await box.exec("echo 2 > m.py; printf '\\0' > data", timeout=9)
    patch = await take_patch(box, workdir, base)
    git(workdir, "reset", "-q", "--hard")
    git(workdir, "clean", "-qfd")
    assert await apply_patch(box, workdir, patch) is None
    assert (Path(workdir, "m.py").read_text(), Path(workdir, "data").read_bytes()) == ("2\n", b"\0")


async def test_submodules_stay_empty_and_what_lies_in_one_is_named(
    box: Any, workdir: str, tmp_path: Path, git: Any
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q")
    (source / "m.py").write_text("1\n")
    git(source, "add", "-A")
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    git(source, "commit", "-qm", "base")
    base = read_base_tree(str(source))
    await put_tree(box, workdir, base)
    assert (await take_patch(box, workdir, base)).data == b""
    await box.exec("echo 2 > m.py; echo x > lib/x", timeout=9)
    patch = await take_patch(box, workdir, base)
    assert (diff_stats(patch.data).files, patch.notes) == (("m.py",), ("left out: lib: changes in a submodule",))
    await box.exec("rm -r lib", timeout=9)
    patch = await take_patch(box, workdir, base)
    assert (diff_stats(patch.data).files, patch.notes) == (("m.py",), ("left out: lib: a submodule",))


async def test_files_whose_names_differ_by_case_alone_are_carried(make_box: Any) -> None:
    base = make_base_tree({"a.txt": b"1\n", "A.txt": b"2\n"})
    agent, clean = make_box(), make_box()
    for one in (agent, clean):
        await put_tree(one, one.spec.workdir, base)
    await agent.exec("echo 3 > a.txt; echo 4 > A.txt; echo 5 > b.txt; echo 6 > B.txt", timeout=9)
    patch = await take_patch(agent, agent.spec.workdir, base)
    assert await apply_patch(clean, clean.spec.workdir, patch) is None
    assert contents(clean) == contents(agent)


async def test_a_removed_working_directory_is_said_so(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec(f"rm -rf {workdir}", timeout=60)
    with pytest.raises(PatchRejected, match="could not create a diff"):
        await take_patch(box, workdir, tree)


async def test_a_directory_with_files_is_refused(box: Any, workdir: str) -> None:
    (Path(workdir) / "x").touch()
    with pytest.raises(SetupFailed, match="not empty"):
        await put_tree(box, workdir, make_base_tree(FILES))


async def test_a_directory_that_holds_the_project_keeps_what_was_built_there(box: Any, workdir: str) -> None:
    old = {**FILES, "gone.py": b"gone = 1\n"}
    await put_tree(box, workdir, make_base_tree(old))
    await box.exec("mkdir -p build; echo 7 >build/made.so; echo changed >>gone.py", timeout=60)
    tree = make_base_tree(FILES)
    assert await put_tree(box, workdir, tree)
    assert not Path(workdir, "gone.py").exists()
    assert Path(workdir, "build/made.so").read_text() == "7\n"
    left = await set_leftovers_aside(box, workdir)
    assert left == ("build/made.so",)
    assert not await take_patch(box, workdir, tree, leftovers=left)


async def test_a_directory_that_holds_the_project_needs_no_git(box: Any, workdir: str) -> None:
    tree = make_base_tree(FILES)
    await put_tree(box, workdir, tree)
    await box.exec("rm -rf .git", timeout=60)
    assert await put_tree(box, workdir, tree)
    assert not await take_patch(box, workdir, tree)


async def test_an_image_without_git_is_refused(box: Any, workdir: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "sh", "env", "mkdir", "ls"):
        (tools / tool).symlink_to(subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip())
    original = box.exec

    async def without_git(command: str, **options: Any) -> Any:
        return await original(f"export PATH={tools}; {command}", **options)

    box.exec = without_git
    with pytest.raises(SetupFailed, match="no git"):
        await put_tree(box, workdir, make_base_tree(FILES))


async def test_a_shifted_patch_does_not_apply(box: Any, workdir: str, tree: BaseTree) -> None:
    shifted = b"--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,2 @@\n def g():\n-    return 1\n+    return 2\n"
    assert "does not apply" in (await apply_patch(box, workdir, Patch(shifted)) or "")
    assert (Path(workdir) / "m.py").read_bytes() == FILES["m.py"]


async def test_a_shifted_patch_does_not_apply_where_files_are_converted_either(box: Any, workdir: str) -> None:
    base = make_base_tree({".gitattributes": b"* text=auto eol=crlf\n", "m.py": b"a\nb\n"})
    await put_tree(box, workdir, base)
    for old, told in ((b"a", None), (b"x", "does not apply")):
        patch = Patch(b"--- a/m.py\n+++ b/m.py\n@@ -1,2 +1,2 @@\n-%s\n+c\n b\n" % old)
        assert (await apply_patch(box, workdir, patch) or "").endswith(told or "")
    assert Path(workdir, "m.py").read_bytes() == b"c\r\nb\r\n"


async def test_a_patch_applies_to_files_that_were_changed_after_the_checkout(box: Any, workdir: str) -> None:
    base = make_base_tree({".gitattributes": b"* text=auto\n", "m.py": b"a\nb\nc\nd\ne\nf\ng\n", "old/x": b"x\n"})
    await put_tree(box, workdir, base)
    Path(workdir, "m.py").write_bytes(b"a\nb\nc\nd\ne\nf\nG\n")
    gone = b"diff --git a/old/x b/old/x\ndeleted file mode 100644\n--- a/old/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    patch = Patch(b"--- a/m.py\n+++ b/m.py\n@@ -1,4 +1,4 @@\n-a\n+A\n b\n c\n d\n" + gone)
    assert await apply_patch(box, workdir, patch) is None
    assert Path(workdir, "m.py").read_bytes() == b"A\nb\nc\nd\ne\nf\nG\n"
    assert not Path(workdir, "old").exists()
