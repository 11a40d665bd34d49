"""An agent gets an instance's past and nothing of its future, wherever the image's repository stores it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cheat_code import CODE
from swebench_shop import Shop, make_row

from envs.base import Patch
from envs.errors import SetupFailed, TaskError
from envs.machine import spec_for
from envs.swebench.history import cut_future

TOKEN = "THE_FIX_FROM_THE_FUTURE"
Git = Callable[..., str]


@pytest.fixture
def shop(tmp_path: Path, git: Git) -> Shop:
    return Shop(tmp_path, git)


def future(tree: Path, git: Git) -> str:
    """Add a commit with the fix after the base, and check out the base again."""
    base = git(tree, "rev-parse", "HEAD")
    git(tree, "checkout", "-q", "-b", "later")
    (tree / "fix.py").write_text(TOKEN)
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", f"the fix {TOKEN}")
    commit = git(tree, "rev-parse", "HEAD")
    git(tree, "checkout", "-q", "main")
    assert git(tree, "rev-parse", "HEAD") == base
    return commit


def forget(tree: Path, git: Git) -> None:
    """Remove every branch and reflog that leads to the future commit."""
    git(tree, "branch", "-q", "-D", "later")
    git(tree, "reflog", "expire", "--expire=all", "--all")


def branch(tree: Path, git: Git) -> None:
    future(tree, git)


def reflog(tree: Path, git: Git) -> None:
    future(tree, git)
    git(tree, "branch", "-q", "-D", "later")


def unreachable(tree: Path, git: Git) -> None:
    future(tree, git)
    forget(tree, git)


def packed(tree: Path, git: Git) -> None:
    future(tree, git)
    git(tree, "repack", "-adq")
    forget(tree, git)
    git(tree, "config", "pack.writeBitmaps", "true")


def tag(tree: Path, git: Git) -> None:
    git(tree, "tag", "-a", "v2", "-m", TOKEN, future(tree, git))
    forget(tree, git)
    git(tree, "pack-refs", "--all")


def remote(tree: Path, git: Git) -> None:
    git(tree, "update-ref", "refs/remotes/origin/main", future(tree, git))
    git(tree, "remote", "add", "origin", f"https://example.org/{TOKEN}")
    forget(tree, git)


def heads_of_operations(tree: Path, git: Git) -> None:
    commit = future(tree, git)
    for name in ("FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD"):
        (tree / ".git" / name).write_text(commit + "\n")
    forget(tree, git)


def stash(tree: Path, git: Git) -> None:
    (tree / "README").write_text(TOKEN)
    git(tree, "stash", "push", "-q", "-m", TOKEN)


def notes(tree: Path, git: Git) -> None:
    git(tree, "notes", "add", "-m", TOKEN, "HEAD")


def replaced(tree: Path, git: Git) -> None:
    git(tree, "replace", "HEAD", future(tree, git))
    forget(tree, git)


def alternates(tree: Path, git: Git) -> None:
    future(tree, git)
    git(tree.parent, "clone", "-q", "--bare", str(tree), "other.git")
    (tree / ".git/objects/info/alternates").write_text(f"{tree.parent}/other.git/objects\n")
    forget(tree, git)


def worktree(tree: Path, git: Git) -> None:
    git(tree, "worktree", "add", "-q", "--detach", str(tree.parent / "linked"), future(tree, git))
    forget(tree, git)


def staged(tree: Path, git: Git) -> None:
    (tree / "README").write_text(TOKEN)
    git(tree, "add", "README")
    (tree / "README").write_text("a shop\n")


def settings(tree: Path, git: Git) -> None:
    git(tree, "config", "alias.fix", f"!echo {TOKEN}")
    (tree / ".git/hooks").mkdir(exist_ok=True)
    (tree / ".git/hooks/pre-commit").write_text(f"echo {TOKEN}")
    (tree / ".git/description").write_text(TOKEN)


PLACES = (branch, reflog, unreachable, packed, tag, remote, heads_of_operations, stash, notes, replaced, alternates,
          worktree, staged, settings)  # fmt: skip
EVERYTHING = """
grep -rqs TOKEN .git && echo in a file
git cat-file --batch-all-objects --batch-check='%(objectname)' | while read -r one; do
  git cat-file -p "$one" | grep -aq TOKEN && echo "in object $one"
