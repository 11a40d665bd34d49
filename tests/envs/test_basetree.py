"""Reading a user's repository takes one commit and nothing else, and changes and runs nothing."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from envs.basetree import make_base_tree, read_base_tree
from envs.errors import TaskError
from envs.repository import RepositoryEnv, RepositorySource
from envs.worktree import put_tree


@pytest.fixture
def repo(tmp_path: Path, git: Any) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "old.py").write_text("SECRET_OF_THE_PAST = 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "past")
    (folder / "old.py").write_text("x = 1\n")
    git(folder, "commit", "-qam", "base")
    git(folder, "tag", "base")
    (folder / "old.py").write_text("THE_FIX = 2\n")
    git(folder, "commit", "-qam", "future")
    git(folder, "remote", "add", "origin", "https://user:CANARY@host/r.git")
    return folder


async def test_only_the_one_commit_reaches_the_sandbox(repo: Path, git: Any, box: Any, workdir: str) -> None:
    tree = read_base_tree(str(repo), "base")
    await put_tree(box, workdir, tree)
    assert git(workdir, "rev-parse", "HEAD") == git(repo, "rev-parse", "base") == tree.commit
    kinds = git(workdir, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    assert sorted(kinds) == ["blob", "commit", "tree"]
    assert git(workdir, "rev-list", "--all", "--count") == "1"
    everything = subprocess.run(["grep", "-ra", "-e", "CANARY", "-e", "origin", workdir], capture_output=True)
    assert everything.stdout == b""


def test_uncommitted_changes_are_named_and_not_used(repo: Path) -> None:
    clean = read_base_tree(str(repo))
    (repo / "old.py").write_text("dirty\n")
    (repo / "untracked.py").write_text("dirty\n")
    dirty = read_base_tree(str(repo))
    assert dirty.commit == clean.commit
    assert len(dirty.pack) == len(clean.pack)
    assert (len(clean.notes), len(dirty.notes)) == (0, 1)


def test_the_repository_is_not_changed_and_no_hook_runs(repo: Path, tmp_path: Path, git: Any) -> None:
    mark = tmp_path / "mark"
    for hook in ("pre-commit", "post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (repo / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (repo / ".git" / "hooks" / hook).chmod(0o755)
    git(repo, "config", "core.fsmonitor", f"touch {mark}")
    before = {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")}
    read_base_tree(str(repo))
    assert {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")} == before
    assert not mark.exists()


def test_bare_shallow_and_linked_repositories_give_the_same_commit(repo: Path, tmp_path: Path, git: Any) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo}", "shallow")
    git(repo, "worktree", "add", "-q", str(tmp_path / "linked"), "base")
    assert read_base_tree(str(tmp_path / "bare.git")).commit == read_base_tree(str(repo)).commit
    assert read_base_tree(str(tmp_path / "shallow")).commit == read_base_tree(str(repo)).commit
    assert read_base_tree(str(tmp_path / "linked")).commit == git(repo, "rev-parse", "base")


def test_a_url_is_fetched(repo: Path, git: Any) -> None:
    assert read_base_tree(f"file://{repo}", "base").commit == git(repo, "rev-parse", "base")


def test_submodules_and_lfs_are_said(repo: Path, git: Any) -> None:
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    (repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(repo, "add", ".gitattributes")
    git(repo, "commit", "-qm", "x")
    notes = " ".join(read_base_tree(str(repo)).notes)
    assert "vendor/lib" in notes
    assert "Git LFS" in notes


@pytest.mark.parametrize(
    ("source", "ref", "message"),
    [
        ("/nowhere/at/all", "HEAD", "no such repository"),
        ("PLAIN", "HEAD", "not a git repository"),
        ("EMPTY", "HEAD", "has no commits"),
        ("REPO", "nosuch", "no commit, branch or tag named 'nosuch'"),
        ("REPO", "--all", "no commit, branch or tag named"),
        ("file:///nowhere", "HEAD", "cannot fetch HEAD of file:///nowhere"),
        ("http://user:CANARY@127.0.0.1:1/r", "HEAD", "cannot fetch"),
    ],
)
def test_bad_input_is_one_clear_line(source: str, ref: str, message: str, repo: Path, tmp_path: Path, git: Any) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    source = {"PLAIN": str(tmp_path / "plain"), "EMPTY": str(tmp_path / "empty"), "REPO": str(repo)}.get(source, source)
    with pytest.raises(TaskError, match=message) as caught:
        read_base_tree(source, ref)
    assert "\n" not in str(caught.value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(("issue", "test"), [(" \n", "true"), ("broken", "  ")])
def test_an_empty_issue_or_test_command_is_refused(issue: str, test: str, repo: Path) -> None:
    with pytest.raises(TaskError, match="empty"):
        RepositoryEnv.open(RepositorySource(repository=str(repo), issue=issue, test_command=test))


def test_a_task_names_no_host_and_no_user(repo: Path) -> None:
    env = RepositoryEnv.open(RepositorySource(repository=f"file://{repo}", issue="broken", ref="base"))
    (task,) = env.tasks()
    assert task.id.startswith("project-")
    assert str(repo) not in task.model_dump_json()


def test_the_same_files_make_the_same_commit() -> None:
    files = {"a.py": b"1\n", "b/c.py": b"2\n"}
    assert make_base_tree(files).commit == make_base_tree(dict(reversed(files.items()))).commit


async def test_a_sparse_checkout_gives_the_whole_commit(repo: Path, git: Any, box: Any, workdir: str) -> None:
    (repo / "far").mkdir()
    (repo / "far" / "x.py").write_text("x\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "more")
    git(repo, "sparse-checkout", "set", "--no-cone", "/old.py")
    assert not (repo / "far").exists()
    tree = read_base_tree(str(repo))
    await put_tree(box, workdir, tree)
    assert (tree.notes, Path(workdir, "far", "x.py").read_text()) == ((), "x\n")


def test_a_remote_repository_of_sha256_ids_is_fetched(tmp_path: Path, git: Any) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "wide")
    (tmp_path / "wide" / "x").write_text("x\n")
    git(tmp_path / "wide", "add", "-A")
    git(tmp_path / "wide", "commit", "-qm", "base")
    assert read_base_tree(f"file://{tmp_path}/wide").commit == git(tmp_path / "wide", "rev-parse", "HEAD")
