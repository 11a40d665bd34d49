"""inspect_ai's conformance suite on our sandboxes; collected only in inspect_ai's own environment.

`test_conformance.py` runs it there (tests/tools/inspect.txt) as `python -m pytest --noconftest inspect_conformance.py`,
with HEATS_KIND set. The adapter shows what a sandbox provider for inspect_ai over heats would look like: their
protocol, our sandboxes.
"""

import asyncio
import os
import shlex
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentLimits,
    SandboxUserUnsupportedError,
)
from inspect_ai.util._sandbox.self_check import *  # noqa: F403 - the suite: 44 test functions

from sandbox import FileTooLarge, Sandbox, SandboxConfig, SandboxLimits, SandboxSpec, open_backend

KINDS = {
    "docker": ("docker", "heats-base:latest", "root"),
    "docker-uid": ("docker", "heats-base:latest", "1234:1234"),
    "bubblewrap": ("bubblewrap", "host", "root"),
}
_NO_DEADLINE_S = 600.0
_MIB = 1 << 20


class HeatsEnvironment(SandboxEnvironment):
    """One of our sandboxes behind inspect_ai's protocol."""

    def __init__(self, sandbox: Sandbox, user: str) -> None:
        self._sandbox = sandbox
        self._user = user

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        if user not in (None, self._user):
            raise SandboxUserUnsupportedError(f"{user}: the user is set once for a whole sandbox")
        result = await self._sandbox.exec(
            shlex.join(cmd),
            timeout=timeout or _NO_DEADLINE_S,
            cwd=cwd,
            env=env,
            stdin=input.encode() if isinstance(input, str) else input,
        )
        if result.status == "timeout":
            raise TimeoutError(f"not done within {timeout} s")
        out, err = result.stdout.decode("utf-8", "replace"), result.stderr.decode("utf-8", "replace")
        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        if max(result.stdout_total, result.stderr_total) > limit:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, out[:limit])
        if result.exit_code == 126 and "permission denied" in err.casefold():
            raise PermissionError(err)
        code = 1 if result.exit_code is None else result.exit_code
        return ExecResult(result.ok, code, out, err)

    async def write_file(self, file: str, contents: str | bytes) -> None:
        await self._sandbox.write_file(file, contents.encode() if isinstance(contents, str) else contents)

    async def read_file(self, file: str, text: bool = True) -> str | bytes:  # type: ignore[override]
        try:
            data = await self._sandbox.read_file(file, max_bytes=SandboxEnvironmentLimits.MAX_READ_FILE_SIZE)
        except FileTooLarge as error:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None) from error
        return data.decode() if text else data

    @classmethod
    async def sample_cleanup(
        cls, task_name: str, config: Any, environments: dict[str, SandboxEnvironment], interrupted: bool
    ) -> None:
        await asyncio.gather(*(one._sandbox.close() for one in environments.values() if isinstance(one, cls)))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox_env() -> AsyncIterator[SandboxEnvironment]:
    """One sandbox for the whole suite, as in inspect_ai's own runner."""
    name, image, user = KINDS[os.environ["HEATS_KIND"]]
    backend = await open_backend(SandboxConfig(backend=name, runtime=os.environ.get("HEATS_TESTS_RUNTIME")))  # type: ignore[arg-type]
    limits = SandboxLimits(memory_mb=2048, tmp_mb=256, output_bytes=10 * _MIB, max_life_s=600)
    workdir = "/testbed" if user == "root" else "/tmp/work"
    labels = {"run": "tests-sandbox"}
    sandbox = await backend.start(SandboxSpec(image=image, workdir=workdir, user=user, limits=limits, labels=labels))
    yield HeatsEnvironment(sandbox, user)
    await sandbox.close()
    await backend.close()
