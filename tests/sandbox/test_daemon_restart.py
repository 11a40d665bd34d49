"""A Docker daemon that restarts during a run is waited for, like a model server."""

import asyncio
import gc
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox.config import SandboxConfig
from sandbox.engine import Engine
from sandbox.errors import BackendUnavailable

# The SDK leaks a socket whenever it cannot connect; this file alone expects it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@asynccontextmanager
async def daemon(socket: Path) -> AsyncIterator[None]:
    """Answers every request with what clients ask for first: its version and some information."""
    open_connections: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                body = json.dumps({"ApiVersion": "1.44", "Name": "double"}).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_unix_server(answer, socket)
    try:
        yield
    finally:
        server.close()
        for writer in open_connections:
            writer.close()
        socket.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collects the leaked sockets where their warnings are ignored."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def test_a_call_outlasts_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    socket = tmp_path / "docker.sock"
    engine = Engine(SandboxConfig(docker_host=f"unix://{socket}"))
    async with daemon(socket):
        await engine.connect()
        assert (await engine.call("ask", engine.api.info))["Name"] == "double"
    asked = asyncio.create_task(engine.call("start", engine.api.info))
    while "waiting for it to come back" not in caplog.text:
        await asyncio.sleep(0.01)
    async with daemon(socket):
        assert (await asked)["Name"] == "double"
    await engine.close()


async def test_a_daemon_that_stays_away_is_an_error_and_no_removal_waits_for_it(tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    engine = Engine(SandboxConfig(docker_host=f"unix://{socket}", daemon_wait_s=0))
    patient = Engine(SandboxConfig(docker_host=f"unix://{socket}"))
    async with daemon(socket):
        await engine.connect()
        await patient.connect()
    with pytest.raises(BackendUnavailable, match="fails"):
        await engine.call("ask", engine.api.info)
    with pytest.raises(BackendUnavailable):
        await patient.call("remove", patient.api.info)
    await engine.close()
    await patient.close()
    with pytest.raises(BackendUnavailable, match="no Docker daemon answers"):
        await Engine(SandboxConfig(docker_host=f"unix://{socket}")).connect()
