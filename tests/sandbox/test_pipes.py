"""Commands bypass the daemon if it is on this machine, and go through it otherwise."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import requests.exceptions

from sandbox import BackendUnavailable, Sandbox, SandboxConfig, SandboxSpec, SandboxStartError, open_backend
from sandbox.docker import DockerBackend

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.docker]

SPEC = SandboxSpec(image="heats-base:latest", labels={"run": "tests-sandbox"})
SUPERVISOR = "grep -ls 'pipes/superviso[r]' /proc/[2-9]*/cmdline /proc/1?*/cmdline | cut -d/ -f3 | sort -n | head -1"


@pytest_asyncio.fixture(loop_scope="module")
async def piped(tmp_path: Path) -> AsyncIterator[DockerBackend]:
    backend = await open_backend(SandboxConfig(backend="docker", channel="pipes", scratch_dir=tmp_path / "scratch"))
    assert isinstance(backend, DockerBackend)
    yield backend
    await backend.close()


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(piped: DockerBackend) -> AsyncIterator[Sandbox]:
    sandbox = await piped.start(SPEC)
    yield sandbox
    await sandbox.close()


async def test_the_daemon_carries_no_byte_of_a_command(
    piped: DockerBackend, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the daemon was asked")

    monkeypatch.setattr(piped.engine, "exec_stream", refused)
    monkeypatch.setattr(piped.engine, "call", refused)
    assert (await sandbox.exec("echo out; echo err >&2; exit 3", timeout=120)).text() == "out\nerr\n"
    # Held by a process that outlives the command: the next command gets other pipes, again without the daemon.
    assert (await sandbox.exec("sleep 60 & echo begun", timeout=120)).left_running == 1
    assert (await sandbox.exec("head -c 3000000 /dev/zero | wc -c", timeout=120)).stdout == b"3000000\n"
    monkeypatch.undo()


async def test_nothing_of_the_pipes_is_left_to_be_found(sandbox: Sandbox, tmp_path: Path) -> None:
    seen = await sandbox.exec("ls -A /run/heats/pipes; touch /run/heats/pipes/x", timeout=120)
    assert (seen.stdout, b"Read-only file system" in seen.stderr) == (b"supervisor\n", True)
    folders = list((tmp_path / "scratch").glob("docker-*/pipes"))
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [["supervisor"]]
    await sandbox.close()
    assert not list((tmp_path / "scratch").iterdir())


async def test_a_command_that_kills_the_supervisor_is_indeterminate_and_the_next_one_works(sandbox: Sandbox) -> None:
    victim = (await sandbox.exec(SUPERVISOR, timeout=120)).stdout
    result = await sandbox.exec(f"echo before; sleep 777 & kill -9 {int(victim)}; sleep 777", timeout=120)
    assert (result.status, result.exit_code) == ("indeterminate", None)
    after = await sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 77[7]'", timeout=120)
    assert after.stdout == b"0\n"


async def test_the_supervisor_ends_when_nobody_speaks_to_it_any_more(sandbox: Any) -> None:
    assert (await sandbox.exec(SUPERVISOR, timeout=120)).stdout
    await sandbox.machine.leave()
    other = await open_backend(SandboxConfig(backend="docker", channel="socket"))
    again = await sandbox.machine.engine.exec_stream(sandbox.machine.name, ["sh", "-c", f"sleep 1; {SUPERVISOR}"])
    said = await asyncio.wait_for(again.reader.read(), 120)
    again.writer.transport.abort()
    await other.close()
    assert not said


async def ways(scratch: Path, monkeypatch: pytest.MonkeyPatch, starts: int, *, unseen: range) -> list[bool]:
    """Start sandboxes in turn; returns whether each used the short way. The daemon cannot see some folders."""
    backend = await open_backend(SandboxConfig(backend="docker", scratch_dir=scratch))
    assert isinstance(backend, DockerBackend)
    inner, short = backend._create, []

    async def create(name: str, spec: SandboxSpec, supervisor: list[str], folder: Path | None) -> None:
        short.append(folder is not None)
        elsewhere = folder and Path("/nowhere/to/be/found")
        await inner(name, spec, supervisor, elsewhere if len(short) in unseen else folder)

    monkeypatch.setattr(backend, "_create", create)
    for _ in range(starts):
        sandbox = await backend.start(SPEC)
        assert (await sandbox.exec("echo hi", timeout=120)).stdout == b"hi\n"
        await sandbox.close()
    await backend.close()
    return short


async def test_a_daemon_that_does_not_see_our_folder_is_used_through_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Tried only once.
    assert await ways(tmp_path / "scratch", monkeypatch, 2, unseen=range(1, 9)) == [True, False, False]
    assert "from now on containers start without pipes" in caplog.text
    assert not list((tmp_path / "scratch").iterdir())


async def test_one_start_that_fails_where_others_worked_does_not_end_the_short_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await ways(tmp_path / "scratch", monkeypatch, 3, unseen=range(2, 3)) == [True, True, False, True]


async def test_pipes_that_were_asked_for_are_never_replaced(
    piped: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piped, "_pipe_folder", lambda spec: Path("/nowhere/pipes"))
    with pytest.raises(SandboxStartError):
        await piped.start(SPEC)
    with pytest.raises(BackendUnavailable, match="another machine"):
        await open_backend(SandboxConfig(backend="docker", channel="pipes", docker_host="tcp://127.0.0.1:1"))


async def test_a_network_of_its_own_has_a_loopback_and_a_name_for_it(sandbox: Sandbox) -> None:
    serve = "import socket; s = socket.create_server(('localhost', 0)); socket.create_connection(s.getsockname()[:2])"
    assert (await sandbox.exec(f'python3 -c "{serve}"', timeout=120)).ok
    assert (await sandbox.exec("ls /sys/class/net", timeout=120)).stdout.split() == [b"lo"]
    await sandbox.exec("echo 127.0.0.1 other >>/etc/hosts", timeout=120)
    assert (await sandbox.exec("getent hosts other", timeout=120)).stdout.split() == [b"127.0.0.1", b"other"]
    assert (
        os.readlink("/proc/self/ns/net").encode()
        not in (await sandbox.exec("readlink /proc/self/ns/net", timeout=120)).stdout
    )


async def test_a_container_that_is_idle_ends_without_being_killed(
    piped: DockerBackend, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it was killed")

    await sandbox.exec("sleep 700 & trap '' TERM USR2; sleep 700 &", timeout=120)
    monkeypatch.setattr(piped.engine.api, "remove_container", refused)
    await sandbox.close()
    assert await sandbox.machine.alive() is False
    monkeypatch.undo()


async def test_a_daemon_that_does_not_tell_of_the_end_is_asked_again(
    piped: DockerBackend, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(*args: Any) -> None:
        time.sleep(1)
        raise requests.exceptions.ReadTimeout("nothing came")

    monkeypatch.setattr(piped.engine.api, "wait", deaf)
    monkeypatch.setattr(piped.engine.api, "remove_container", deaf)
    began = time.monotonic()
    await sandbox.close()
    assert (await sandbox.machine.alive(), time.monotonic() - began < 4) == (False, True)
    monkeypatch.undo()


async def test_one_that_is_busy_or_does_not_listen_is_killed(piped: DockerBackend) -> None:
    busy, deaf = await piped.start(SPEC), await piped.start(SPEC)
    await deaf.exec("kill -STOP $PPID; kill -STOP $(cut -d' ' -f4 /proc/$PPID/stat)", timeout=1)
    task = asyncio.create_task(busy.exec("sleep 700", timeout=600))
    await asyncio.sleep(0.3)
    await asyncio.gather(busy.close(), deaf.close())
    with contextlib.suppress(Exception):
        await task
    assert [await one.machine.alive() for one in (busy, deaf)] == [False, False]
