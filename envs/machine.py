"""Start sandboxes for a task, and close them whatever happens."""

import posixpath
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from envs.base import Env, Task
from sandbox.base import (
    ExecResult,
    Sandbox,
    SandboxBackend,
    SandboxLimits,
    SandboxSpec,
    SharedFolder,
    SharesFolder,
)
from sandbox.config import cache_directory
from sandbox.toolbox import TOOLBOX, toolbox_directory


def spec_for(task: Task, labels: Mapping[str, str] | None = None, limits: SandboxLimits | None = None) -> SandboxSpec:
    """Specification of the sandbox that a task asks for.

    Args:
        task: the task.
        labels: labels of the run and the rollout; the task's id is added.
        limits: limits that apply where the task sets none.

    Raises:
        BackendUnavailable: the task wants the toolbox, which cannot be built here.
    """
    limits, asked = limits or SandboxLimits(), task.machine
    wanted = {"cpus": asked.cpus, "memory_mb": asked.memory_mb, "pids": asked.pids}
    wanted["max_life_s"] = max(asked.life_s, limits.max_life_s)
    named = any(TOOLBOX in (command or "") for command in (task.test_command, task.setup, *task.env.values()))
    mounts = {str(toolbox_directory(cache_directory())): TOOLBOX} if task.toolbox or named else {}
    return SandboxSpec(
        image=task.image,
        workdir=task.workdir,
        env=dict(task.env),
        labels={"task": task.id, **(labels or {})},
        limits=limits.model_copy(update={name: value for name, value in wanted.items() if value is not None}),
        network=task.network,
        prepared=task.prepared,
        read_only_mounts=mounts,
        user=asked.user,
        profile=asked.profile,
    )


@asynccontextmanager
async def prepared(env: Env, task: Task, backend: SandboxBackend, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
    """Open a fresh sandbox with the task's tree and set-up in place; close it at the end.

    Args:
        env: env that prepares the sandbox.
        task: the task.
        backend: starts the sandbox.
        spec: specification of the sandbox.

    Raises:
        SetupFailed, SandboxError
    """
    sandbox = await backend.start(spec)
    try:
        await env.prepare(task, sandbox)
        yield sandbox
    finally:
        await sandbox.close()


@dataclass(frozen=True, slots=True)
class StartsIn:
    """A sandbox whose commands and relative paths start in another directory, such as `Task.folder`."""

    sandbox: Sandbox
    directory: str

    @property
    def shared(self) -> SharedFolder | None:
        """See `SharesFolder.shared`."""
        return self.sandbox.shared if isinstance(self.sandbox, SharesFolder) else None

    async def exec(self, command: str, *, cwd: str | None = None, **options: Any) -> ExecResult:
        """Run a command in `directory` unless `cwd` is given; see `Sandbox.exec`."""
        return await self.sandbox.exec(command, cwd=cwd or self.directory, **options)

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        """Read a file; see `Sandbox.read_file`."""
        return await self.sandbox.read_file(posixpath.join(self.directory, path), max_bytes=max_bytes)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file; see `Sandbox.write_file`.

        Args:
            path: absolute, or relative to `directory`.
            data: contents.
            mode: permission bits.
        """
        await self.sandbox.write_file(posixpath.join(self.directory, path), data, mode=mode)

    async def kill_all(self) -> None:
        """See `Sandbox.kill_all`."""
        await self.sandbox.kill_all()

    async def close(self) -> None:
        """See `Sandbox.close`."""
        await self.sandbox.close()
