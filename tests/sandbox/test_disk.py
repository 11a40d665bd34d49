"""A sandbox that fills the disk is stopped, says why, and affects nobody else."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sandbox import DiskLimitExceeded, SandboxBackend, SandboxConfig, SandboxError, SandboxStartError, open_backend
from sandbox.diskwatch import DiskWatch
from sandbox.fake import FakeSandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")
on_disk = pytest.mark.kinds("docker", "bubblewrap")

LIMITS = {"disk_mb": 48, "max_life_s": 300}
FILL = "i=0; while :; do head -c 2097152 /dev/zero >fill.$i; i=$((i+1)); sleep 0.02; done"


@pytest_asyncio.fixture(loop_scope="module")
async def watched(kind: Any, tmp_path: Path) -> AsyncIterator[SandboxBackend]:
    config = {"backend": kind.backend, "scratch_dir": tmp_path / "scratch", "disk_check_s": 0.3}
    backend = await open_backend(SandboxConfig.model_validate(config))
    yield backend
    await backend.close()


@on_disk
async def test_a_sandbox_that_writes_too_much_is_ended_and_its_neighbour_is_not(
    watched: SandboxBackend, kind: Any
) -> None:
    sbx, neighbour = [await watched.start(kind.spec(limits=LIMITS)) for _ in range(2)]
    began = time.monotonic()
    try:
        await neighbour.exec("head -c 20971520 /dev/zero >fine", timeout=120)
        with pytest.raises(DiskLimitExceeded, match="48 MiB"):
            await sbx.exec(FILL, timeout=60)
        assert time.monotonic() - began < 30
        with pytest.raises(DiskLimitExceeded):
            await sbx.exec("echo again", timeout=5)
        assert (await neighbour.exec("wc -c <fine", timeout=120)).stdout.strip() == b"20971520"
    finally:
        await sbx.close()
        await neighbour.close()


@on_disk
async def test_files_that_outlive_their_command_count(watched: SandboxBackend, kind: Any) -> None:
    sbx = await watched.start(kind.spec(limits=LIMITS))
    try:
        with pytest.raises(DiskLimitExceeded):
            await sbx.exec("for i in 1 2 3; do head -c 20971520 /dev/zero >fill.$i; done", timeout=120)
            for _ in range(100):
                await sbx.exec("sleep 0.3", timeout=120)
    finally:
        await sbx.close()


@on_disk
async def test_one_file_ends_at_the_limit_at_once(watched: SandboxBackend, kind: Any) -> None:
    sbx = await watched.start(kind.spec(limits={**LIMITS, "disk_mb": 8, "tmp_mb": 64}))
    try:
        result = await sbx.exec("head -c 33554432 /dev/zero >/tmp/big; wc -c </tmp/big", timeout=120)
        assert int(result.stdout) == 8 << 20
    finally:
        await sbx.close()


@on_disk
async def test_nothing_is_started_on_a_disk_that_is_nearly_full(kind: Any, tmp_path: Path) -> None:
    config = {"backend": kind.backend, "scratch_dir": tmp_path / "scratch", "free_floor_mb": 10**9}
    backend = await open_backend(SandboxConfig.model_validate(config))
    try:
        with pytest.raises(SandboxStartError, match="free_floor_mb"):
            await backend.start(kind.spec())
    finally:
        await backend.close()


class Watchable(FakeSandbox):
    """A sandbox that only reports how it was stopped."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.spec, self.machine, self.ended = kind.spec(limits=LIMITS), self, ""
        self.name = "one"

    async def end_with(self, error: SandboxError) -> None:
        self.ended, self.closed = str(error), True


@pytest.mark.kinds("local")
async def test_a_look_that_fails_concludes_nothing_and_the_next_one_counts(kind: Any) -> None:
    looks = [SandboxError("the daemon is away"), OSError("no du"), {}, {"one": 48 << 20}, {"one": (48 << 20) + 1}]

    async def measure(names: Any) -> Any:
        seen = looks.pop(0)
        if isinstance(seen, Exception):
            raise seen
        return seen

    watch, sandbox = DiskWatch(measure, 0.01), Watchable(kind)
    watch.add(sandbox)
    for _ in range(100):
        await asyncio.sleep(0.01)
        assert not (sandbox.ended and looks)
    assert "48 MiB" in sandbox.ended
    await watch.close()
