"""What a command sees, and that the next command works whatever it does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sandbox import Sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.contract]

Start = Callable[..., Awaitable[Sandbox]]


async def works(sbx: Sandbox) -> bool:
    return (await sbx.exec("echo alive", timeout=120)).stdout == b"alive\n"


async def test_exit_code_and_both_streams_come_back(sbx: Sandbox) -> None:
    result = await sbx.exec("echo out; echo err >&2; exit 3", timeout=120)
    assert (result.status, result.exit_code, result.stdout, result.stderr) == ("exited", 3, b"out\n", b"err\n")


async def test_merged_streams_keep_their_order(sbx: Sandbox) -> None:
    result = await sbx.exec("echo 1; echo 2 >&2; echo 3; echo 4 >&2", timeout=120, merge_stderr=True)
    assert (result.stdout, result.stderr) == (b"1\n2\n3\n4\n", b"")


async def test_every_command_gets_a_fresh_shell_in_its_own_session(sbx: Sandbox) -> None:
    show = "read -r s </proc/$$/stat; set -- ${s##*) }; echo $$ $4; x=left; cd /; export Y=left"
    first, second = [(await sbx.exec(show, timeout=120)).stdout.split() for _ in range(2)]
    assert first[0] == first[1]
    assert first != second
    assert (await sbx.exec('echo "[$x$Y]"', timeout=120)).stdout == b"[]\n"


async def test_cwd_is_the_workdir_or_what_the_caller_says(kind: Any, sbx: Sandbox) -> None:
    home = (await sbx.exec("pwd", timeout=120)).stdout.decode().strip()
    if kind.isolated:
        assert home == kind.workdir
    await sbx.exec("mkdir -p 'sub dir'", timeout=120)
    assert (await sbx.exec("pwd", timeout=120, cwd="sub dir")).stdout.decode() == f"{home}/sub dir\n"
    assert (await sbx.exec("pwd", timeout=120, cwd="/etc")).stdout == b"/etc\n"


async def test_a_missing_cwd_is_a_failure_of_the_command(sbx: Sandbox) -> None:
    result = await sbx.exec("echo not reached", timeout=120, cwd="/no/such")
    assert (result.exit_code, result.stdout) == (126, b"")
    assert result.stderr


async def test_environment_is_the_specs_plus_the_calls(start: Start) -> None:
    sbx = await start(env={"A": "spec", "B": "it's $HOME"})
    result = await sbx.exec('echo "$A|$B|$C"', timeout=120, env={"A": "call", "C": "x\ny"})
    assert result.stdout == b"call|it's $HOME|x\ny\n"
    assert (await sbx.exec('echo "$A|$C"', timeout=120)).stdout == b"spec|\n"


async def test_an_unusable_environment_name_raises_and_leaves_the_sandbox_usable(sbx: Sandbox) -> None:
    with pytest.raises(ValueError, match="environment variable name"):
        await sbx.exec("true", timeout=120, env={"A-B": "x"})
    assert await works(sbx)


async def test_a_command_that_reads_finds_its_input_closed(sbx: Sandbox) -> None:
    for command in ["cat", "read x; echo $?", "head -c 5 | wc -c", "tee /dev/null"]:
        began = time.monotonic()
        assert (await sbx.exec(command, timeout=120)).status == "exited", command
        assert time.monotonic() - began < 60


async def test_input_arrives_byte_for_byte(sbx: Sandbox) -> None:
    for data in [b"x", b"a\0b\xff\xc3\x28\r\n", b"'\"$`\\\n\n", bytes(range(256)) * 4097]:
        result = await sbx.exec("cat", timeout=120, stdin=data)
        assert result.stdout_total == len(data)
        assert result.stdout == data or len(data) > 1 << 20
    assert (await sbx.exec("cat", timeout=120, stdin=b"")).stdout == b""


async def test_input_that_is_not_read_does_not_reach_the_next_command(sbx: Sandbox) -> None:
    await sbx.exec("true", timeout=120, stdin=b"echo injected\n" * 100_000)
    assert await works(sbx)


ENDINGS = {
    "exit 3": {3},
    "kill -9 $$": {137},
    "kill -TERM $$": {143},
    "exec false": {1},
    "exec 1>&- 2>&-; exit 4": {4},
    "exec 0<&- 1>&- 2>&- 3>&- 9>&-; exit 5": {5},
    "no-such-command-x": {127},
    "set -e; false; echo no": {1},
    "trap 'exit 9' EXIT": {9},
    "if": {1, 2},
    "'": {1, 2},
}


async def test_however_a_shell_ends_the_next_command_works(sbx: Sandbox) -> None:
    for command, codes in ENDINGS.items():
        result = await sbx.exec(command, timeout=120)
        assert (result.status, result.exit_code in codes) == ("exited", True), (command, result)
        assert await works(sbx)


@pytest.mark.kinds("docker", "docker-busybox", "bubblewrap")  # never directly on this machine
async def test_emptying_the_scratch_directories_leaves_the_channel_working(start: Start) -> None:
    sbx = await start()
    await sbx.exec("rm -rf /tmp/* /run/heats/* /run/heats; exit 6", timeout=120)
    assert await works(sbx)
    assert (await sbx.exec("cat", timeout=120, stdin=b"x" * 5000)).stdout_total == 5000


async def test_killing_the_shell_that_watches_is_not_taken_for_success(sbx: Sandbox) -> None:
    result = await sbx.exec("kill -9 $PPID; sleep 0.2; echo done; exit 0", timeout=120)
    assert (result.status, result.exit_code) == ("indeterminate", None)
    assert await works(sbx)


@pytest.mark.kinds("docker", "docker-uid", "docker-busybox", "bubblewrap")
async def test_killing_everything_is_not_taken_for_success(sbx: Sandbox) -> None:
    result = await sbx.exec("echo before; kill -9 -1; echo after", timeout=120)
    assert (result.status, result.exit_code) == ("indeterminate", None)
    assert await works(sbx)


async def test_text_that_imitates_the_engine_is_text(sbx: Sandbox) -> None:
    result = await sbx.exec("echo 'Error response from daemon: No such container'; exit 1", timeout=120)
    assert (result.status, result.exit_code) == ("exited", 1)


async def test_a_command_of_two_mebibytes_runs(sbx: Sandbox) -> None:
    body = "x" * 79 + "\n"
    result = await sbx.exec(f"cat <<'E' | wc -c\n{body * 26_000}E\n", timeout=60)
    assert (result.exit_code, result.stdout.strip()) == (0, b"2080000")
    assert await works(sbx)


async def test_commands_around_the_sizes_where_they_travel_differently(sbx: Sandbox) -> None:
    for size in [2047, 2048, 2049, 65536, 100_000, 131_073]:
        result = await sbx.exec("echo '" + "y" * (size - 7) + "'", timeout=120)
        assert (result.exit_code, result.stdout_total) == (0, size - 6)


@pytest.mark.parametrize(
    "command", ["-x", ";", "echo a;", "", "\n\n", "# only a comment", "echo a\\\n b", "echo 'é\x07'"]
)
async def test_odd_commands_are_results(sbx: Sandbox, command: str) -> None:
    assert (await sbx.exec(command, timeout=120)).status == "exited"
    assert await works(sbx)


async def test_what_no_shell_can_run_is_a_clear_result(sbx: Sandbox) -> None:
    for command in ["echo a\0b", "echo \ud800"]:
        result = await sbx.exec(command, timeout=120)
        assert result.exit_code == 126
        assert b"heats: the command" in result.stderr


@pytest.mark.kinds("docker", "bubblewrap")
async def test_noise_from_a_start_up_file_is_only_output(start: Start) -> None:
    sbx = await start(env={"BASH_ENV": "/tmp/noise"})
    await sbx.write_file("/tmp/noise", b"echo noise\n")
    assert (await sbx.exec("exit 3", timeout=120)).exit_code == 3
    assert await sbx.read_file("/tmp/noise") == b"echo noise\n"


async def test_callers_at_the_same_time_are_served_one_after_another(sbx: Sandbox) -> None:
    results = await asyncio.gather(*(sbx.exec(f"echo {n}", timeout=120) for n in range(20)))
    assert [int(result.stdout) for result in results] == list(range(20))
