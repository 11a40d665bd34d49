"""Bombs stay in the sandbox that they went off in (S7-S11, X8, R12, R22)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import docker
import pytest

from sandbox import Sandbox, SandboxLost, SandboxStartError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kinds("docker")]

Start = Callable[..., Awaitable[Sandbox]]
SMALL = {"memory_mb": 128, "tmp_mb": 32, "pids": 64}
FORK_BOMB = ":(){ :|:& };:"
HOG = "python3 -c 'x = bytearray(1 << 29); import time; time.sleep(60)'"


async def test_a_memory_hog_is_reported_as_such_and_the_sandbox_goes_on(start: Start) -> None:
    sbx = await start(limits=SMALL)
    result = await sbx.exec(HOG, timeout=30)
    assert (result.status, result.exit_code) == ("oom", None)
    assert (await sbx.exec("echo alive", timeout=20)).stdout == b"alive\n"


async def test_a_kill_that_is_not_the_kernels_is_not_called_oom(start: Start) -> None:
    sbx = await start(limits=SMALL)
    await sbx.exec(HOG, timeout=30)
    result = await sbx.exec("kill -9 $$", timeout=20)
    assert (result.status, result.exit_code) == ("exited", 137)


@pytest.mark.kinds("docker", "docker-uid", "docker-busybox")
@pytest.mark.parametrize("bomb", [FORK_BOMB, f"({FORK_BOMB}) >/dev/null 2>&1 &", f"{FORK_BOMB} sleep 60"])
async def test_a_fork_bomb_is_swept_and_the_next_commands_work(start: Start, kind: Any, bomb: str) -> None:
    if not kind.python:
        bomb = bomb.replace(":", "b")  # ash takes no colon as a function's name
    sbx = await start(limits=SMALL)
    await sbx.exec(bomb, timeout=1, merge_stderr=True)
    began = time.monotonic()
    results = [await sbx.exec("echo alive", timeout=20) for _ in range(3)]
    # The bomb may take the very next command with it, but it must not be taken for a success then.
    assert [result.stdout for result in results if result.status == "exited"][-1] == b"alive\n"
    assert all(result.status in ("exited", "indeterminate") for result in results)
    await sbx.kill_all()
    count = await sbx.exec("ls -d /proc/[0-9]* | wc -l", timeout=20)
    assert int(count.stdout) < 10
    assert time.monotonic() - began < 20


async def test_scratch_space_ends_where_the_spec_says(start: Start) -> None:
    sbx = await start(limits=SMALL)
    result = await sbx.exec("head -c 67108864 /dev/zero >/tmp/fill; stat -c %s /tmp/fill; rm /tmp/fill", timeout=30)
    assert int(result.stdout) <= 32 << 20


async def test_more_scratch_space_than_memory_is_refused(start: Start) -> None:
    with pytest.raises(SandboxStartError, match="tmpfs is memory"):
        await start(limits={"memory_mb": 128, "tmp_mb": 256})


async def test_a_machine_that_dies_under_a_command_is_lost(start: Start, daemon: docker.DockerClient) -> None:
    sbx = await start()
    task = asyncio.create_task(sbx.exec("sleep 60", timeout=90))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(daemon.api.kill, sbx.machine.name)
    with pytest.raises(SandboxLost):
        await asyncio.wait_for(task, 20)
    with pytest.raises(SandboxLost):
        await asyncio.wait_for(sbx.exec("true", timeout=5), 20)


async def test_a_sandbox_ends_by_itself(start: Start, daemon: docker.DockerClient) -> None:
    sbx = await start(limits={"max_life_s": 2})
    for _ in range(100):
        if not daemon.api.containers(all=True, filters={"name": sbx.machine.name}):
            break
        await asyncio.sleep(0.1)
    with pytest.raises(SandboxLost):
        await sbx.exec("true", timeout=5)


@pytest.mark.slow
async def test_four_bombs_of_each_kind_leave_twelve_neighbours_alone(start: Start) -> None:
    sandboxes = await asyncio.gather(*(start(limits={**SMALL, "cpus": 0.25}) for _ in range(16)))
    fill = "head -c 1073741824 /dev/zero >/tmp/fill"
    bombs = [sbx.exec(f"({FORK_BOMB}); {fill}; {HOG}", timeout=4) for sbx in sandboxes[:4]]

    async def neighbour(sbx: Sandbox) -> list[bytes]:
        return [(await sbx.exec(f"echo {n}", timeout=30)).stdout for n in range(20)]

    *_, peaceful = await asyncio.gather(*bombs, asyncio.gather(*(neighbour(sbx) for sbx in sandboxes[4:])))
    assert peaceful == [[b"%d\n" % n for n in range(20)]] * 12
