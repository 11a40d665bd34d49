"""Only bytes of regular files are transferred, exactly, and only the sandbox's own."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox import (
    FileAccessError,
    FilePermissionDenied,
    FileTooLarge,
    IsADirectory,
    NotARegularFile,
    Sandbox,
    SandboxFileNotFound,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.contract]

Start = Callable[..., Awaitable[Sandbox]]


@pytest.mark.parametrize("data", [b"", b" ", b"text\n", b"\xc3\x28\0\r\n", bytes(range(256)) * 40_000], ids=len)
async def test_what_is_written_is_read_back_exactly(sbx: Sandbox, data: bytes) -> None:
    await sbx.write_file("deep/er/file name", data)
    assert await sbx.read_file("deep/er/file name") == data


async def test_a_shorter_content_replaces_a_longer_one(sbx: Sandbox) -> None:
    await sbx.write_file("f", b"a long content")
    await sbx.write_file("f", b"short", mode=0o755)
    assert (await sbx.exec("cat f; ls -l f | cut -c1-10", timeout=120)).stdout == b"short-rwxr-xr-x\n"


async def test_names_that_a_shell_would_interpret_are_names(sbx: Sandbox) -> None:
    for name in ("a b", "-rf", "$(touch pwned)", "'q'", "é\n", "*"):
        await sbx.write_file(f"odd/{name}", name.encode())
        assert await sbx.read_file(f"odd/{name}") == name.encode()
    assert (await sbx.exec("ls pwned", timeout=120)).exit_code != 0


async def test_what_is_not_there_is_not_found(sbx: Sandbox) -> None:
    for path in ("nope", "/no/such/dir/file", "x" * 300):
        with pytest.raises(SandboxFileNotFound, match=path[:20]):
            await sbx.read_file(path)


async def test_only_regular_files_are_read(sbx: Sandbox) -> None:
    await sbx.exec("mkdir -p d; ln -sfn /etc/passwd link; [ -p fifo ] || mkfifo fifo", timeout=120)
    for path in ("d", "link", "fifo", "/dev/zero", "/dev/null"):
        with pytest.raises(NotARegularFile):
            await asyncio.wait_for(sbx.read_file(path), 120)


async def test_only_regular_files_are_written(sbx: Sandbox) -> None:
    await sbx.exec("mkdir -p d; echo keep >target; ln -sfn target towards; [ -p fifo ] || mkfifo fifo", timeout=120)
    for path in ("d", "towards", "fifo"):
        with pytest.raises(NotARegularFile):
            await asyncio.wait_for(sbx.write_file(path, b"x"), 120)
    assert await sbx.read_file("target") == b"keep\n"


async def test_a_directory_is_said_to_be_one(sbx: Sandbox) -> None:
    await sbx.exec("mkdir -p d", timeout=120)
    with pytest.raises(IsADirectory, match="directory"):
        await sbx.read_file("d")
    with pytest.raises(IsADirectoryError):
        await sbx.write_file("d", b"x")


async def test_a_file_larger_than_the_caller_allows_is_refused(sbx: Sandbox) -> None:
    await sbx.write_file("big", b"x" * 1001)
    assert len(await sbx.read_file("big", max_bytes=1001)) == 1001
    with pytest.raises(FileTooLarge):
        await sbx.read_file("big", max_bytes=1000)


@pytest.mark.kinds("docker", "docker-uid", "docker-busybox", "bubblewrap")
async def test_a_file_that_its_user_may_not_touch_is_denied(start: Start) -> None:
    sbx = await start(user="1234:1234", workdir="/tmp/w")
    await sbx.exec("echo x >/tmp/closed; chmod 000 /tmp/closed", timeout=120)
    with pytest.raises(FilePermissionDenied):
        await sbx.read_file("/tmp/closed")
    with pytest.raises(FilePermissionDenied):
        await sbx.write_file("/tmp/closed", b"x")
    with pytest.raises(FileAccessError):
        await sbx.write_file("/usr/new" if (await sbx.exec("[ -d /usr ]", timeout=120)).ok else "/bin/new", b"x")


async def test_a_disk_that_is_full_is_said_and_survived(start: Start, kind: object) -> None:
    if not kind.isolated:
        pytest.skip("the local backend has the host's disk")
    sbx = await start(limits={"tmp_mb": 8})
    with pytest.raises(FileAccessError):
        await sbx.write_file("/tmp/full", b"x" * (9 << 20))
    assert (await sbx.exec("rm /tmp/full; echo ok", timeout=120)).stdout == b"ok\n"


@pytest.mark.kinds("docker", "docker-uid", "docker-busybox", "bubblewrap")
async def test_a_name_that_changes_under_the_reader_shows_nothing_of_the_host(sbx: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("of the host")
    swap = f"while :; do ln -sfn {canary} swapped; rm -f swapped; echo x >swapped; done"
    await sbx.exec(f"({swap}) >/dev/null 2>&1 &", timeout=120)
    seen = set()
    for _ in range(60):
        try:
            seen.add(await sbx.read_file("swapped"))
        except FileAccessError:
            seen.add(b"refused")
    await sbx.kill_all()
    assert seen - {b"x\n", b"", b"refused"} == set()
    assert canary.read_text() == "of the host"
