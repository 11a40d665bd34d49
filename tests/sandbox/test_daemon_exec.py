"""Commands whose exit code is reported by the Docker daemon, because they could reach the supervisor."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox import ExecResult, Sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kinds("docker")]

Start = Callable[..., Awaitable[Sandbox]]
SURVIVORS = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 777[6]'"


async def run(sbx: Sandbox, command: str, **settings: Any) -> ExecResult:
    """Request a trusted exit if only the daemon can provide it."""
    result = await sbx.exec(command, trusted_exit=True, **{"timeout": 20, **settings})
    assert result.trusted
    return result


async def test_results_are_those_of_any_other_command(start: Start) -> None:
    sbx = await start(profile="machine", env={"A": "spec"})
    result = await run(sbx, "echo out; echo err >&2; exit 3")
    assert (result.status, result.exit_code, result.stdout, result.stderr) == ("exited", 3, b"out\n", b"err\n")
    assert (await run(sbx, "echo $A$B; pwd", env={"B": " it's"}, cwd="/etc")).stdout == b"spec it's\n/etc\n"
    merged = await run(sbx, "echo 1; echo 2 >&2; echo 3", merge_stderr=True)
    assert (merged.stdout, merged.stderr) == (b"1\n2\n3\n", b"")
    assert (await run(sbx, "cat", stdin=b"\0fed\xff")).stdout == b"\0fed\xff"
    assert (await run(sbx, "cat; read x; echo $?")).stdout == b"1\n"
    assert (await run(sbx, "kill -9 $$")).exit_code == 137
    assert (await run(sbx, "true", cwd="/no/such")).exit_code == 126
    long = await run(sbx, "head -c 10485760 /dev/zero")
    assert (long.stdout_total, len(long.stdout) < 1 << 21) == (10 << 20, True)


async def test_nothing_survives_a_timeout(start: Start) -> None:
    sbx = await start(profile="machine")
    began = time.monotonic()
    result = await run(sbx, "echo partial; setsid sleep 7776 & sleep 7776", timeout=1)
    assert (result.status, result.exit_code, result.stdout) == ("timeout", None, b"partial\n")
    assert time.monotonic() - began < 60
    assert (await sbx.exec(SURVIVORS, timeout=120)).stdout == b"0\n"


async def test_what_holds_the_output_does_not_hold_the_caller(start: Start) -> None:
    sbx = await start(profile="machine")
    began = time.monotonic()
    result = await run(sbx, "sleep 7776 & echo hi")
    assert (result.stdout, result.left_running, time.monotonic() - began < 60) == (b"hi\n", 1, True)
    # The next command first removes what the last one left behind.
    assert (await run(sbx, SURVIVORS)).stdout == b"0\n"


async def test_a_caller_who_leaves_leaves_no_process(start: Start) -> None:
    sbx = await start(profile="machine")
    task = asyncio.create_task(run(sbx, "setsid sleep 7776 & sleep 7776", timeout=60))
    await asyncio.sleep(1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, 15)
    assert (await sbx.exec(SURVIVORS, timeout=120)).stdout == b"0\n"


async def test_running_out_of_memory_is_said(start: Start) -> None:
    sbx = await start(profile="machine", limits={"memory_mb": 128})
    hog = "python3 -c 'x = bytearray(1 << 29); import time; time.sleep(60)'"
    assert (await run(sbx, hog, timeout=60)).status == "oom"
    assert (await run(sbx, "exit 4")).exit_code == 4


async def test_a_command_longer_than_an_argument_is_run_and_not_trusted(start: Start) -> None:
    sbx = await start(profile="machine")
    result = await sbx.exec(f"exit 5 # {'x' * 200_000}", timeout=120, trusted_exit=True)
    assert (result.exit_code, result.trusted) == (5, False)


async def test_a_stream_that_the_daemon_drops_is_indeterminate(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    sbx: Any = await start(profile="machine")
    inner = sbx.machine.engine.exec_stream

    async def dropped(*arguments: Any, **settings: Any) -> Any:
        stream = await inner(*arguments, **settings)
        asyncio.get_running_loop().call_later(0.5, stream.writer.transport.abort)
        return stream

    monkeypatch.setattr(sbx.machine.engine, "exec_stream", dropped)
    result = await sbx.exec("echo before; sleep 7776", timeout=120, trusted_exit=True)
    monkeypatch.undo()
    assert (result.status, result.exit_code, result.ok) == ("indeterminate", None, False)
    assert (await sbx.exec(SURVIVORS, timeout=120)).stdout == b"0\n"
