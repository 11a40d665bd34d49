"""A test double of the sandbox: plain processes in separate directories, without any isolation.

It implements the Sandbox protocol, so that envs can be tested without Docker or bubblewrap. Only trusted code runs in
it.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from sandbox.base import ExecResult, Sandbox, SandboxSpec
from sandbox.errors import FileTooLarge, NotARegularFile, SandboxFileNotFound


class ProcessSandbox:
    """Runs a test's commands as processes of this machine; all files are below a directory of the test."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.groups: list[int] = []

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        merge_stderr: bool = False,
        trusted_exit: bool = False,
    ) -> ExecResult:
        started = time.monotonic()
        if not os.path.isdir(os.path.join(self.spec.workdir, cwd or "")):
            return ExecResult("exited", 125, b"cannot change directory")
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            cwd=os.path.join(self.spec.workdir, cwd or ""),
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **self.spec.env, **(env or {})},
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
            start_new_session=True,
        )
        self.groups.append(process.pid)
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            await self.kill_all()
            await process.wait()
            return ExecResult("timeout", None, b"")
        code = process.returncode or 0
        code = code if code >= 0 else 128 - code
        took = time.monotonic() - started
        return ExecResult("exited", code, out, err or b"", len(out), 0, took, trusted=trusted_exit)

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        file = Path(path)
        if file.is_symlink() or file.is_dir():
            raise NotARegularFile(path)
        if not file.exists():
            raise SandboxFileNotFound(path)
        if file.stat().st_size > max_bytes:
            raise FileTooLarge(path)
        return file.read_bytes()

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)

    async def kill_all(self) -> None:
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.groups.clear()

    async def close(self) -> None:
        await self.kill_all()
        subprocess.run(["rm", "-rf", self.spec.workdir], check=True)


class ProcessBackend:
    """Starts `ProcessSandbox`es; the workdir is emptied first, so only one may run at a time."""

    name = "processes"

    def __init__(self) -> None:
        self.started: list[SandboxSpec] = []

    async def preflight(self, images: Collection[str]) -> None:
        return None

    async def start(self, spec: SandboxSpec) -> Sandbox:
        self.started.append(spec)
        subprocess.run(["rm", "-rf", spec.workdir], check=True)
        Path(spec.workdir).mkdir(parents=True)
        return ProcessSandbox(spec)

    async def reap(self) -> int:
        return 0

    async def close(self) -> None:
        return None
