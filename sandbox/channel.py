"""One supervisor and the commands that go through it, one at a time."""

import asyncio
import contextlib
import secrets
import time

from sandbox.base import ExecResult, ExecStatus
from sandbox.errors import SandboxStartError
from sandbox.exchange import Exchange
from sandbox.pipes import PipeWire
from sandbox.supervisor import Request, signal_request
from sandbox.wire import Wire, WireClosed

_MOVE_S = 10.0
_TERM_GRACE_S = 0.5
_KILL_S = 5.0
_QUIET_S = 0.25
_DRAIN_S = 3.0
_PING_S = 1.0
_PONG_S = 30.0
_FLOOD_BYTES = 64 << 20
_FLOOD_BYTES_PER_S = 128 << 20


class ChannelBroken(Exception):
    """The supervisor can no longer be reached, or does not make sense."""


class _Unwatched(Exception):
    """The command killed the shell that would have written its record."""


class Channel:
    """Speaks the protocol of `sandbox.supervisor` over one wire.

    Not safe for concurrent use: the sandbox holds a lock around it.

    Attributes:
        tainted: processes that outlived their command hold the output; a fresh pair of streams is needed before the
            next command.
        broken: why this channel cannot be used any more; empty while it can.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.broken = ""
        self.tainted = False
        self.shell = ""
        self._crowded = True
        self._busy = False
        self._setup = b""  # of the last command that the supervisor ran itself, as it has it
        self._prior = b""  # of the last command
        self._worker: PipeWire | None = None
        self._worker_setup = b""

    async def hello(self, limit_s: float = 30.0) -> None:
        """Wait until the supervisor answers.

        Raises:
            ChannelBroken: it does not.
            SandboxStartError: the image lacks what the supervisor needs.
        """
        words = await self._ask("H", limit_s=limit_s)
        self.shell = words[1] if len(words) > 1 else "?"
        if words[-1] == "none":
            raise SandboxStartError("the image has none of setsid, perl and python3; commands need one of them")

    async def run(self, request: Request, *, timeout: float, limit: int) -> ExecResult:
        """Run one command to its completion record.

        Args:
            request: the command; its nonce must be fresh.
            timeout: seconds until it is told to end, and shortly after killed.
            limit: bytes kept of each stream.

        Returns:
            The result; `indeterminate` when the channel ended first, in which case `broken` says why.

        Raises:
            ValueError: the request cannot be written down.
        """
        setup, worker = request.setup, self._worker_for(request)
        data = request.encode(look=self._crowded, again=worker is not None or setup == self._setup)
        run = Exchange.begin(request.nonce, limit, merged=request.merge_stderr, worker=worker)
        before = self._setup, self._worker
        self._crowded, self._setup, self._prior, self._worker, self._busy = True, b"", b"", None, True
        try:
            result = await self._run(run, data, timeout)
            await self._hear_out(run)
            self._setup, self._prior, self._busy = before[0] if worker else setup, setup, False
            # A worker that did not get to the end of a command is not waited for again.
            self._worker = before[1] if run.complete or worker is None else None
            return result
        except (WireClosed, ChannelBroken) as error:
            self.broken = str(error)
            return run.result("indeterminate", None, 0)
        except asyncio.CancelledError:
            try:
                await asyncio.shield(self._abandon(run))
            except asyncio.CancelledError:  # cancelled again: somebody still reads from the wire
                self.broken = self.broken or "left in the middle of a command"
            raise

    async def kill_all(self) -> int:
        """Kill everything that commands left behind; returns how many are still there."""
        return await self._repeat_kill("A")

    async def end(self) -> bool:
        """Ask the supervisor to have the sandbox end; returns whether that could be asked, which is when it is idle."""
        if self._busy or self.broken:
            return False
        try:
            await self.wire.send(signal_request("E", secrets.token_hex(16)))
        except WireClosed as error:
            self.broken = str(error)
        return not self.broken

    async def move(self, wire: Wire, *pipes: str) -> None:
        """Tell the supervisor to use other pipes (as it sees them), and hear it answer through the wire of these."""
        await self._ask("N", *pipes, limit_s=_MOVE_S, onto=wire)
        self.tainted, self._worker = False, None

    def wants_worker(self, request: Request) -> bool:
        """Whether this is one of several commands from the same directory and environment, which a worker runs faster.

        Raises:
            ValueError: the request cannot be written down.
        """
        return not self._crowded and self._prior == self._setup == request.setup and self._worker_for(request) is None

    async def hire(self, wire: PipeWire, pipe: str) -> None:
        """Have the supervisor start a worker in place of the former one: a shell that runs commands itself.

        Commands from the directory and environment of the last one go to it while nothing else runs. It is not started
        anew for each, which takes longer than a small command; the supervisor watches meanwhile.

        Args:
            wire: this channel's, which sends to the worker, too.
            pipe: where the worker reads, as it sees it.

        Raises:
            ChannelBroken: the supervisor does not answer.
        """
        await self._ask("W", pipe, limit_s=_MOVE_S)
        self._worker, self._worker_setup = wire, self._setup

    def _worker_for(self, request: Request) -> PipeWire | None:
        fits = not self._crowded and self._worker_setup == request.setup
        return self._worker if fits and self._worker is not None and self._worker.staffed else None

    async def _run(self, run: Exchange, data: bytes, timeout: float) -> ExecResult:
        try:
            async with asyncio.timeout(timeout):
                await (run.worker.send(data, worker=True) if run.worker else self.wire.send(data))
                await self._until_complete(run)
        except TimeoutError:
            if not run.complete:
                return await self._stop(run)
        except _Unwatched:
            await self._repeat_kill("K", run)
            return run.result("indeterminate", None, 0)
        return await self._settle(run)

    async def _until_complete(self, run: Exchange) -> None:
        while not run.complete:
            try:
                async with asyncio.timeout(_PING_S):
                    await self._take(run)
            except TimeoutError:
                if run.asked is None:
                    await self.wire.send(signal_request("P", run.nonce, *(["worker"] if run.worker else [])))
                    run.asked = time.monotonic()
            if "P" in run.answers:
                run.asked = None
                if _numbers(run.answers.pop("P"))[0] == 0 and run.record is None:
                    raise _Unwatched
            if run.asked is not None and time.monotonic() - run.asked > _PONG_S:
                raise ChannelBroken(f"no answer for {_PONG_S:.0f} s")

    async def _hear_out(self, run: Exchange) -> None:
        """Wait for an answer that the command's end was faster than: later it would be the next command's output."""
        if run.asked is None:
            return
        try:
            async with asyncio.timeout(_PONG_S):
                while "P" not in run.answers and not self.tainted:
                    await self._take(run)
        except (TimeoutError, WireClosed, ChannelBroken):
            self.tainted = True

    async def _take(self, run: Exchange) -> None:
        stream, data = await self.wire.receive()
        try:
            total = run.feed(stream, data)
        except ValueError as error:
            raise ChannelBroken(str(error)) from error
        if total > _FLOOD_BYTES and not run.complete:
            await asyncio.sleep(len(data) / _FLOOD_BYTES_PER_S)

    async def _settle(self, run: Exchange) -> ExecResult:
        """Give what the shell left running a moment to finish writing."""
        code, left, held, ooms, others = _numbers(run.record)
        self._crowded = bool(others)
        if held:
            await self._drain(run)
        status: ExecStatus = "oom" if ooms > 0 and code != 0 else "exited"
        return run.result(status, None if status == "oom" else code, left)

    async def _drain(self, run: Exchange) -> None:
        """Wait for holders of our output until they are gone, or quiet, or the time is up."""
        began = time.monotonic()
        run.answers = {}
        await self.wire.send(signal_request("Q", run.nonce))
        while (now := time.monotonic()) < began + _DRAIN_S and now - max(began, run.last_data) < _QUIET_S:
            try:
                async with asyncio.timeout(_QUIET_S / 5):
                    await self._take(run)
            except TimeoutError:
                if "Q" in run.answers:
                    run.answers = {}
                    await self.wire.send(signal_request("Q", run.nonce))
            if "Q" in run.answers and _numbers(run.answers["Q"])[1] == 0:
                return
        self.tainted = True

    async def _stop(self, run: Exchange) -> ExecResult:
        """End a command whose time is up, and keep what it wrote."""
        await self.wire.send(signal_request("T", run.nonce))
        await self._collect(run, _TERM_GRACE_S)
        left = await self._repeat_kill("K", run)
        with contextlib.suppress(_Unwatched, TimeoutError):
            async with asyncio.timeout(_KILL_S):
                await self._until_complete(run)
        if left:
            raise ChannelBroken("the command could not be ended")
        return run.result("timeout", None, 0)

    async def _collect(self, run: Exchange, limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not run.complete:
                    await self._take(run)

    async def _abandon(self, run: Exchange) -> None:
        """The caller was cancelled: leave no process behind, bounded."""
        try:
            async with asyncio.timeout(_KILL_S):
                await self._repeat_kill("K", run)
                await self._collect(run, _TERM_GRACE_S)
                while not run.complete:  # it had not begun, maybe
                    await self._repeat_kill("K", run)
                    await self._collect(run, _TERM_GRACE_S)
        except (TimeoutError, WireClosed, ChannelBroken) as error:
            self.broken = f"cancelled: {error}"
        if not run.complete:
            self.broken = "cancelled, and the command could not be ended"

    async def _repeat_kill(self, op: str, run: Exchange | None = None) -> int:
        deadline = time.monotonic() + _KILL_S
        while True:
            left = _numbers(await self._ask(op, run=run, limit_s=_KILL_S))[0]
            if left == 0 or time.monotonic() > deadline:
                return left
            await asyncio.sleep(0.02)

    async def _ask(
        self, op: str, *words: str, limit_s: float, run: Exchange | None = None, onto: Wire | None = None
    ) -> list[str]:
        """Send a one-line request and wait for its answer; other output is captured or dropped."""
        if run is None:
            run = Exchange.begin(secrets.token_hex(16), 1024, merged=True)
        run.answers = {}
        try:
            async with asyncio.timeout(limit_s):
                await self.wire.send(signal_request(op, run.nonce, *words))
                self.wire = onto or self.wire
                while op not in run.answers:
                    await self._take(run)
        except asyncio.CancelledError:
            self.tainted = True  # the answer would be taken for output of the next command
            raise
        except TimeoutError as error:
            raise ChannelBroken(f"the supervisor did not answer within {limit_s:.0f} s") from error
        except WireClosed as error:
            said = run.err.value().decode("utf-8", "replace").strip()
            raise ChannelBroken(f"{error}: {said}" if said else str(error)) from error
        return run.answers.pop(op)


def _numbers(words: list[str] | None) -> list[int]:
    try:
        values = [int(word) for word in words or []]
    except ValueError as error:
        raise ChannelBroken(f"an unreadable record: {words}") from error
    return values + [0] * (5 - len(values))
