"""A timeout acts inside the sandbox and leaves nothing behind; what a command leaves running is known."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from sandbox import Sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.contract]

Start = Callable[..., Awaitable[Sandbox]]

# The marker is an argument that no other process has; `[7]` keeps a search from finding itself.
SHAPES = {
    "plain": "sleep 7771",
    "background": "sleep 7771 & wait",
    "nohup": "nohup sleep 7771 >/dev/null 2>&1 & sleep 7771",
    "setsid": "setsid sleep 7771 & sleep 7771",
    "double fork": "(setsid sh -c '(sleep 7771 &) ; sleep 7771' &) ; sleep 7771",
    "ignores TERM": "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 7771; done\" & while :; do sleep 7771; done",
}
SURVIVORS = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 777[1]'"


async def survivors(sbx: Sandbox) -> int:
    return int((await sbx.exec(SURVIVORS, timeout=120)).stdout or b"-1")


@pytest.mark.parametrize("shape", SHAPES)
async def test_nothing_survives_a_timeout(sbx: Sandbox, shape: str) -> None:
    began = time.monotonic()
    result = await sbx.exec(f"echo partial; {SHAPES[shape]}", timeout=1)
    assert time.monotonic() - began < 60
    assert (result.status, result.exit_code, result.stdout) == ("timeout", None, b"partial\n")
    assert await survivors(sbx) == 0


async def test_a_timeout_spares_what_earlier_commands_left_running(sbx: Sandbox, kind: object) -> None:
    await sbx.exec("sleep 7771 >/dev/null 2>&1 &", timeout=120)
    assert (await sbx.exec("sleep 50", timeout=0.5)).status == "timeout"
    assert await survivors(sbx) == (1 if kind.isolated else 0)
    await sbx.kill_all()
    assert await survivors(sbx) == 0


async def test_output_up_to_the_timeout_is_kept_while_more_is_coming(sbx: Sandbox) -> None:
    result = await sbx.exec("while :; do echo x; sleep 0.1; done", timeout=1, merge_stderr=True)
    assert result.status == "timeout"
    assert result.stdout.startswith(b"x\nx\n")


async def test_a_daemon_that_holds_the_output_does_not_hold_the_caller(sbx: Sandbox) -> None:
    began = time.monotonic()
    result = await sbx.exec("sleep 7771 & echo hi", timeout=120)
    assert time.monotonic() - began < 60
    assert (result.status, result.stdout, result.left_running) == ("exited", b"hi\n", 1)
    assert await survivors(sbx) == 1
    await sbx.kill_all()
    assert await survivors(sbx) == 0


async def test_a_daemon_cannot_write_into_a_later_commands_output(sbx: Sandbox) -> None:
    await sbx.exec("(while :; do echo noise; echo noise >&2; sleep 0.05; done) & echo started", timeout=120)
    await asyncio.sleep(0.2)
    for _ in range(3):
        result = await sbx.exec("sleep 0.2; echo mine", timeout=120)
        assert (result.stdout, result.stderr) == (b"mine\n", b"")
    await sbx.kill_all()


async def test_a_quiet_daemon_costs_nothing(sbx: Sandbox) -> None:
    fastest = 60.0  # of several, since a busy machine slows any one of them
    for _ in range(8):
        result = await sbx.exec("sleep 7771 >/dev/null 2>&1 & echo hi", timeout=120)
        assert (result.left_running, result.stdout) == (1, b"hi\n")
        fastest = min(fastest, result.duration_s)
        await sbx.kill_all()
    assert fastest < 0.25


async def test_what_is_still_being_written_when_the_shell_ends_is_kept(sbx: Sandbox) -> None:
    result = await sbx.exec("(sleep 0.1; echo late) & echo early", timeout=120)
    assert result.stdout == b"early\nlate\n"


async def test_a_cancelled_caller_leaves_no_process(sbx: Sandbox) -> None:
    task = asyncio.create_task(sbx.exec("setsid sleep 7771 & sleep 7771", timeout=60))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert await survivors(sbx) == 0


async def test_a_jump_of_the_wall_clock_changes_nothing(sbx: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    result = await sbx.exec("sleep 0.1", timeout=60)
    assert result.ok
    assert 0 < result.duration_s < 60


@pytest.mark.slow
@pytest.mark.kinds("docker", "bubblewrap")
async def test_five_times_six_shapes_leave_no_survivor(sbx: Sandbox) -> None:
    for _ in range(5):
        for command in SHAPES.values():
            began = time.monotonic()
            assert (await sbx.exec(command, timeout=0.3)).status == "timeout"
            assert time.monotonic() - began < 60
    assert await survivors(sbx) == 0
