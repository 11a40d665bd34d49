"""One repository and one issue: the task behind `heats solve`. Without hidden tests, nothing is graded."""

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from core.record import Record
from envs.base import Grade, Patch, Task
from envs.basetree import BaseTree, read_base_tree
from envs.errors import SetupFailed, TaskError
from envs.gitscripts import describe
from envs.worktree import put_tree, take_patch
from sandbox.base import Network, Sandbox, SandboxBackend


class RepositorySource(Record):
    """The repository, the issue, and how to run the tests.

    Attributes:
        repository: directory or URL; if it is a folder within a repository, commands run in that folder.
        issue: the issue's text.
        ref: commit, branch or tag that attempts start from.
        test_command: None if there are no tests to verify with.
        setup: command run once in every fresh sandbox, after checkout.
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
        task = Task(
            id=task_id(source.repository, tree.commit, source.issue),
            statement=source.issue,
            base_commit=tree.commit,
            folder=tree.folder,
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
        """Check out the tree and run the set-up.

        Raises:
            SetupFailed, SandboxError
        """
        await put_tree(sandbox, task.workdir, self.tree)
        await run_setup(task, sandbox)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Take the attempt's diff.

        Raises:
            PatchRejected, SandboxError
        """
        return await take_patch(sandbox, task.workdir, self.tree)

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


async def run_setup(task: Task, sandbox: Sandbox) -> None:
    """Run a task's set-up command, if it has one.

    Raises:
        SetupFailed, SandboxError
    """
    if not task.setup:
        return
    result = await sandbox.exec(task.setup, timeout=task.setup_timeout_s, cwd=task.runs_in, merge_stderr=True)
    await sandbox.kill_all()
    if not result.ok:
        raise SetupFailed(f"the set-up command failed in the sandbox: {task.setup} ({describe(result)})")


def task_id(repository: str, commit: str, issue: str) -> str:
    """`name-1a2b3c4d-5e6f7a8b`: the repository's name, its commit and its issue, without user names or hosts.

    Args:
        repository: directory or URL.
        commit: full commit id.
        issue: the issue's text.
    """
    name = Path(repository.rstrip("/").removesuffix(".git")).name or Path(repository).resolve().name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "repository"
    return f"{slug}-{commit[:8]}-{hashlib.sha256(issue.encode()).hexdigest()[:8]}"