done
git log --all --format=%s
"""


@pytest.mark.slow
@pytest.mark.parametrize("hide", PLACES)
async def test_nothing_of_the_future_is_left_and_the_past_is(
    hide: Callable[[Path, Git], None], shop: Shop, git: Git
) -> None:
    hide(shop.tree, git)
    async with shop.prepared() as box:
        found = await box.exec(EVERYTHING.replace("TOKEN", TOKEN), timeout=60, merge_stderr=True)
        status = await box.exec("git status --porcelain; git symbolic-ref HEAD; git for-each-ref", timeout=60)
    assert found.text() == "base\nthe past\n"
    assert status.text() == f"refs/heads/main\n{shop.commit} commit\trefs/heads/main\n"


async def test_a_shallow_repository_stays_shallow(tmp_path: Path, shop: Shop, git: Git) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{shop.tree}", "shallow")
    shop.backend.tree = tmp_path / "shallow"
    async with shop.prepared() as box:
        assert (await box.exec("git log --format=%s && git fsck", timeout=60)).text() == "base\n"


async def test_the_builders_own_commit_on_top_of_the_base_is_where_attempts_start(shop: Shop, git: Git) -> None:
    (shop.tree / "tox.ini").write_text("[tox]\n")
    git(shop.tree, "add", "-A")
    git(shop.tree, "commit", "-qm", "SWE-bench")
    (shop.tree / "README").write_text("changed by the builder\n")
    (shop.tree / "build.log").write_text("built\n")
    assert not await shop.patch({})
    patch = await shop.patch({"new.py": b"x = 1\n", "data.bin": bytes(range(256))})
    assert b"tox.ini" not in patch.data and b"README" not in patch.data and b"GIT binary patch" in patch.data


async def test_an_image_at_another_commit_is_refused(shop: Shop, git: Git) -> None:
    for name in ("one", "two"):
        git(shop.tree, "commit", "-q", "--allow-empty", "-m", name)
    with pytest.raises(SetupFailed, match=f"is not at the row's base commit {shop.commit[:12]}"):
        await shop.patch({})
    grade = await shop.grade(Patch(make_row(shop.commit)["patch"].encode()))
    assert grade.outcome == "invalid"


async def test_nothing_of_the_history_is_kept_where_the_base_commit_is_not_known(shop: Shop, git: Git) -> None:
    future(shop.tree, git)
    shop.open(make_row("f" * 40))
    async with shop.prepared() as box:
        assert (await box.exec("git log --all --format=%s", timeout=60)).text() == "base\n"
        await box.write_file(f"{shop.task.workdir}/shop/cart.py", CODE.replace(b"-=", b"+="))
        assert (await shop.env.collect(shop.task, box)).data.count(b"\n+") == 2


async def test_an_image_without_a_repository_is_refused(shop: Shop) -> None:
    (shop.tree / ".git").rename(shop.tree / "not.git")
    with pytest.raises(SetupFailed, match="no git repository"):
        await shop.patch({})


async def test_what_agents_do_to_git_does_not_reach_the_patch(shop: Shop) -> None:
    async with shop.prepared() as box:
        await box.exec("echo fixed > README; git commit -qam mine; git checkout -q -b other; rm -rf .git", timeout=60)
        patch = await shop.env.collect(shop.task, box)
    assert patch.data.endswith(b"-a shop\n+fixed\n")


async def test_a_sandbox_of_somebody_else_has_no_tree_to_compare_with(shop: Shop) -> None:
    box = await shop.backend.start(spec_for(shop.task))
    with pytest.raises(TaskError, match="not prepared by this env"):
        await shop.env.collect(shop.task, box)


async def test_packs_are_shared_by_a_tasks_sandboxes_and_go_with_the_last(shop: Shop) -> None:
    async with shop.prepared() as box:
        await shop.env.prepare(shop.task, box)
        assert len({id(base) for base in shop.env._bases.values()}) == 1
    del box
    assert not shop.env._bases


@pytest.mark.parametrize("place", [".venv", "venv"])
async def test_commands_run_in_a_virtual_environment_beside_the_tree(place: str, shop: Shop) -> None:
    (shop.tree / place / "bin").mkdir(parents=True)
    (shop.tree / place / "bin/python").write_text("#!/bin/sh\necho theirs\n")
    (shop.tree / place / "bin/python").chmod(0o755)
    (shop.tree / place / "bin/activate").write_text(
        'export VIRTUAL_ENV="it\'s here" PATH="$PWD/PLACE/bin:$PATH"\n'.replace("PLACE", place)
    )
    async with shop.prepared() as box:
        assert (
            await box.exec("python; echo $VIRTUAL_ENV; bash -c python", timeout=60)
        ).text() == "theirs\nit's here\ntheirs\n"
        assert not await shop.env.collect(shop.task, box)


async def test_the_oracle_plays_the_gold_patch(shop: Shop) -> None:
    async with shop.prepared() as box:
        assert (await shop.env.solve(shop.task.id, box)).ok
        patch: Any = await shop.env.collect(shop.task, box)
    assert b"+        result += item" in patch.data


async def test_a_known_object_store_is_not_walked_again_and_a_changed_one_is(shop: Shop, git: Git) -> None:
    async with shop.prepared() as box:
        known = await cut_future(box, shop.task.workdir, shop.commit)
        assert await cut_future(box, shop.task.workdir, shop.commit, known=known) == known
        # One more object triggers a complete check, which removes it.
        await box.exec("echo more | git hash-object -w --stdin", timeout=60)
        assert await cut_future(box, shop.task.workdir, shop.commit, known=known) == known
        assert (
            "missing"
            in (await box.exec("echo more | git hash-object --stdin | git cat-file --batch", timeout=60)).text()
        )


@pytest.mark.parametrize("hide", [branch, packed, alternates])
async def test_a_grading_sandbox_has_neither_past_nor_future(
    hide: Callable[[Path, Git], None], shop: Shop, git: Git
) -> None:
    hide(shop.tree, git)
    git(shop.tree, "commit", "-q", "--allow-empty", "-m", "SWE-bench")
    box = await shop.backend.start(spec_for(shop.task))
    await shop.env.prepare_to_grade(shop.task, box)
    assert (await box.exec(EVERYTHING.replace("TOKEN", TOKEN), timeout=60)).text() == "SWE-bench\nbase\n"
    assert (await box.exec(f"git checkout -q {shop.commit} README && git fsck", timeout=60)).ok
