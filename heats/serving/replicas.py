"""Several vLLM servers: started, restarted and stopped together.

They are replicas of one model, with a router in front if one is installed, or two models that take turns on the same
GPUs. A server that dies after becoming ready is restarted while the others keep running. If a server never becomes
ready, all are stopped.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from heats.errors import InfrastructureFailed, UsageError
from heats.serving.server import Wanted, Words, client_of, guarded, wait_until_ready

if TYPE_CHECKING:
    from agents.llm.server import ServerLimits

T = TypeVar("T")
_RESTARTS, _PAUSE_S = 5, 2.0
"""Maximum restarts per process, and delay before the first restart in seconds, which doubles with each restart."""
_GPUS = "CUDA_VISIBLE_DEVICES"
_SLEEP_MODE = {"VLLM_SERVER_DEV_MODE": "1"}
"""Without it, vLLM does not serve the endpoints of its sleep mode."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the servers. `gpus` are the ids of its GPUs; if empty, it uses all visible devices."""

    wanted: Wanted
    gpus: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables in addition to those of this process."""
        gpus = {_GPUS: ",".join(self.gpus)} if self.gpus else {}
        return {**self.wanted.environment, **gpus, **(_SLEEP_MODE if self.wanted.sleeps else {})}


def find_router() -> str | None:
    """Find the program `vllm-router`, next to heats or on PATH."""
    return shutil.which("vllm-router")


def replicas_of(wanted: Wanted, count: int, gpus: Sequence[str], *, routed: bool) -> tuple[Replica, ...]:
    """Plan the servers to start, each with its own port and its share of the GPUs.

    Args:
        wanted: template for all servers; its port is the first server's, or the router's.
        count: number of servers.
        gpus: ids of all GPUs, in order; a repeated id is shared. Defaults to those that CUDA_VISIBLE_DEVICES names,
            or else to the first ones.
        routed: whether a router takes the first port.

    Raises:
        UsageError: there are not enough GPUs.
    """
    each = wanted.tensor_parallel * wanted.data_parallel
    visible = tuple(one.strip() for one in os.environ.get(_GPUS, "").split(",") if one.strip())
    given = tuple(gpus) or visible or tuple(map(str, range(count * each)))
    if len(given) < count * each and (gpus or not wanted.on_cpu):
        named = "--gpus" if gpus else _GPUS
        raise UsageError(
            f"{count} replicas need {count * each} GPUs, {named} names {len(given)}; an id given twice is shared"
        )
    made = []
    for number in range(count):
        own = replace(wanted, port=wanted.port + number + routed, side_by_side=count)
        made.append(Replica(own, () if wanted.on_cpu else given[number * each : (number + 1) * each]))
    return tuple(made)


def taking_turns(wanted: Wanted, second: str, gpus: Sequence[str]) -> tuple[Replica, Replica]:
    """Plan two servers of different models on the same GPUs, of which one sleeps while the other works.

    Args:
        wanted: the first server; the second takes the next port.
        second: name or directory of the second model, which is served with the parsers of its own family.
        gpus: ids of the GPUs; empty for all visible devices.

    Raises:
        UsageError: vLLM runs on a CPU, where it has no sleep mode.
    """
    if wanted.on_cpu:
        raise UsageError(
            "--second: this vLLM runs on the CPU, where it cannot sleep; start the second model with a "
            "`heats serve` of its own, on another --port"
        )
    first = replace(wanted, sleeps=True)
    other = replace(first, model=second, name=None, port=wanted.port + 1, tools=None, reasoning=None)
    return Replica(first, tuple(gpus)), Replica(other, tuple(gpus))


def router_command(program: str, wanted: Wanted, replicas: Sequence[Replica]) -> list[str]:
    """Build the command of a router that keeps each session on one server.

    Args:
        program: path of the router.
        wanted: the template server, which sets the router's address.
        replicas: the servers behind the router.
    """
    urls = [one.wanted.base_url.removesuffix("/v1") for one in replicas]
    place = ["--host", wanted.host, "--port", str(wanted.port)]
    return [program, "--worker-urls", *urls, "--policy", _sticky_policy(program), *place]


def _sticky_policy(program: str) -> str:
    """Name the best policy of a vllm-router that keeps a session on one server; older ones only hash the session id."""
    best = "sticky_least_loaded"
    try:
        told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    return best if best in told else "consistent_hash"


class Fleet:
    """Runs the servers until a signal arrives or a server cannot be kept alive.

    Args:
        program: path of vLLM.
        replicas: the servers.
        router: command of the router; None runs no router.
        limit_s: maximum time for a server to become ready, in seconds.
        say: called with occasional progress lines.
        grace_s: seconds between the first signal and the kill of a process that ignores it.
    """

    def __init__(
        self,
        program: str,
        replicas: Sequence[Replica],
        router: list[str] | None,
        limit_s: float,
        say: Callable[[str], None],
        *,
        grace_s: float,
    ) -> None:
        self.program, self.replicas, self.router = program, replicas, router
        self.limit_s, self.say, self.grace_s = limit_s, say, grace_s
        self._received: list[int] = []
        self._stopped = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()
        self._starting = asyncio.Lock()

    async def run(self, tell: Callable[[Sequence["ServerLimits"]], None]) -> int:
        """Keep all servers running; returns the exit code.

        Args:
            tell: called once, when all servers are ready.

        Raises:
            InfrastructureFailed: a server never became ready or died too often.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop, number)
        ready: list[asyncio.Future[ServerLimits]] = [loop.create_future() for _ in self.replicas]
        try:
            async with asyncio.TaskGroup() as group:
                for replica, future in zip(self.replicas, ready, strict=True):
                    group.create_task(self._keep(replica, future))
                limits = await self._unless_stopped(asyncio.gather(*ready))
                if limits is not None:
                    if self.router:
                        group.create_task(self._keep_router(self.router))
                    tell(limits)
        except BaseExceptionGroup as errors:
            raise next(one for one in errors.exceptions if not isinstance(one, asyncio.CancelledError)) from None
        return 128 + self._received[0] if self._received else 0

    async def _keep(self, replica: Replica, ready: "asyncio.Future[ServerLimits]") -> None:
        """Run one server, restarting it as needed."""
        command = [self.program, *replica.wanted.arguments()]
        where = f"the server on port {replica.wanted.port}"

        async def started(process: asyncio.subprocess.Process) -> None:
            try:
                limits = await wait_until_ready(replica.wanted, process, self.limit_s, self.say)
                if replica.wanted.sleeps:
                    await _sleep(replica)
            finally:
                if replica.wanted.sleeps:
                    self._starting.release()
            if ready.done():
                self.say(f"{where} answers again")
            else:
                ready.set_result(limits)

        async def make_room() -> None:
            if replica.wanted.sleeps:  # a model needs the GPU for itself while it loads
                await self._starting.acquire()
                await asyncio.gather(*(_sleep(one) for one in self.replicas if one is not replica))

        await self._again_and_again(where, command, replica.environment, started, ready.done, make_room)

    async def _keep_router(self, command: list[str]) -> None:
        async def started(process: asyncio.subprocess.Process) -> None:
            """The router is not waited for."""

        async def no_room_needed() -> None:
            """A router uses no GPU."""

        await self._again_and_again(Path(command[0]).name, command, {}, started, lambda: True, no_room_needed)

    async def _again_and_again(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        started: Callable[[asyncio.subprocess.Process], Coroutine[Any, Any, None]],
        was_ready: Callable[[], bool],
        make_room: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        for attempt in range(_RESTARTS + 1):
            words = Words()
            await make_room()
            async with guarded(command, words, grace_s=self.grace_s, environment=environment) as process:
                self._running.add(process)
                waiting = asyncio.ensure_future(started(process))
                if self._stopped.is_set():
                    process.send_signal(self._received[0])
                ended = asyncio.ensure_future(process.wait())
                await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done() and not ended.done() and waiting.exception():
                    process.terminate()
                await ended
                self._running.discard(process)
                waiting.cancel()
                with suppress(asyncio.CancelledError, InfrastructureFailed):
                    await waiting
            if self._stopped.is_set():
                return
            code = process.returncode or 0
            why = f"{name} ended with code {code}"
            why += f": {said}" if (said := words.reason(code)) else ""
            if not was_ready() or attempt == _RESTARTS:
                raise InfrastructureFailed(why)
            self.say(f"{why}; it is started again")
            await self._unless_stopped(asyncio.ensure_future(asyncio.sleep(_PAUSE_S * 2**attempt)))

    async def _unless_stopped(self, future: asyncio.Future[T]) -> T | None:
        """The future's result; None if a signal arrives first."""
        stopped = asyncio.ensure_future(self._stopped.wait())
        either: set[asyncio.Future[Any]] = {future, stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if future.done():
            return future.result()
        future.cancel()
        return None

    def _stop(self, number: int) -> None:
        self._received.append(number)
        self._stopped.set()
        for process in self._running:
            if process.returncode is None:
                process.send_signal(number)


async def _sleep(replica: Replica) -> None:
    """Put a server to sleep if it is running; its clients wake it.

    Raises:
        InfrastructureFailed: it has no sleep mode, or does not fall asleep.
    """
    server = client_of(replica.wanted)
    try:
        await server.sleep()
    except Exception as error:
        raise InfrastructureFailed(f"the server on port {replica.wanted.port} does not sleep: {error}") from error
    finally:
        await server.close()
