"""Run commands through a supervisor: request, output, completion record, timeouts and kills."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.base import ExecResult, ExecStatus
from sandbox.errors import SandboxStartError
from sandbox.supervisor import RECORD_SEPARATOR, Request, one_line_request
from sandbox.transport import Transport, TransportClosed

_MOVE_S = 10.0
_TERM_GRACE_S = 0.5
_KILL_S = 5.0
_QUIET_S = 0.25
_DRAIN_S = 3.0
_PING_S = 1.0
_PONG_S = 30.0
_FLOOD_BYTES = 64 << 20
_FLOOD_BYTES_PER_S = 128 << 20
_MAX_RECORD = 512


class ChannelBroken(Exception):
    """The supervisor can no longer be reached, or sends nonsense."""


class _Unwatched(Exception):
    """The command killed the shell that would have written its completion record."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Process counts reported by the supervisor.

    Attributes:
        left: processes that commands left behind.
        holding: those among them that hold our output streams open.
        memory_kills: out-of-memory kills so far.
    """

    left: int
    holding: int
    memory_kills: int


class Channel:
    """Speaks the protocol of `sandbox.supervisor` over one transport.

    Not safe for concurrent use; the sandbox serializes access with a lock.

    Attributes:
        transport: carries requests and output.
        tainted: surviving processes hold the output streams, so the next command needs a fresh pair.
        broken: why the channel is unusable; empty while it works.
        shell: the shell that runs commands, known after `hello`.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.broken = ""
        self.tainted = False
        self.shell = ""
        self._busy = False

    async def hello(self, limit_s: float = 30.0) -> None:
        """Wait until the supervisor answers.

        Raises:
            ChannelBroken: no answer within `limit_s` seconds.
            SandboxStartError: the image lacks a program that the supervisor needs.
        """
        words = await self._ask("hello", limit_s=limit_s)
        self.shell = words[0] if words else "sh"
        if words[-1:] == ["none"]:
            raise SandboxStartError("the image needs one of setsid, perl and python3 to run commands")

    async def run(self, request: Request, *, timeout: float, limit: int) -> ExecResult:
        """Run one command until its completion record arrives.

        Args:
            request: the command; its nonce must be fresh.
            timeout: seconds until it is asked to terminate; it is killed shortly afterwards.
            limit: bytes kept of each stream.

        Returns:
            The result; `indeterminate` if the channel broke first, in which case `broken` says why.

        Raises:
            ValueError: the request cannot be encoded.
        """
        data = request.encode()
        run = _Exchange.begin(request.nonce, limit, merged=request.merge_stderr)
        self._busy = True
        try:
            result = await self._run(run, data, timeout)
            await self._take_late_answer(run)
            self._busy = False
            return result
        except (TransportClosed, ChannelBroken) as error:
            self.broken = str(error)
            return run.result("indeterminate", None, 0)
        except asyncio.CancelledError:
            try:
                await asyncio.shield(self._abandon(run))
            except asyncio.CancelledError:  # cancelled again while something may still be reading the transport
                self.broken = self.broken or "left in the middle of a command"
            raise

    async def kill_all(self) -> int:
        """Kill everything that commands left behind; returns how many processes survive."""
        return await self._repeat_kill("clear")

    async def look(self) -> Processes:
        """Count what the last command left behind.

        Raises:
            ChannelBroken: the supervisor does not answer.
        """
        return Processes(*_numbers(await self._ask("look", limit_s=_KILL_S), 3))

    async def end(self) -> bool:
        """Ask the supervisor to end the sandbox; returns whether it could be asked, which requires an idle channel."""
        if self._busy or self.broken:
            return False
        try:
            await self.transport.send(one_line_request("end", secrets.token_hex(16)))
        except TransportClosed as error:
            self.broken = str(error)
        return not self.broken

    async def move(self, transport: Transport, *pipes: str) -> None:
        """Switch the supervisor to other pipes.

        Args:
            transport: receives the answer, over the new pipes.
            pipes: paths of the pipes as seen in the sandbox.

        Raises:
            ChannelBroken: the supervisor does not answer.
        """
        await self._ask("move", *pipes, limit_s=_MOVE_S, onto=transport)
        self.tainted = False

    async def _run(self, run: "_Exchange", data: bytes, timeout: float) -> ExecResult:
        try:
            async with asyncio.timeout(timeout):
                await self.transport.send(data)
                await self._until_complete(run)
        except TimeoutError:
            if not run.complete:
                return await self._time_out(run)
        except _Unwatched:
            await self._repeat_kill("kill", run)
            return run.result("indeterminate", None, 0)
        return await self._result(run)

    async def _until_complete(self, run: "_Exchange") -> None:
        while not run.complete:
            try:
                async with asyncio.timeout(_PING_S):
                    await self._take(run)
            except TimeoutError:
                if run.asked is None:
                    await self.transport.send(one_line_request("watched", run.nonce))
                    run.asked = time.monotonic()
            if "watched" in run.answers:
                run.asked = None
                if _numbers(run.answers.pop("watched"), 1)[0] == 0 and run.record is None:
                    raise _Unwatched
            if run.asked is not None and time.monotonic() - run.asked > _PONG_S:
                raise ChannelBroken(f"no answer for {_PONG_S:.0f} s")

    async def _take_late_answer(self, run: "_Exchange") -> None:
        """Wait for an answer that the command outran; otherwise it would count as the next command's output."""
        if run.asked is None:
            return
        try:
            async with asyncio.timeout(_PONG_S):
                while "watched" not in run.answers and not self.tainted:
                    await self._take(run)
        except (TimeoutError, TransportClosed, ChannelBroken):
            self.tainted = True

    async def _take(self, run: "_Exchange") -> None:
        stream, data = await self.transport.receive()
        total = run.feed(stream, data)
        if total > _FLOOD_BYTES and not run.complete:
            await asyncio.sleep(len(data) / _FLOOD_BYTES_PER_S)

    async def _result(self, run: "_Exchange") -> ExecResult:
        """Build the result of a completed command, giving processes it left running a moment to finish writing."""
        code, left, holding, memory_kills = _numbers(run.record, 4)
        if holding:
            await self._drain(run)
        status: ExecStatus = "oom" if memory_kills > 0 and code != 0 else "exited"
        return run.result(status, None if status == "oom" else code, left)

    async def _drain(self, run: "_Exchange") -> None:
        """Wait until holders of our output are gone or quiet, for a bounded time."""
        began = time.monotonic()
        run.answers = {}
        await self.transport.send(one_line_request("look", run.nonce))
        while (now := time.monotonic()) < began + _DRAIN_S and now - max(began, run.last_data) < _QUIET_S:
            try:
                async with asyncio.timeout(_QUIET_S / 5):
                    await self._take(run)
            except TimeoutError:
                if "look" in run.answers:
                    run.answers = {}
                    await self.transport.send(one_line_request("look", run.nonce))
            if "look" in run.answers and _numbers(run.answers["look"], 2)[1] == 0:
                return
        self.tainted = True

    async def _time_out(self, run: "_Exchange") -> ExecResult:
        """Terminate a command that exceeded its timeout, keeping its output."""
        await self.transport.send(one_line_request("stop", run.nonce))
        await self._collect(run, _TERM_GRACE_S)
        left = await self._repeat_kill("kill", run)
        with contextlib.suppress(_Unwatched, TimeoutError):
            async with asyncio.timeout(_KILL_S):
                await self._until_complete(run)
        if left:
            raise ChannelBroken("the command could not be ended")
        return run.result("timeout", None, 0)

    async def _collect(self, run: "_Exchange", limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not run.complete:
                    await self._take(run)

    async def _abandon(self, run: "_Exchange") -> None:
        """Clean up after cancellation in bounded time, leaving no process behind."""
        try:
            async with asyncio.timeout(_KILL_S):
                await self._repeat_kill("kill", run)
                await self._collect(run, _TERM_GRACE_S)
                while not run.complete:  # it may not have started yet
                    await self._repeat_kill("kill", run)
                    await self._collect(run, _TERM_GRACE_S)
        except (TimeoutError, TransportClosed, ChannelBroken) as error:
            self.broken = f"cancelled: {error}"
        if not run.complete:
            self.broken = "cancelled, and the command could not be ended"

    async def _repeat_kill(self, op: str, run: "_Exchange | None" = None) -> int:
        deadline = time.monotonic() + _KILL_S
        while True:
            left = _numbers(await self._ask(op, run=run, limit_s=_KILL_S), 1)[0]
            if left == 0 or time.monotonic() > deadline:
                return left
            await asyncio.sleep(0.02)

    async def _ask(
        self, op: str, *words: str, limit_s: float, run: "_Exchange | None" = None, onto: Transport | None = None
    ) -> list[str]:
        """Send a one-line request and wait for its answer; other output is captured or dropped."""
        if run is None:
            run = _Exchange.begin(secrets.token_hex(16), 1024, merged=True)
        run.answers = {}
        try:
            async with asyncio.timeout(limit_s):
                await self.transport.send(one_line_request(op, run.nonce, *words))
                self.transport = onto or self.transport
                while op not in run.answers:
                    await self._take(run)
        except asyncio.CancelledError:
            self.tainted = True  # the next command would take the answer for output
            raise
        except TimeoutError as error:
            raise ChannelBroken(f"the supervisor did not answer within {limit_s:.0f} s") from error
        except TransportClosed as error:
            last = run.err.value().decode("utf-8", "replace").strip()
            raise ChannelBroken(f"{error}: {last}" if last else str(error)) from error
        return run.answers.pop(op)


class Capture:
    """Keeps the first and last half of `limit` bytes and counts all of them."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, data: bytes) -> None:
        """Append output."""
        self.total += len(data)
        room = self._head_room - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._tail_room :] if self._tail_room else b""
            if len(self._tail) > 2 * self._tail_room + 65536:
                del self._tail[: -self._tail_room]

    def value(self) -> bytes:
        """The kept bytes, with a line in between that states how much was cut, if anything."""
        cut = self.total - self._head_room - self._tail_room
        if cut <= 0:
            return bytes(self._head + self._tail)
        tail = self._tail[-self._tail_room :] if self._tail_room else b""
        return bytes(self._head) + b"\n[... %d bytes cut ...]\n" % cut + bytes(tail)


class RecordScanner:
    """Extracts records from the surrounding output, across chunk boundaries."""

    def __init__(self, nonce: str) -> None:
        self._marker = RECORD_SEPARATOR + nonce.encode() + b" "
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes | list[str]]:
        """Yield output as bytes and records as lists of words, in order.

        The end of a chunk is held back while it might be the start of a record.

        Raises:
            ValueError: a record has no end.
        """
        data = self._held + data if self._held else data
        self._held = b""
        at = 0
        while (start := data.find(self._marker, at)) >= 0:
            end = data.find(RECORD_SEPARATOR, start + len(self._marker))
            if end < 0 and len(data) - start < _MAX_RECORD:
                break
            if end < 0 or end - start > _MAX_RECORD:
                raise ValueError("a record on the channel does not end")
            if start > at:
                yield data[at:start]
            yield data[start + len(self._marker) : end].decode("ascii", "replace").split()
            at = end + 1
        keep = start if start >= 0 else self._possible_start(data, at)
        if keep > at:
            yield data[at:keep]
        self._held = data[keep:]

    def rest(self) -> bytes:
        """Return held-back bytes that turned out to be plain output."""
        held, self._held = self._held, b""
        return held

    def _possible_start(self, data: bytes, at: int) -> int:
        tail = max(at, len(data) - len(self._marker) + 1)
        start = data.find(RECORD_SEPARATOR, tail)
        while start >= 0:
            if self._marker.startswith(data[start:]):
                return start
            start = data.find(RECORD_SEPARATOR, start + 1)
        return len(data)


@dataclass(slots=True)
class _Exchange:
    """One command and everything received for it so far.

    Attributes:
        nonce: the request's nonce; records with another nonce count as output.
        merged: whether both streams arrive as one.
        began: start time, from `time.monotonic`.
        record: fields of the completion record, once received.
        err_done: whether the record's counterpart on standard error has arrived.
        answers: fields of other records, by their first word.
        asked: when we asked whether the command is still watched; None while no answer is pending.
        last_data: when output last arrived.
    """

    nonce: str
    out: Capture
    err: Capture
    out_scan: RecordScanner
    err_scan: RecordScanner
    merged: bool
    began: float
    record: list[str] | None = None
    err_done: bool = False
    answers: dict[str, list[str]] = field(default_factory=dict)
    asked: float | None = None
    last_data: float = 0.0

    @classmethod
    def begin(cls, nonce: str, limit: int, *, merged: bool) -> "_Exchange":
        scanners = RecordScanner(nonce), RecordScanner(nonce)
        return cls(nonce, Capture(limit), Capture(limit), *scanners, merged, time.monotonic())

    @property
    def complete(self) -> bool:
        """Whether all of its output has arrived."""
        return self.record is not None and (self.merged or self.err_done)

    def feed(self, stream: int, data: bytes) -> int:
        """Process a chunk from stream 1 or 2; returns that stream's total output in bytes.

        Raises:
            ChannelBroken: a record has no end.
        """
        scanner, capture = (self.out_scan, self.out) if stream == 1 else (self.err_scan, self.err)
        try:
            for item in scanner.feed(data):
                if isinstance(item, bytes):
                    capture.add(item)
                    self.last_data = time.monotonic()
                else:
                    self._note(stream, item)
        except ValueError as error:
            raise ChannelBroken(str(error)) from error
        return capture.total

    def _note(self, stream: int, words: list[str]) -> None:
        op, *values = words or ["?"]
        if op != "ended":
            self.answers[op] = values
        elif stream == 2:
            self.err_done = True
        else:
            self.record = values

    def result(self, status: ExecStatus, code: int | None, left: int) -> ExecResult:
        return ExecResult(
            status=status,
            exit_code=code,
            stdout=self.out.value(),
            stderr=self.err.value(),
            stdout_total=self.out.total,
            stderr_total=self.err.total,
            duration_s=time.monotonic() - self.began,
            left_running=left,
        )


def _numbers(words: list[str] | None, count: int) -> list[int]:
    try:
        values = [int(word) for word in words or []]
    except ValueError as error:
        raise ChannelBroken(f"an unreadable record: {words}") from error
    return (values + [0] * count)[:count]
