"""Async access to the Docker SDK: threads, timeouts, concurrency limits and our own errors."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeVar

from sandbox.config import SandboxConfig
from sandbox.errors import BackendUnavailable, SandboxError

# The SDK takes a tenth of a second to import and most commands use no Docker, so the functions that need it import it.
if TYPE_CHECKING:
    from docker import APIClient

P = ParamSpec("P")
T = TypeVar("T")
Slot = Literal["start", "remove", "exec", "ask"]

STREAM_LIMIT = 1 << 18
_DEFAULT_SOCKET = "/var/run/docker.sock"
_PING_S = 10.0
_LOOK_S = 1.0
_CALLS = 3
"""Times a single call may find the daemon gone before it fails."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExecStream:
    """The connection to a process that the daemon started in a container."""

    exec_id: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class EngineError(SandboxError):
    """The daemon refused a call; the message is the daemon's."""


class NoSuchObject(EngineError):
    """The daemon does not know the container, image or exec."""


class Engine:
    """Async access to one daemon.

    Every call runs in a small thread pool, has a timeout, and holds a slot of its kind, so that a burst of starts does
    not delay removals.
    """

    def __init__(self, config: SandboxConfig) -> None:
        slots = config.slots
        self._limit_s, self._wait_s = config.call_timeout_s, config.daemon_wait_s
        self._slots: dict[Slot, asyncio.Semaphore] = {
            "start": asyncio.Semaphore(slots.start),
            "remove": asyncio.Semaphore(slots.remove),
            "exec": asyncio.Semaphore(slots.exec),
            "ask": asyncio.Semaphore(2),
        }
        self._workers = min(24, slots.start + slots.remove + slots.exec + 2)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="heats-docker")
        self._base_url = config.docker_host or os.environ.get("DOCKER_HOST") or None
        self.api: APIClient

    async def connect(self) -> None:
        """Connect to the daemon.

        Raises:
            BackendUnavailable: it does not answer.
        """
        try:
            async with asyncio.timeout(_PING_S):
                # The SDK leaks a socket whenever it cannot connect.
                await self._check_reachable()
                self.api = await asyncio.get_running_loop().run_in_executor(self._pool, self._client)
        except _failures(ValueError) as error:
            raise BackendUnavailable(
                f"no Docker daemon answers at {self.address}: {_short(error)}; start it, or set sandbox.docker_host"
            ) from error

    @property
    def address(self) -> str:
        """The daemon's address."""
        return self._base_url or "the default socket"

    @property
    def local(self) -> bool:
        """Whether the daemon shares this machine's file system."""
        return self._base_url is None or self._base_url.startswith("unix://")

    @property
    def encrypted(self) -> bool:
        """Whether the connection is anything but a plain socket."""
        return not self.local and ("DOCKER_TLS_VERIFY" in os.environ or not (self._base_url or "").startswith("tcp://"))

    def cli_environment(self) -> dict[str, str]:
        """Environment that makes the docker command line client use the same daemon."""
        return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | self._environment()

    async def call(self, slot: Slot, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one SDK call. Unless it is a removal, wait for a daemon that went away, for example to restart.

        Args:
            slot: kind of call, which determines its concurrency limit.
            function: the SDK function.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Returns:
            The function's result.

        Raises:
            NoSuchObject: the daemon does not know the object.
            EngineError: the daemon refused the call.
            BackendUnavailable: the daemon does not answer, or not in time.
        """
        end = time.monotonic() + self._wait_s
        for _ in range(_CALLS):
            try:
                return await self._call(slot, function, *args, **kwargs)
            except BackendUnavailable as error:
                if slot == "remove" or not _went_away(error) or not await self._is_back(end):
                    raise
        return await self._call(slot, function, *args, **kwargs)

    async def _is_back(self, end: float) -> bool:
        """Wait for the daemon; returns False if it does not answer by `end`, a monotonic time."""
        logged = False
        while True:
            try:
                if not self.encrypted:  # the SDK leaks a socket whenever it cannot connect
                    _, writer = await self._open_stream()
                    writer.close()
                await asyncio.get_running_loop().run_in_executor(self._pool, self.api.ping)
                return True
            except _failures():
                if time.monotonic() + _LOOK_S > end:
                    return False
            if not logged:
                _log.warning("the Docker daemon at %s stopped answering; waiting for it to come back", self.address)
                logged = True
            await asyncio.sleep(_LOOK_S)

    async def _call(self, slot: Slot, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._slots[slot]:
            try:
                async with asyncio.timeout(self._limit_s):
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))
            except _failures() as error:
                raise self._translated(error) from error

    def _translated(self, error: Exception) -> SandboxError:
        from docker.errors import APIError, NotFound

        if isinstance(error, NotFound):
            return NoSuchObject(error.explanation or str(error))
        if isinstance(error, APIError):
            return EngineError(error.explanation or str(error))
        return BackendUnavailable(f"the Docker daemon at {self.address} fails: {_short(error)}")

    async def exec_stream(
        self, container: str, argv: list[str], *, user: str | None = None, stdin: bool = True
    ) -> ExecStream:
        """Start a process in a container and take over the connection to its streams.

        The SDK can do this too, but only exposes a private, blocking file around the socket.

        Args:
            container: name of the container.
            argv: program and arguments.
            user: in the syntax of `docker exec --user`; None for the container's own.
            stdin: whether its input can be written; otherwise it reads /dev/null.

        Raises:
            NoSuchObject: the container is gone.
            EngineError: the daemon refused the call.
            BackendUnavailable: the daemon does not answer, or not in time.
        """
        made = await self.call("exec", self.api.exec_create, container, argv, stdin=stdin, user=user or "")
        body = b'{"Detach": false, "Tty": false}'
        head = (
            f"POST /v{self.api.api_version}/exec/{made['Id']}/start HTTP/1.1\r\nHost: docker\r\n"
            "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            async with self._slots["exec"], asyncio.timeout(self._limit_s):
                reader, writer = await self._open_stream()
                try:
                    writer.write(head.encode() + body)
                    status = await reader.readuntil(b"\r\n\r\n")
                    if status.split(None, 2)[1] not in (b"101", b"200"):
                        raise EngineError(
                            f"exec was refused: {(status + await reader.read(1000)).decode(errors='replace')}"
                        )
                except BaseException:
                    writer.transport.abort()
                    raise
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError) as error:
            raise BackendUnavailable(f"the Docker daemon at {self.address} fails: {_short(error)}") from error
        return ExecStream(made["Id"], reader, writer)

    async def _check_reachable(self) -> None:
        if not self.encrypted:
            _, writer = await self._open_stream()
            writer.close()
            await writer.wait_closed()

    async def _open_stream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = self._base_url or f"unix://{_DEFAULT_SOCKET}"
        if url.startswith("unix://"):
            return await asyncio.open_unix_connection(url.removeprefix("unix://"), limit=STREAM_LIMIT)
        host, _, port = url.removeprefix("tcp://").rstrip("/").rpartition(":")
        return await asyncio.open_connection(host, int(port), limit=STREAM_LIMIT)

    async def close(self) -> None:
        """Close the connections and the thread pool."""
        if hasattr(self, "api"):
            self.api.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _client(self) -> "APIClient":
        from docker import DockerClient

        client = DockerClient.from_env(
            timeout=int(self._limit_s), max_pool_size=self._workers, environment=self._environment()
        ).api
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
        return client

    def _environment(self) -> dict[str, str]:
        names = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
        found = {name: os.environ[name] for name in names if name in os.environ}
        return {**found, **({"DOCKER_HOST": self._base_url} if self._base_url else {})}


def _failures(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What a call of the SDK raises where it fails."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    return DockerException, RequestException, OSError, *more


def _went_away(error: BackendUnavailable) -> bool:
    """Whether the daemon refused or dropped the connection, as opposed to a call that took too long."""
    from requests.exceptions import ConnectionError as NotConnected
    from requests.exceptions import Timeout

    cause = error.__cause__
    return isinstance(cause, NotConnected | OSError) and not isinstance(cause, Timeout | TimeoutError)


def _short(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return text.splitlines()[0][:200]
