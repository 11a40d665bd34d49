"""A connection that breaks never looks like success, and nothing is executed twice."""

import asyncio
import collections
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox import BackendUnavailable, Sandbox, SandboxConfig, SandboxLimits, SandboxSpec, open_backend

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.docker]

SOCKET = "/var/run/docker.sock"


class Proxy:
    """Sits before the daemon's socket and breaks connections on demand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refusing = False
        self.passed = 0  # bytes that went through streams, in both directions
        self.withheld = 0
        self._budget: int | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_unix_server(self._accept, str(self.path))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_streams(self) -> None:
        """Cut the connections that carry a process's streams; the daemon and the process continue."""
        for writer in self._streams:
            writer.transport.abort()

    def cut_after(self, count: int | None) -> None:
        """Cut the streams after this many more bytes; the rest is withheld."""
        self._budget, self.withheld = count, 0

    def _let_through(self, data: bytes) -> bytes:
        budget, self.passed = self._budget, self.passed + len(data)
        if budget is None:
            return data
        self._budget = budget - len(data)
        self.withheld += max(0, -self._budget)
        return data[: max(0, budget)]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, because asyncio reports a cancelled handler as an error of the loop.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(SOCKET)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, far_writer, writer))
                group.create_task(self._copy(far_reader, writer, writer))
        except* OSError:
            pass
        finally:
            self._streams.discard(writer)
            for one in (writer, far_writer):
                one.transport.abort()

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65536):
            if target is not client and b"/exec/" in data[:60] and b"/start" in data[:150]:
                self._streams.add(client)
            if client not in self._streams:
                target.write(data)
            elif through := self._let_through(data):
                target.write(through)
            await target.drain()
            if self._budget is not None and self._budget <= 0 and client in self._streams:
                self._budget = None
                await asyncio.sleep(0.005)  # so that what was let through arrives
                self.drop_streams()
        with contextlib.suppress(OSError):
            target.write_eof()


@pytest_asyncio.fixture(loop_scope="module")
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    async with Proxy(tmp_path / "proxy.sock") as proxy:
        yield proxy


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(proxy: Proxy) -> AsyncIterator[Sandbox]:
    # The pipes of a daemon on this machine do not go through its socket; see test_pipes.py.
    address = f"unix://{proxy.path}"
    backend = await open_backend(
        SandboxConfig(backend="docker", docker_host=address, channel="socket", call_timeout_s=10)
    )
    spec = SandboxSpec(image="heats-base:latest", limits=SandboxLimits(max_life_s=300), labels={"run": "tests-sandbox"})
    started = await backend.start(spec)
    yield started
    proxy.refusing = False
    await started.close()
    await backend.close()


@pytest.mark.parametrize("after", [0.0, 0.1, 0.5])
async def test_a_dropped_stream_is_indeterminate_and_never_exit_0(sandbox: Sandbox, proxy: Proxy, after: float) -> None:
    task = asyncio.create_task(sandbox.exec("echo before; sleep 2; echo after; exit 7", timeout=120))
    await asyncio.sleep(after)
    await asyncio.sleep(0)
    proxy.drop_streams()
    result = await task
    assert (result.status, result.exit_code, result.ok) == ("indeterminate", None, False)
    assert result.stdout in (b"before\n", b"")


async def test_however_often_it_is_dropped_it_is_indeterminate(sandbox: Sandbox, proxy: Proxy) -> None:
    seen = []
    for number in range(8):
        await sandbox.exec("true", timeout=120)  # otherwise the drop may hit a channel that is still being opened
        task = asyncio.create_task(sandbox.exec("echo before; sleep 5", timeout=120))
        await asyncio.sleep(0.1 + number / 80)
        proxy.drop_streams()
        seen.append((await task).status)
    assert set(seen) == {"indeterminate"}


@pytest.mark.parametrize("repetitions", [8, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
async def test_wherever_it_is_cut_it_is_indeterminate(sandbox: Sandbox, proxy: Proxy, repetitions: int) -> None:
    """One command's request, output and completion record, cut at a random byte; only a complete record is a result."""
    seed = random.randrange(10**6)
    print("seed", seed)
    draw = random.Random(seed)
    command = "echo begun >>/tmp/begun; head -c 3000 /dev/zero; echo err >&2; exit 0"
    await sandbox.exec("true", timeout=120)
    before = proxy.passed
    assert (await sandbox.exec(command, timeout=120)).ok
    whole = proxy.passed - before
    seen = collections.Counter()
    # Also the first and last bytes: no request, and a record that lacks only its end.
    for count in [0, 1, whole - 1, whole - 2, *(draw.randrange(whole) for _ in range(repetitions - 4))]:
        await sandbox.exec("true", timeout=120)
        proxy.cut_after(count)
        result = await sandbox.exec(command, timeout=120)
        proxy.cut_after(None)
        # The number of frames that the daemon makes of the output varies, and with it the total size.
        if proxy.withheld or result.status != "exited":
            assert (result.status, result.exit_code, result.ok) == ("indeterminate", None, False), (count, result)
        else:
            assert (result.exit_code, result.stdout_total, result.stderr) == (0, 3000, b"err\n")
        seen[result.status] += 1
    assert seen["indeterminate"] >= repetitions * 0.7
    # No command ran twice: each began at most once.
    begun = await sandbox.exec("wc -l </tmp/begun", timeout=120)
    assert int(begun.stdout) <= repetitions + 1


async def test_after_a_drop_the_next_command_works_beside_nothing_of_the_last(sandbox: Sandbox, proxy: Proxy) -> None:
    task = asyncio.create_task(sandbox.exec("sleep 7772; touch /tmp/finished", timeout=120))
    await asyncio.sleep(0.2)
    proxy.drop_streams()
    await task
    result = await sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 777[2]'", timeout=120)
    assert result.stdout == b"0\n"


async def test_an_interrupted_command_is_not_run_again(sandbox: Sandbox, proxy: Proxy) -> None:
    task = asyncio.create_task(sandbox.exec("echo run >>/tmp/count; sleep 2", timeout=120))
    await asyncio.sleep(0.3)
    proxy.drop_streams()
    await task
    assert (await sandbox.exec("cat /tmp/count", timeout=120)).stdout == b"run\n"


async def test_an_interrupted_read_is_done_again(sandbox: Sandbox, proxy: Proxy) -> None:
    await sandbox.write_file("/tmp/data", b"x" * (8 << 20))
    task = asyncio.create_task(sandbox.read_file("/tmp/data"))
    await asyncio.sleep(0.005)
    proxy.drop_streams()
    assert await task == b"x" * (8 << 20)


async def test_a_daemon_that_is_away_for_a_moment_is_waited_for(sandbox: Sandbox, proxy: Proxy) -> None:
    task = asyncio.create_task(sandbox.exec("sleep 30", timeout=60))
    await asyncio.sleep(0.2)
    proxy.refusing = True
    proxy.drop_streams()
    assert (await task).status == "indeterminate"
    asyncio.get_running_loop().call_later(1.0, setattr, proxy, "refusing", False)
    assert (await sandbox.exec("echo back", timeout=120)).stdout == b"back\n"


async def test_a_daemon_that_does_not_answer_is_said_within_its_deadline(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(hang, str(tmp_path / "hang.sock"))
    config = SandboxConfig(backend="docker", docker_host=f"unix://{tmp_path}/hang.sock", call_timeout_s=1)
    async with asyncio.timeout(15):
        with pytest.raises(BackendUnavailable, match="no Docker daemon answers"):
            await open_backend(config)
    server.close()
