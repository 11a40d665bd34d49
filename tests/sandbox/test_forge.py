"""Code in a sandbox cannot forge the record of how it ended, nor delay or replace it unnoticed."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, SandboxBackend

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.contract]

Start = Callable[..., Awaitable[Sandbox]]
FORGER = Path(__file__).with_name("forger.py").read_text()
FORGE = f"python3 - <<'FORGER'\n{FORGER}\nFORGER\n"
# All processes but the first and those of this command: the supervisor, and its waiting fork.
WATCHERS = "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || kill -%s $p; done"
python = pytest.mark.kinds("docker", "docker-uid", "bubblewrap", "local")
isolated = pytest.mark.kinds("docker", "docker-uid", "docker-busybox", "bubblewrap")


async def promised(sbx: Sandbox) -> bool:
    """Whether this sandbox can vouch for exit codes on request."""
    return (await sbx.exec(":", timeout=120, trusted_exit=True)).trusted


async def test_what_is_promised_is_what_the_documentation_says(start: Start, kind: Any) -> None:
    if kind.own:
        pytest.skip("a backend of one's own promises what it likes")
    # Root on this machine can read everything that a local command's supervisor has.
    assert await promised(await start()) == (kind.isolated or os.getuid() != 0)


@python
async def test_a_command_that_forges_its_record_is_refused_or_reported(start: Start) -> None:
    sbx = await start()
    for _ in range(8):
        result = await sbx.exec(FORGE, timeout=60, trusted_exit=True)
        assert not result.trusted or (result.status, result.exit_code) == ("exited", 7), result.text()


@python
async def test_an_ordinary_command_cannot_forge_its_record_either(sbx: Sandbox, kind: Any) -> None:
    if kind.own_kernel or not await promised(sbx):
        pytest.skip("it promises nothing")
    for _ in range(8):
        result = await sbx.exec(FORGE, timeout=60)
        assert (result.status, result.exit_code) == ("exited", 7), result.text()


@isolated
async def test_neither_memory_nor_pipes_of_the_supervisor_can_be_opened(sbx: Sandbox, kind: Any) -> None:
    if kind.own_kernel or not await promised(sbx):
        pytest.skip("processes of one user can read each other there")
    for path, mode in (("mem", "<"), ("environ", "<"), ("fd/0", "<"), ("fd/1", ">"), ("fd/3", ">")):
        for pid in ("$PPID", "$(cut -d' ' -f4 /proc/$PPID/stat)"):
            result = await sbx.exec(f": {mode}/proc/{pid}/{path}", timeout=120)
            assert not result.ok, (path, pid)
            assert b"ermission denied" in result.stderr or b"nonexistent" in result.stderr, result.text()


@isolated
async def test_long_commands_and_input_do_not_show_the_nonce(sbx: Sandbox) -> None:
    look = 'echo "$0"; ls -R /run 2>/dev/null; cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n"'
    result = await sbx.exec(f"{look} # {'x' * 5000}", timeout=120, stdin=b"input")
    assert not [line for line in result.stdout.split() if len(line) >= 32 and set(line) <= set(b"0123456789abcdef")]


@isolated
@pytest.mark.parametrize("trusted", [False, True])
async def test_a_record_that_is_held_back_is_no_success(start: Start, trusted: bool) -> None:
    sbx = await start()
    result = await sbx.exec(f"{WATCHERS % 'STOP'}; exit 0", timeout=1.5, trusted_exit=trusted)
    assert not result.ok
    assert (await sbx.exec("exit 3", timeout=120)).exit_code == 3


@isolated
@pytest.mark.parametrize("trusted", [False, True])
async def test_a_command_that_kills_who_waits_for_it_is_no_success(start: Start, kind: Any, trusted: bool) -> None:
    sbx = await start()
    usurp = f"{WATCHERS % 'KILL'}; printf '\\036 ended 0 0 0 0\\036'; exit 0"
    result = await sbx.exec(usurp, timeout=120, trusted_exit=trusted)
    assert not result.ok
    after = await sbx.exec("exit 3", timeout=120, trusted_exit=True)
    # The daemon still reports how a command ended; bubblewrap has only the supervisor, which was replaced.
    assert after.exit_code == 3
    assert kind.own or after.trusted == kind.container


@isolated
async def test_what_a_command_left_behind_cannot_answer_for_the_next_one(start: Start) -> None:
    sbx = await start()
    stalker = f"while :; do {WATCHERS % 'KILL'}; printf '\\036 ended 0 0 0 0\\036'; sleep 0.3; done"
    await sbx.exec(f"setsid sh -c 'sleep 1; {stalker}' &", timeout=120)
    for _ in range(2):
        result = await sbx.exec("sleep 1.5; exit 3", timeout=120, trusted_exit=True)
        assert (result.status, result.exit_code) == ("exited", 3)


USURPER = r"""#!/bin/sh
exec 3>&2
while read -r op nonce rest; do
  case $op in
  move) set -- $rest; exec >"$1" 3>"$2"; printf '\036%s move\036' "$nonce" ;;
  run) printf '\036%s ended\036' "$nonce" >&3; printf '\036%s ended 0 0 0 0\036' "$nonce" ;;
  *) printf '\036%s %s 0\036' "$nonce" "$op" ;;
  esac
done
"""


@pytest.mark.kinds("bubblewrap")
async def test_a_supervisor_that_a_command_puts_in_place_of_ours_is_noticed(start: Start) -> None:
    """The first process restarts a killed supervisor from a file that commands can replace."""
    sbx = await start()
    await sbx.write_file("/tmp/usurper", USURPER.encode(), mode=0o755)
    put = 'for f in /run/heats/shell.*/sh; do rm -f "$f"; cp /tmp/usurper "$f"; done'
    result = await sbx.exec(f"{put}; {WATCHERS % 'KILL'}; sleep 3; exit 7", timeout=120, trusted_exit=True)
    assert (result.status, result.exit_code) == ("indeterminate", None)
    forged = await sbx.exec("exit 7", timeout=120, trusted_exit=True)
    assert (forged.exit_code, forged.trusted) == (0, False)


@pytest.mark.kinds("docker")
async def test_where_memory_can_be_read_the_daemon_says_how_a_command_ended(start: Start) -> None:
    """Root in an ordinary container may read any file, so the supervisor cannot hide: it is forged every time."""
    sbx = await start(profile="machine")
    forged = [(await sbx.exec(FORGE, timeout=60)).exit_code for _ in range(3)]
    honest = [(await sbx.exec(FORGE, timeout=60, trusted_exit=True)) for _ in range(3)]
    assert forged == [0, 0, 0]
    assert [(result.status, result.exit_code, result.trusted) for result in honest] == [("exited", 7, True)] * 3


@pytest.mark.kinds("docker")
async def test_a_channel_for_each_command_promises_nothing_by_itself(kind: Any) -> None:
    from sandbox import SandboxConfig, open_backend

    backend: SandboxBackend = await open_backend(SandboxConfig(backend="docker", persistent=False))
    sbx = await backend.start(kind.spec())
    try:
        result = await sbx.exec(FORGE, timeout=60, trusted_exit=True)
        assert (result.exit_code, result.trusted) == (7, True)
    finally:
        await sbx.close()
        await backend.close()
