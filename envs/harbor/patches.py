"""Patches as submissions of Harbor tasks whose agent works in a git repository."""

import weakref

from envs.base import Grade, Patch, Task
from envs.errors import SetupFailed, TaskError
from envs.swebench.history import Base, snapshot
from envs.worktree import apply_patch, take_patch
from sandbox.base import Sandbox
from sandbox.images import as_user

BASE = "HEAD"
"""What patches apply to; which commit that is, only the image knows."""
_IS_REPOSITORY = "[ -d .git ] && git -c safe.directory='*' rev-parse -q --verify 'HEAD^{commit}' >/dev/null"


class ShippedTrees:
    """The trees as the tasks' images ship them, each kept as long as a sandbox that started from it."""

    def __init__(self) -> None:
        self._by_task: weakref.WeakValueDictionary[str, Base] = weakref.WeakValueDictionary()
        self._by_sandbox: weakref.WeakKeyDictionary[Sandbox, Base] = weakref.WeakKeyDictionary()

    async def record(self, task: Task, sandbox: Sandbox) -> None:
        """Remember the tree of a fresh sandbox, uncommitted changes of the image included.

        Raises:
            SetupFailed: the working directory is no git repository.
            SandboxError
        """
        async with as_user(sandbox, "0") as root:
            if not (await root.exec(_IS_REPOSITORY, timeout=60)).ok:
                raise SetupFailed(
                    f"submission=patch: in the task's image, {task.workdir} is not the top of a git repository with a "
                    "commit; leave the option out to grade the machine's state"
                )
            known = self._by_task.get(task.id)
            tree = await snapshot(root, task.workdir, known.tree if known else None)
        base = known if known is not None and known.tree is tree else Base(tree)
        self._by_task[task.id] = self._by_sandbox[sandbox] = base

    async def patch(self, task: Task, sandbox: Sandbox) -> Patch:
        """Diff an attempt against the tree that its sandbox started with.

        Raises:
            PatchRejected, SandboxError
        """
        base = self._by_sandbox.get(sandbox)
        if base is None:
            raise TaskError(f"{task.id}: this sandbox was not prepared by this env")
        return await take_patch(sandbox, task.workdir, base.tree)


async def put_patch(task: Task, patch: Patch, sandbox: Sandbox) -> Grade | None:
    """Apply a patch in a fresh sandbox, where it is then graded like an attempt; else the grade is known.

    Args:
        task: the task.
        patch: the submission.
        sandbox: fresh sandbox of the task's image.

    Raises:
        SandboxError
    """
    problem = await apply_patch(sandbox, task.workdir, patch) if patch else None
    return Grade(task_id=task.id, outcome="fail", reason=f"the patch does not apply: {problem}") if problem else None
