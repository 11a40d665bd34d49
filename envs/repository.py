"""One repository and one issue: the task behind `heats solve`. Without hidden tests, nothing is graded."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from pydantic import Field

from core.record import Record
from envs.base import Grade, Patch, Task
from envs.basetree import BaseTree, read_base_tree
from envs.errors import TaskError
from envs.machine import spec_for
from envs.setup import run_setup, secrets_of
from envs.worktree import put_tree, set_leftovers_aside, take_patch
from sandbox.base import Network, Sandbox, SandboxBackend, SandboxLimits, SetupNetwork
from sandbox.errors import FileAccessError
from sandbox.prepared import KeepsPrepared, prepare_once

MARK = ".git/heats-prepared"
"""File in a prepared sandbox with the key of its environment and the files that the set-up left in the tree."""


class RepositorySource(Record):
    """The repository, the issue, and how to run the tests.

    Attributes:
        repository: directory or URL; if it is a folder within a repository, commands run in that folder.
        issue: the issue's text.
        ref: commit, branch or tag that attempts start from.
        test_command: None if there are no tests to verify with.
        setup: command run after checkout; see `Task`.
        image: sandbox image; it needs git and whatever the commands use. If empty, the backend's default.
    """

    repository: str
    issue: str
    ref: str = "HEAD"
    test_command: str | None = None
    setup: str | None = None
    image: str = ""
    workdir: str = "/testbed"
    env: Mapping[str, str] = {}
    network: Network = "none"
    setup_network: SetupNetwork = "none"
    setup_env: tuple[str, ...] = ()
    toolbox: bool = False
    setup_timeout_s: float = Field(600.0, gt=0)
    test_timeout_s: float = Field(600.0, gt=0)


class RepositoryEnv:
    """An env with the single task of a `RepositorySource`."""

    name = "repository"
    grades = False
    """Whether `grade` may return a grade; envs that do not say so are asked."""
    Options = RepositorySource

    def __init__(self, task: Task, tree: BaseTree) -> None:
        self.task = task
        self.tree = tree
        self._leftovers: tuple[str, ...] = ()

    @classmethod
    def open(cls, source: RepositorySource) -> "RepositoryEnv":
        """Read the repository's tree at the ref. Blocks: call it in a thread.

        Raises:
            TaskError: no such repository, no commits, unknown ref, empty issue, empty test command.
        """
        if not source.issue.strip():
            raise TaskError("the issue is empty: describe what is wrong")
        if source.test_command is not None and not source.test_command.strip():
            raise TaskError("the test command is empty: give one, or leave it out")
        tree = read_base_tree(source.repository, source.ref)
        fields = source.model_dump(exclude={"repository", "issue", "ref"})
        fields["prepared"] = prepared_key(source, tree) if source.setup else ""
        task = Task(
            id=task_id(source.repository, tree.commit, source.issue),
            statement=source.issue,
            base_commit=tree.commit,
            folder=tree.folder,
            repository=repository_name(source.repository),
            **fields,
        )
        return cls(task, tree)

    @property
    def notes(self) -> tuple[str, ...]:
        """What may surprise the user: uncommitted changes, submodules, LFS."""
        return self.tree.notes

    def tasks(self) -> Sequence[Task]:
        """The single task."""
        return (self.task,)

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Check out the tree and run the set-up, unless the sandbox started from a prepared environment.

        Raises:
            SetupFailed, SandboxError
        """
        left = await _left_by_setup(task, sandbox)
        if left is None:
            held = await put_tree(sandbox, task.workdir, self.tree)
            await run_setup(task, sandbox)
            left = await set_leftovers_aside(sandbox, task.workdir) if task.setup or held else ()
        self._leftovers = left

    async def prepare_once(self, backend: SandboxBackend, limits: SandboxLimits) -> Sequence[str]:
        """See `PreparesOnce`. Without a set-up there is nothing to prepare.

        Raises:
            TaskError, SetupFailed, SandboxError
        """
        task = self.task
        if not task.setup:
            return ()
        if not isinstance(backend, KeepsPrepared):
            if task.setup_network != "none":
                raise TaskError(f"--setup-network: the sandbox backend {backend.name} cannot keep what a set-up leaves")
            return ()
        secrets, start = secrets_of(task), time.monotonic()

        async def fill(sandbox: Sandbox) -> None:
            await put_tree(sandbox, task.workdir, self.tree)
            await run_setup(task, sandbox, secrets=secrets)
            left = await set_leftovers_aside(sandbox, task.workdir)
            mark = json.dumps({"key": task.prepared, "left": left}).encode()
            await sandbox.write_file(f"{task.workdir}/{MARK}", mark)

        network = "host" if task.setup_network == "bridge" and backend.name == "bubblewrap" else task.setup_network
        if not await prepare_once(backend, spec_for(task, limits=limits), fill, network):
            return ()
        ran = f"the set-up ran once, in {time.monotonic() - start:.0f} s, and its result is kept"
        shared = "; it shared this machine's network" if network == "host" else ""
        return (ran + shared + ("" if network == "none" else "; sandboxes have none"),)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Take the attempt's diff.

        Raises:
            PatchRejected, SandboxError
        """
        return await take_patch(sandbox, task.workdir, self.tree, leftovers=self._leftovers)

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Return None: there are no hidden tests.

        Args:
            task: the single task.
            patch: the submission.
            backend: unused.
        """
        return None


async def open_repository(source: RepositorySource) -> RepositoryEnv:
    """Call `RepositoryEnv.open` in a thread."""
    return await asyncio.to_thread(RepositoryEnv.open, source)


async def _left_by_setup(task: Task, sandbox: Sandbox) -> tuple[str, ...] | None:
    """Files that the set-up left in the tree of a prepared sandbox; None if the sandbox is not prepared."""
    if not task.prepared:
        return None
    try:
        mark = json.loads(await sandbox.read_file(f"{task.workdir}/{MARK}"))
        return tuple(mark["left"]) if mark["key"] == task.prepared else None
    except (FileAccessError, ValueError, LookupError, TypeError):
        return None


def prepared_key(source: RepositorySource, tree: BaseTree) -> str:
    """Digest of everything that decides what a set-up leaves, except the content of the image.

    Args:
        source: the task's source.
        tree: its tree.
    """
    names = {"setup", "setup_network", "setup_env", "image", "workdir", "env", "network"}
    parts = [metadata.version("heats"), tree.commit, tree.folder, source.model_dump(mode="json", include=names)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def repository_name(repository: str) -> str:
    """Name of a repository given as a directory or URL, without user names or hosts."""
    name = Path(repository.rstrip("/").removesuffix(".git")).name or Path(repository).resolve().name
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "repository"


def task_id(repository: str, commit: str, issue: str) -> str:
    """`name-1a2b3c4d-5e6f7a8b`: the repository's name, its commit and its issue, without user names or hosts.

    Args:
        repository: directory or URL.
        commit: full commit id.
        issue: the issue's text.
    """
    return f"{repository_name(repository)}-{commit[:8]}-{hashlib.sha256(issue.encode()).hexdigest()[:8]}"
