"""Commands that follow each other from one place are run by one worker, and nothing of one reaches the next."""

import asyncio
import contextlib
from typing import Any

import pytest

from sandbox import Sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kinds("docker", "bubblewrap", "local")]


@pytest.fixture(autouse=True)
def needs_pipes(kind: Any) -> None:
    if kind.own_kernel:
        pytest.skip("its kernel opens no named pipe of this machine's")


async def parent(sbx: Sandbox, command: str = ":", **settings: Any) -> int:
    """Who ran the command."""
    return int((await sbx.exec(f"{command}; echo $PPID", timeout=20, **settings)).stdout)


async def worker(sbx: Sandbox) -> int:
    """The one that runs commands from here."""
    return [await parent(sbx) for _ in range(3)][-1]


async def test_commands_from_one_place_share_a_worker_from_the_second_on(sbx: Sandbox) -> None:
    first, *later = [await parent(sbx, cwd="/etc") for _ in range(5)]
    assert (len(set(later)), first in later) == (1, False)
    elsewhere = [await parent(sbx, cwd=folder) for folder in ("/", "/usr", "/")]
    assert len({*elsewhere, *later}) == 4
    assert await parent(sbx, cwd="/etc") == later[0]


async def test_nothing_of_one_environment_reaches_another(sbx: Sandbox) -> None:
    show = 'echo "$PATH|$IFS|$A|$B|$PWD|$OLDPWD"'
    plain = (await sbx.exec(show, timeout=20, cwd="/usr")).stdout
    for env in ({"A": "1", "PATH": "/bin:/usr/bin", "IFS": "x"}, {"B": "two\nlines"}):
        seen = {(await sbx.exec(show, timeout=20, cwd="/usr", env=env)).stdout for _ in range(4)}
        assert len(seen) == 1
        assert seen != {plain}
        for _ in range(4):
            assert (await sbx.exec(show, timeout=20, cwd="/usr")).stdout == plain


async def test_what_is_left_running_is_kept_from_the_next_command_by_the_supervisor(sbx: Sandbox) -> None:
    usual = await worker(sbx)
    assert (await sbx.exec("sleep 7773 >/dev/null 2>&1 &", timeout=20)).left_running == 1
    assert usual not in [await parent(sbx) for _ in range(3)]
    assert (await sbx.exec("sleep 60", timeout=0.3)).status == "timeout"
    await sbx.kill_all()
    assert (await sbx.exec(":", timeout=20)).left_running == 0
    assert await worker(sbx) == await worker(sbx)


@pytest.mark.parametrize("fate", ["kill -9", pytest.param("kill -STOP", marks=pytest.mark.slow)])
async def test_a_worker_that_is_killed_or_stopped_while_it_waits_is_replaced(sbx: Sandbox, fate: str) -> None:
    usual = await worker(sbx)
    # By somebody that the worker does not know of, since it is gone when the command ends.
    killer = f"setsid sh -c 'sleep 0.3; exec {fate} {usual}' >/dev/null 2>&1 &"
    await sbx.exec(killer, timeout=20)
    await sbx.exec("sleep 0.6", timeout=20)
    results = [await sbx.exec("echo here", timeout=1.5 if n == 0 else 20) for n in range(4)]
    assert [result.status for result in results][1:] == ["exited"] * 3
    assert results[0].status in ("exited", "timeout", "indeterminate")
    assert await worker(sbx) != usual


async def test_a_worker_that_ends_in_the_middle_of_a_command_has_not_finished_it(sbx: Sandbox) -> None:
    usual = await worker(sbx)
    result = await sbx.exec("echo before; sleep 7774 & kill -9 $PPID; sleep 7774", timeout=20)
    assert (result.status, result.stdout) == ("indeterminate", b"before\n")
    assert (await sbx.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 777[4]'", timeout=20)).exit_code
    assert await worker(sbx) != usual


async def test_a_cancelled_command_leaves_a_worker_or_none_but_never_a_late_command(sbx: Sandbox) -> None:
    for pause in (0.0, 0.001, 0.01, 0.1):
        await worker(sbx)
        task = asyncio.create_task(sbx.exec("echo early; sleep 7775; echo late", timeout=60))
        await asyncio.sleep(pause)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)
        assert (await sbx.exec("echo mine", timeout=20)).stdout == b"mine\n"


async def test_a_caller_who_leaves_while_a_worker_is_hired_leaves_no_word_of_that(sbx: Sandbox) -> None:
    for number in range(12):
        folder = ("/usr", "/etc")[number % 2]
        await sbx.exec(":", timeout=20, cwd=folder)
        task = asyncio.create_task(sbx.exec("echo early", timeout=60, cwd=folder))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        seen = await sbx.exec("echo mine", timeout=20, cwd=folder)
        assert (seen.status, seen.stdout) == ("exited", b"mine\n")


@pytest.mark.kinds("local")
async def test_a_worker_ends_with_its_sandbox(kind: Any, backend: Any) -> None:
    sandbox = await backend.start(kind.spec())
    usual = await worker(sandbox)
    await sandbox.close()
    for _ in range(50):
        with contextlib.suppress(FileNotFoundError):
            status = await asyncio.to_thread(open, f"/proc/{usual}/stat")
            with status:
                if status.read().rsplit(")", 1)[1].split()[0] != "Z":
                    await asyncio.sleep(0.1)
                    continue
        return
    raise AssertionError("it is still there")
