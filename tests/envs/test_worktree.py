"""The tree goes in whole and alone; the diff comes out exact, whatever the agent did to `.git`."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.diff import diff_stats
from envs.base import Patch
from envs.basetree import BaseTree, make_base_tree
from envs.errors import PatchRejected, SetupFailed
from envs.patches import PatchRules
from envs.worktree import apply_patch, put_tree, take_patch

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
    result = await box.exec("echo x > n && git add n && git commit -qm x", timeout=20)
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
    await box.exec(f"{EDIT}; {TRICKS[trick]}", timeout=30)
    patch = await take_patch(box, workdir, tree)
    assert set(diff_stats(patch.data).files) - {"noise.txt"} == {"m.py", "new.py"}
    assert not (Path(workdir) / "MARK").exists()


async def test_a_nested_repository_enters_as_files_and_stays_one(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec("mkdir -p sub/deep; cd sub/deep; git init -q; echo x > f; git add f; git commit -qm x", timeout=30)
    patch = await take_patch(box, workdir, tree)
    assert diff_stats(patch.data).files == ("sub/deep/f",)
    assert (Path(workdir) / "sub/deep/.git/HEAD").exists()


async def test_scratch_stays_out_and_tracked_files_with_such_names_stay_in(box: Any, workdir: str) -> None:
    base = make_base_tree({"kept.orig": b"1\n"})
    await put_tree(box, workdir, base)
    await box.exec(
        "mkdir -p a/__pycache__ .pytest_cache; touch a/__pycache__/m.pyc .pytest_cache/x b.pyc .coverage f~", timeout=9
    )
    await box.exec("echo 2 > kept.orig", timeout=9)
    assert diff_stats((await take_patch(box, workdir, base)).data).files == ("kept.orig",)


async def test_ignored_files_stay_out(box: Any, workdir: str) -> None:
    base = make_base_tree({".gitignore": b"*.log\n"})
    await put_tree(box, workdir, base)
    await box.exec("echo x > a.log; echo x > b.txt", timeout=9)
    assert diff_stats((await take_patch(box, workdir, base)).data).files == ("b.txt",)


async def test_a_link_out_of_the_tree_is_rejected(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec("ln -s /etc/passwd leak", timeout=9)
    with pytest.raises(PatchRejected, match="absolute"):
        await take_patch(box, workdir, tree)


async def test_a_patch_over_the_ceiling_is_rejected(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec("head -c 9000 /dev/urandom > big", timeout=9)
    with pytest.raises(PatchRejected, match="4000 bytes"):
        await take_patch(box, workdir, tree, PatchRules(max_bytes=4000))


async def test_a_removed_working_directory_is_said_so(box: Any, workdir: str, tree: BaseTree) -> None:
    await box.exec(f"rm -rf {workdir}", timeout=9)
    with pytest.raises(PatchRejected, match="no diff could be made"):
        await take_patch(box, workdir, tree)


async def test_a_directory_with_files_is_refused(box: Any, workdir: str) -> None:
    (Path(workdir) / "x").touch()
    with pytest.raises(SetupFailed, match="not empty"):
        await put_tree(box, workdir, make_base_tree(FILES))


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
