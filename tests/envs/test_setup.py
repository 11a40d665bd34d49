"""A task's set-up: what it says when it fails, which secrets it sees, and what it leaves in the tree."""

import json
from pathlib import Path

import pytest
from little_repo import Repo

from envs.errors import SetupFailed, TaskError
from envs.machine import spec_for
from envs.repository import MARK, RepositoryEnv, RepositorySource, prepared_key
from envs.setup import run_setup, secrets_of
from envs.worktree import put_tree, set_leftovers_aside, take_patch

pytestmark = pytest.mark.asyncio


async def started(repo: Repo):
    box = await repo.bench.backend.start(spec_for(repo.env.task))
    await put_tree(box, repo.env.task.workdir, repo.env.tree)
    return box


async def test_a_failed_set_up_shows_its_last_lines_and_says_that_there_is_no_network(workdir: str) -> None:
    repo = Repo(workdir, {}, "true")
    task = repo.env.task.model_copy(update={"setup": "echo one; echo 'Temporary failure in name resolution'; exit 3"})
    with pytest.raises(SetupFailed) as failed:
        await run_setup(task, await started(repo))
    assert "exit code 3" in str(failed.value)
    assert "one | Temporary failure in name resolution" in str(failed.value)
    assert "--setup-network bridge" in str(failed.value)


async def test_npms_notices_do_not_push_its_error_out(workdir: str) -> None:
    error = "npm error code 128\nnpm error An unknown git error occurred\n"
    notices = "npm notice New minor version\n" * 5 + "npm error A complete log of this run can be found in: x.log"
    repo = Repo(workdir, {}, "true")
    task = repo.env.task.model_copy(update={"setup": f"echo '{error}{notices}'; exit 128"})
    with pytest.raises(SetupFailed, match="npm error code 128 \\| npm error An unknown git error occurred"):
        await run_setup(task, await started(repo))


async def test_a_secret_is_passed_to_the_set_up_and_not_shown_when_it_fails(workdir: str) -> None:
    repo = Repo(workdir, {}, "true")
    task = repo.env.task.model_copy(update={"setup": "echo at $INDEX; exit 1"})
    with pytest.raises(SetupFailed, match=r"at \$INDEX"):
        await run_setup(task, await started(repo), secrets={"INDEX": "https://user:hunter22@index"})


async def test_a_named_secret_that_is_not_set_is_an_error(workdir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Repo(workdir, {}, "true").env.task
    monkeypatch.delenv("NO_SUCH_INDEX", raising=False)
    with pytest.raises(TaskError, match="NO_SUCH_INDEX"):
        secrets_of(task.model_copy(update={"setup_env": ("NO_SUCH_INDEX",)}))


async def test_what_a_set_up_left_in_the_tree_is_no_part_of_a_patch(workdir: str) -> None:
    repo = Repo(workdir, {}, "true")
    box = await started(repo)
    await box.exec("mkdir gen; echo 1 >'gen/a [b] #!.c'; echo 2 >version.txt", timeout=120)
    left = await set_leftovers_aside(box, workdir)
    assert sorted(left) == ["gen/a [b] #!.c", "version.txt"]
    assert (await box.exec("git status --porcelain", timeout=120)).text() == ""
    await box.exec("echo new >gen/new.c", timeout=120)
    patch = await take_patch(box, workdir, repo.env.tree, leftovers=left)
    assert b"gen/new.c" in patch.data
    assert b"version.txt" not in patch.data
    assert b"[b]" not in patch.data


async def test_a_prepared_sandbox_is_not_set_up_again(workdir: str) -> None:
    repo = Repo(workdir, {}, "true")
    task = repo.env.task.model_copy(update={"setup": "echo ran >>ran", "prepared": "key"})
    env = RepositoryEnv(task, repo.env.tree)
    box = await started(repo)
    await box.write_file(f"{workdir}/{MARK}", json.dumps({"key": "key", "left": []}).encode())
    await env.prepare(task, box)
    assert not Path(workdir, "ran").exists()


async def test_the_key_of_an_environment_changes_with_whatever_decides_its_content(workdir: str) -> None:
    tree = Repo(workdir, {}, "true").env.tree
    source = RepositorySource(repository="/r", issue="i", setup="make", test_command="t")
    same = source.model_copy(update={"issue": "another", "test_command": "other"})
    assert prepared_key(source, tree) == prepared_key(same, tree)
    for change in ({"setup": "make all"}, {"image": "x"}, {"setup_network": "bridge"}, {"env": {"A": "1"}}):
        assert prepared_key(source.model_copy(update=change), tree) != prepared_key(source, tree)


async def test_the_toolbox_is_mounted_wherever_a_command_names_it(workdir: str) -> None:
    task = Repo(workdir, {}, "true").env.task
    path = "PYTHONPATH=/opt/heats/toolbox"
    named = [{"test_command": f"{path} python3 -m pytest"}, {"setup": f"{path} true"}, {"env": {"P": path[11:]}}]
    for changes in named:
        assert list(spec_for(task.model_copy(update=changes)).read_only_mounts.values()) == ["/opt/heats/toolbox"]
    assert not spec_for(task).read_only_mounts
