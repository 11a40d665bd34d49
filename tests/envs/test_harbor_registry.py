"""Harbor data sets by name: a registry file, and tasks in git repositories, fetched once by their commit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envs import open_env
from envs.errors import TaskError
from envs.harbor.registry import find_tasks
from heats.errors import UsageError
from heats.sweep.dataset import find_dataset

sys.path.insert(0, str(Path(__file__).parent))
from tiny_harbor import write_task


def git(folder, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def repository(tmp_path):
    """A repository of tasks, at its second commit, in which the task `answer` asks for something else."""
    folder = tmp_path / "repository"
    write_task(folder / "tasks")
    write_task(folder / "tasks", "other")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    (folder / "tasks/answer/instruction.md").write_text("Write another answer.\n")
    git(folder, "commit", "-qam", "second")
    return folder


def write_registry(tmp_path, *tasks, **more):
    datasets = [{"name": "tiny", "version": "1.0", "description": "", "tasks": list(tasks), **more}]
    path = tmp_path / "registry.json"
    path.write_text(
        json.dumps([*datasets, {**datasets[0], "name": "two"}, {**datasets[0], "name": "two", "version": "2"}])
    )
    return path


def entry(repository, commit="HEAD", **more):
    found = {"name": "answer", "git_url": str(repository), "path": "tasks/answer", **more}
    return {**found, "git_commit_id": git(repository, "rev-parse", commit)} if commit else found


def opened(registry, name="tiny@1.0", **options):
    return open_env("harbor", {"dataset": name, "registry": registry, **options})


@pytest.mark.parametrize(("commit", "asks"), [("HEAD~1", "the answer to"), ("HEAD", "another"), (None, "another")])
def test_a_task_is_what_it_was_at_its_commit(tmp_path, repository, commit, asks):
    (task,) = opened(write_registry(tmp_path, entry(repository, commit))).tasks()
    assert (task.id, asks in task.statement) == ("answer", True)


def test_a_fetched_task_stays_when_its_repository_is_gone(tmp_path, repository):
    registry = write_registry(tmp_path, entry(repository, git_url=f"file://{repository}"))
    opened(registry)
    repository.rename(tmp_path / "gone")
    assert [task.id for task in opened(registry, "tiny").tasks()] == ["answer"]


def test_only_what_is_wanted_is_fetched_and_local_tasks_are_beside_the_registry(tmp_path, repository):
    write_task(tmp_path / "here", "local")
    missing = {"name": "missing", "git_url": str(tmp_path / "nowhere"), "git_commit_id": "0" * 40, "path": "x"}
    registry = write_registry(tmp_path, entry(repository), missing, {"name": "x", "path": "here/local"})
    assert [task.id for task in opened(registry, only=["local", "answer"]).tasks()] == ["local", "answer"]
    with pytest.raises(TaskError, match=r"cannot fetch 000000000000 of .*nowhere"):
        opened(registry)
    with pytest.raises(TaskError, match=r"no task none in tiny@1\.0"):
        opened(registry, only=["none"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"path": "../etc"}, "leads out"),
        ({"path": "tasks/none"}, "does not hold tasks/none"),
        ({"git_commit_id": "main"}, "not the full id"),
        ({"git_commit_id": "0" * 40}, "cannot fetch"),
        ({"git_url": "ext::sh -c 'touch /tmp/heats-was-here'"}, "cannot fetch"),
        ({"name": "../a"}, "not the name of a task"),
    ],
)
def test_a_task_that_cannot_be_fetched_is_refused_with_the_reason(tmp_path, repository, change, why):
    with pytest.raises(TaskError, match=why):
        opened(write_registry(tmp_path, entry(repository) | change))
    assert not Path("/tmp/heats-was-here").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none@1", "no data set none; it has tiny, two"),
        ("tiny@3", "no version 3 of tiny: choose one of tiny@1.0"),
        ("two", "several versions of two: choose one of two@1.0, two@2"),
        ("org/name@latest", "package of Harbor's hub"),
    ],
)
def test_a_name_that_the_registry_does_not_hold_is_refused(tmp_path, name, why):
    with pytest.raises(TaskError, match=why):
        find_tasks(write_registry(tmp_path, {"name": "x", "path": "x"}), name)


@pytest.mark.parametrize("text", ["{}", "[{}]", "no"])
def test_a_registry_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(TaskError, match=r"registry\.json"):
        find_tasks(tmp_path / "registry.json", "tiny")


def test_names_on_the_command_line_lead_to_the_registry_or_to_what_is_missing(tmp_path):
    found = find_dataset("tiny@1.0", {"registry": tmp_path / "registry.json"})
    assert (found.env, found.options["dataset"]) == ("harbor", "tiny@1.0")
    for name, why in (("tiny@1.0", "-O registry"), ("org/tiny@1", "harbor datasets download")):
        with pytest.raises(UsageError, match=why):
            find_dataset(name, {})
