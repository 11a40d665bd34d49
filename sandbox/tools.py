"""Run programs of the host that heats drives, such as docker, skopeo and umoci."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a program ended, and what it printed."""

    code: int
    stdout: bytes
    stderr: bytes

    def last_lines(self, count: int = 4, limit: int = 600) -> str:
        """The last non-empty lines of its output, in one line of at most `limit` characters."""
        lines = (self.stdout + self.stderr).decode("utf-8", "replace").splitlines()
        return "; ".join([line.strip() for line in lines if line.strip()][-count:])[-limit:]


async def run_tool(argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str]) -> ToolResult:
    """Run a program without input; it is killed, with its children, if the caller is cancelled.

    Args:
        argv: program and arguments.
        timeout_s: time limit in seconds.
        env: its complete environment.

    Raises:
        TimeoutError: it did not end in time.
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return ToolResult(process.returncode or 0, stdout, stderr)
