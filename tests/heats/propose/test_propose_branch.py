"""`propose` on a real repository: the branch is correct, and nothing else has changed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from shop_repository import BUG, git

from heats.errors import PatchRefused, UsageError
from heats.propose.proposal import read_run
from heats.propose.steps import ProposeOptions, ProposeResult, propose
from heats.store.store import RunStore

RunOf, Wishes = Callable[..., RunStore], Callable[..., ProposeOptions]
pytestmark = pytest.mark.slow


def state(repo: Path) -> dict[str, str]:
    """Digests of every file of a repository except its objects, references and their logs."""
    skipped = (".git/objects/", ".git/refs/", ".git/logs/")
    files = [path for path in repo.rglob("*") if path.is_file()]
    names = {path: path.relative_to(repo).as_posix() for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path, name in names.items()
        if not name.startswith(skipped)
    }


def go(run: RunStore, wish: ProposeOptions) -> ProposeResult:
    return propose(*read_run(run), wish)


def test_a_verified_patch_becomes_one_commit_on_its_base(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    made = go(run_of(fix), wish())
    assert made.branch == "heats/shop-1-2"
    assert git(shop, "rev-parse", "heats/shop-1-2") == made.commit.id
    assert git(shop, "rev-parse", f"{made.commit.id}^") == git(shop, "rev-parse", "main")
    assert git(shop, "log", "-1", "--format=%an <%ae>|%cn|%s", made.branch) == (
        "Ada <ada@example.org>|Ada|A discount makes things dearer"
    )
    assert git(shop, "diff", "--stat", "main", made.branch).endswith("1 file changed, 1 insertion(+), 1 deletion(-)")
    assert git(shop, "fsck", "--strict") == ""


def test_a_dirty_tree_stays_byte_for_byte_as_it_is(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    (shop / "price.py").write_text("half done\n")
    (shop / "new.txt").write_text("untracked\n")
    (shop / "staged.txt").write_text("staged\n")
    git(shop, "add", "staged.txt")
    said = git(shop, "status", "--porcelain")
    before = state(shop)
    go(run_of(fix), wish())
    assert state(shop) == before
    assert git(shop, "status", "--porcelain") == said


HOOKS = ("pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-push", "post-checkout")
PROGRAMS = ("core.fsmonitor", "filter.t.clean", "filter.t.smudge", "merge.t.driver", "diff.external", "gpg.program")


def test_nothing_of_the_repository_is_run(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, tmp_path: Path) -> None:
    run, trap, sprung = run_of(fix), tmp_path / "trap", tmp_path / "sprung"
    git(shop, "checkout", "-q", "-b", "on")
    (shop / "price.py").write_text('"""Prices."""\n\n' + BUG)
    git(shop, "commit", "-qam", "Say what it is")
    trap.write_text(f"#!/bin/sh\necho $0 >>{sprung}\ncat\n")
    trap.chmod(0o755)
    for hook in HOOKS:
        (shop / ".git" / "hooks" / hook).unlink(missing_ok=True)
        (shop / ".git" / "hooks" / hook).symlink_to(trap)
    for key in PROGRAMS:
        git(shop, "config", key, str(trap))
    git(shop, "config", "commit.gpgsign", "true")
    (shop / ".git" / "info" / "attributes").write_text("* filter=t merge=t diff=t\n")
    (shop / ".gitattributes").write_text("* filter=t merge=t\n")
    sprung.unlink(missing_ok=True)
    go(run, wish(onto="on", push=True))
    assert not sprung.exists()
    git(shop, "status")
    assert sprung.exists(), "the traps do not work, so the test shows nothing"


def test_a_dry_run_leaves_no_object_behind(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(fix)
    before = git(shop, "count-objects", "-v") + git(shop, "for-each-ref")
    made = go(run, wish(dry_run=True, push=True))
    assert made.text.startswith("**Verified**")
    assert git(shop, "count-objects", "-v") + git(shop, "for-each-ref") == before


def test_the_same_call_again_finds_its_branch(fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(fix)
    first, second = go(run, wish()), go(run, wish())
    assert not first.reused
    assert second.reused
    assert second.commit.id == first.commit.id


def test_another_branch_of_the_name_is_kept_unless_forced(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(fix)
    git(shop, "branch", "taken")
    with pytest.raises(UsageError, match="the branch taken exists"):
        go(run, wish(branch="taken"))
    made = go(run, wish(branch="taken", force=True))
    assert git(shop, "rev-parse", "taken") == made.commit.id


def test_a_checked_out_branch_is_never_moved(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    with pytest.raises(UsageError, match="checked out"):
        go(run_of(fix), wish(branch="main", force=True))
    assert (shop / "price.py").read_text() == BUG


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "x.lock", "@{1}", ""])
def test_a_bad_branch_name_is_refused(fix: bytes, run_of: RunOf, wish: Wishes, name: str) -> None:
    with pytest.raises(UsageError, match="not a valid branch name"):
        go(run_of(fix), wish(branch=name))


def test_a_branch_in_the_way_is_told(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    git(shop, "branch", "heats")
    with pytest.raises(UsageError, match="heats"):
        go(run_of(fix), wish())


def test_author_branch_and_message_are_configurable(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    config = {
        "author": "Robo <robo@example.org>",
        "branch": "fix/{{ patch }}",
        "title": "shop: {{ issue }}",
        "message": "From {{ run }} on {{ base }}.",
    }
    made = go(run_of(fix), wish(**config))
    said = git(shop, "log", "-1", "--format=%an|%ae|%cn|%B", made.branch)
    base = git(shop, "rev-parse", "--short=12", "main")
    assert said == f"Robo|robo@example.org|Ada|shop: A discount makes things dearer\n\nFrom run on {base}."
    assert made.branch == f"fix/{hashlib.sha256(fix).hexdigest()[:8]}"


def test_without_an_identity_it_says_what_to_give(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    run = run_of(fix)
    git(shop, "config", "--unset", "user.email")
    with pytest.raises(UsageError, match="--author"):
        go(run, wish())
    assert go(run, wish(author="A B <a@b.c>")).branch


def test_a_head_that_moved_on_is_told_and_the_branch_starts_at_the_base(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes
) -> None:
    run, base = run_of(fix), git(shop, "rev-parse", "HEAD")
    git(shop, "commit", "-q", "--allow-empty", "-m", "more")
    made = go(run, wish())
    assert "1 commit(s) ahead" in made.notes[0]
    assert made.commit.parent == base


def test_onto_merges_the_patch_three_ways(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(fix)
    (shop / "price.py").write_text('"""Prices."""\n\n' + BUG)
    git(shop, "commit", "-qam", "Say what it is")
    made = go(run, wish(onto="HEAD"))
    assert git(shop, "show", f"{made.branch}:price.py").startswith('"""Prices."""')
    assert "100 - discount" in git(shop, "show", f"{made.branch}:price.py")
    assert made.commit.parent == git(shop, "rev-parse", "HEAD")
    assert "the tests did not run again there" in made.text


def test_onto_refuses_conflicts_and_strangers(shop: Path, fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    run = run_of(fix)
    (shop / "price.py").write_text(BUG.replace("100 + discount", "discount"))
    git(shop, "commit", "-qam", "Change it otherwise")
    with pytest.raises(PatchRefused, match=r"conflicts .* price\.py"):
        go(run, wish(onto="HEAD"))
    git(shop, "checkout", "-q", "--orphan", "other")
    git(shop, "commit", "-qm", "Another root")
    with pytest.raises(PatchRefused, match="does not contain the run's base"):
        go(run, wish(onto="other"))


def test_a_base_that_is_not_there_is_told(fix: bytes, run_of: RunOf, wish: Wishes) -> None:
    with pytest.raises(UsageError, match="does not have the run's base commit"):
        go(run_of(fix, base="1" * 40), wish())


@pytest.mark.parametrize("kind", ["bare", "worktree", "shallow"])
def test_every_kind_of_repository_will_do(
    shop: Path, fix: bytes, run_of: RunOf, wish: Wishes, tmp_path: Path, kind: str
) -> None:
    run, other = run_of(fix), tmp_path / "other"
    git(shop, "commit", "-q", "--allow-empty", "-m", "more")
    if kind == "worktree":
        git(shop, "worktree", "add", "-q", "-b", "side", str(other))
    else:
        flag = "--bare" if kind == "bare" else "--no-local"
        depth = ("--depth=2",) if kind == "shallow" else ()
        git(tmp_path, "clone", "-q", flag, *depth, f"file://{shop}", str(other))
    plan = wish(author="A B <a@b.c>", onto="HEAD")
    made = go(run, ProposeOptions(repository=other, config=plan.config, onto="HEAD"))
    assert "100 - discount" in git(other, "show", f"{made.branch}:price.py")
