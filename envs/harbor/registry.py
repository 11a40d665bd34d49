"""Data sets by name, from a registry file in Harbor's form: a list of data sets, each a list of tasks.

A task in a git repository is fetched once into the cache and kept by its commit, so that it never changes there.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath

import git
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator

from core.errors import first_problem
from core.textfile import read_text
from envs.basetree import GIT_ENVIRONMENT, git_errors, without_password
from envs.errors import TaskError

_PROTOCOLS = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
_PLAIN = ("-c", "core.hooksPath=/dev/null", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class RegistryTask(BaseModel):
    """A task of a data set: a folder in a git repository at a commit, or a folder on this machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    git_url: str | None = None
    git_commit_id: str | None = None
    path: str

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", name):
            raise ValueError(f"{name!r} is not the name of a task")
        return name

    @property
    def id(self) -> str:
        """Its id as a task."""
        local = self.git_url is None
        return Path(self.path).expanduser().resolve().name if local else self.name.replace("/", "__")


class RegistryDataset(BaseModel):
    """One version of a data set."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    tasks: tuple[RegistryTask, ...]


def find_tasks(registry: Path, dataset: str) -> Sequence[RegistryTask]:
    """The tasks of a data set.

    Args:
        registry: the registry file.
        dataset: `name@version`; without a version, `head` is taken, else the only version.

    Raises:
        TaskError: no such file, data set or version, or a file of another form.
    """
    if "/" in dataset:
        raise TaskError(
            f"{dataset} is a package of Harbor's hub, which heats cannot fetch: download it with "
            "`harbor datasets download` and name the directory"
        )
    try:
        found = TypeAdapter(tuple[RegistryDataset, ...]).validate_python(json.loads(read_text(registry)))
    except OSError as error:
        raise TaskError(f"{registry}: {error.strerror}") from None
    except ValidationError as error:
        raise TaskError(f"{registry}: {first_problem(error)}") from None
    except ValueError as error:
        raise TaskError(f"{registry} is not JSON: {error}") from None
    name, _, version = dataset.partition("@")
    versions = {one.version: one for one in found if one.name == name}
    if not versions:
        known = ", ".join(sorted({one.name for one in found})[:10]) or "no data sets"
        raise TaskError(f"{registry} has no data set {name}; it has {known}")
    chosen = versions.get(version or "head") or (next(iter(versions.values())) if len(versions) == 1 else None)
    if chosen is None or (version and chosen.version != version):
        what = f"no version {version} of {name}" if version else f"several versions of {name}"
        raise TaskError(
            f"{registry} has {what}: choose one of {', '.join(f'{name}@{one}' for one in sorted(versions))}"
        )
    if not chosen.tasks:
        raise TaskError(f"{name}@{chosen.version} has no tasks")
    return chosen.tasks


def directory_of(task: RegistryTask, registry: Path, cache: Path) -> Path:
    """The directory of a task, fetched if it is not in the cache. Blocks.

    Args:
        task: the task.
        registry: the registry file, to whose folder the paths of local tasks are relative.
        cache: heats' cache directory.

    Raises:
        TaskError: it cannot be fetched, or its repository does not hold it.
    """
    if task.git_url is None:
        return registry.parent / Path(task.path).expanduser()
    path = PurePosixPath(task.path)
    if path.is_absolute() or ".." in path.parts:
        raise TaskError(f"{task.name}: path {task.path} leads out of its repository")
    repository = cache / "harbor" / "git" / f"{_digest(task.git_url)}.git"
    commit = task.git_commit_id or _head(task.git_url)
    if not _COMMIT.fullmatch(commit):
        raise TaskError(f"{task.name}: git_commit_id {commit} is not the full id of a commit")
    place = cache / "harbor" / "tasks" / _digest(task.git_url, commit, str(path)) / task.id
    if not place.is_dir():
        with _alone(repository):
            if not place.is_dir():
                _fetch(repository, task.git_url, commit)
                _check_out(repository, task, commit, path, place)
    return place


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:20]


@contextmanager
def _alone(repository: Path) -> Iterator[None]:
    """Keep other processes from fetching into the same repository."""
    repository.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{repository}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _git(folder: Path, *arguments: str, **environment: str) -> str:
    """Run git without hooks, filters or questions."""
    env = {**GIT_ENVIRONMENT, **_PROTOCOLS, **environment}
    return str(git.Git(folder).execute(["git", *_PLAIN, *arguments], env=env))


def _head(url: str) -> str:
    with git_errors(f"cannot read {without_password(url)}"):
        found = _git(Path("/"), "ls-remote", "--", url, "HEAD").split()
    if not found:
        raise TaskError(f"{without_password(url)} has no HEAD: give the task a git_commit_id")
    return found[0]


def _fetch(repository: Path, url: str, commit: str) -> None:
    """Get a commit into the cached repository; a server that does not serve single commits is asked for everything."""
    if not (repository / "HEAD").is_file():
        repository.mkdir(exist_ok=True)
        with git_errors("cannot make a repository in the cache"):
            _git(repository, "init", "-q", "--bare", "--template=", ".")
    with git_errors(f"cannot fetch {commit[:12]} of {without_password(url)}"):
        try:
            _git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
            return
        except git.GitCommandError:
            pass
        wanted = ("fetch", "-q", "--no-tags", "--no-write-fetch-head")
        try:
            _git(repository, *wanted, "--depth=1", "--", url, commit)
        except git.GitCommandError:
            _git(repository, *wanted, "--", url, "+refs/*:refs/fetched/*")
            _git(repository, "cat-file", "-e", f"{commit}^{{commit}}")


def _check_out(repository: Path, task: RegistryTask, commit: str, path: PurePosixPath, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place.parent, prefix=".new-"))
    tree = commit if str(path) == "." else f"{commit}:{path}"
    try:
        with git_errors(f"{task.name}: {without_password(task.git_url or '')} at {commit[:12]} does not hold {path}"):
            (folder / "task").mkdir()
            where = {"GIT_DIR": repository, "GIT_WORK_TREE": folder / "task", "GIT_INDEX_FILE": folder / "index"}
            environment = {name: str(path.absolute()) for name, path in where.items()}
            _git(folder / "task", "read-tree", tree, **environment)
            _git(folder / "task", "checkout-index", "-a", **environment)
        os.replace(folder / "task", place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
