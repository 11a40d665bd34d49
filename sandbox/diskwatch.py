"""Terminate sandboxes that fill the disk.

Quotas on a container's writable layer need a file system that few machines have, so usage is measured from outside at
intervals. Independently, the kernel limits each single file at once (RLIMIT_FSIZE).
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from sandbox.errors import DiskLimitExceeded, SandboxError, SandboxStartError
from sandbox.session import ChannelSandbox

_log = logging.getLogger(__name__)

Measure = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]
"""Maps names of sandboxes to the bytes each occupies on disk."""

_SHARE = 0.2


class DiskWatch:
    """Periodically measures all sandboxes of a backend, as long as there are any.

    Args:
        measure: may omit sandboxes or raise SandboxError or OSError, in which case nothing is concluded.
        interval_s: seconds between measurements; stretched if measuring is slow, so that it takes at most a fifth of
            the time.
    """

    def __init__(self, measure: Measure, interval_s: float) -> None:
        self._measure = measure
        self._interval_s = interval_s
        self._watched: dict[str, ChannelSandbox] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, sandbox: ChannelSandbox) -> None:
        """Watch a sandbox until it is closed."""
        self._watched[sandbox.machine.name] = sandbox
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching."""
        self._watched.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        pause = self._interval_s
        while True:
            await asyncio.sleep(pause)
            self._watched = {name: sandbox for name, sandbox in self._watched.items() if not sandbox.closed}
            if not self._watched:
                return
            began = time.monotonic()
            try:
                await self._look()
            except (SandboxError, OSError) as error:
                _log.warning("the disk use of sandboxes could not be measured: %s", error)
            pause = max(self._interval_s, (time.monotonic() - began) * (1 / _SHARE - 1))

    async def _look(self) -> None:
        for name, written in (await self._measure(tuple(self._watched))).items():
            sandbox = self._watched.get(name)
            if sandbox is not None and written > sandbox.spec.limits.disk_mb << 20:
                _log.warning("%s wrote %d MiB and is stopped", name, written >> 20)
                limit = f"more than {sandbox.spec.limits.disk_mb} MiB on the disk (disk_mb)"
                await sandbox.end_with(DiskLimitExceeded(f"{name} wrote {limit}: {written >> 20} MiB"))


def refuse_below_floor(directory: Path, floor_mb: int) -> None:
    """Refuse to start a sandbox on a nearly full disk; a directory that cannot be inspected passes.

    Raises:
        SandboxStartError: less than `floor_mb` MiB are free.
    """
    try:
        about = os.statvfs(directory)
    except OSError:
        return
    free_mb = (about.f_bavail * about.f_frsize) >> 20
    if free_mb < floor_mb:
        raise SandboxStartError(f"{free_mb} MiB are free in {directory}, below free_floor_mb ({floor_mb})")
