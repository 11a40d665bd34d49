"""Starting sandboxes for a task, and closing them whatever happens."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from envs.base import Env, Task
from sandbox.base import Sandbox, SandboxBackend, SandboxLimits, SandboxSpec


def spec_for(task: Task, labels: Mapping[str, str] | None = None, limits: SandboxLimits | None = None) -> SandboxSpec:
    """The sandbox that a task asks for.

    Args:
        labels: of the run and the rollout; the task's id is added.
    """
    return SandboxSpec(
        image=task.image,
        workdir=task.workdir,
        env=dict(task.env),
        labels={"task": task.id, **(labels or {})},
        limits=limits or SandboxLimits(),
        network=task.network,
    )


@asynccontextmanager
async def prepared(env: Env, task: Task, backend: SandboxBackend, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
    """A fresh sandbox with the task's tree in it and its set-up done; closed at the end.

    Raises:
        SetupFailed, SandboxError
    """
    sandbox = await backend.start(spec)
    try:
        await env.prepare(task, sandbox)
        yield sandbox
    finally:
        await sandbox.close()
