"""One supervisor's answers, in any order, without a sandbox."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest

import sandbox.channel
from sandbox.channel import Channel
from sandbox.supervisor import Request

Answers = Callable[[str, str], list[bytes]]


class ScriptedTransport:
    """Plays a supervisor: for each request, what comes back on standard output."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._ready: deque[bytes] = deque()
        self._news = asyncio.Event()

    async def send(self, data: bytes) -> None:
        op, nonce = data.split(b"\n", 1)[0].decode().split()[:2]
        self._ready.extend(self._answers(op, nonce))
        self._news.set()

    async def receive(self) -> tuple[int, bytes]:
        while not self._ready:
            self._news.clear()
            await self._news.wait()
        return 1, self._ready.popleft()

    async def hang_up(self) -> None: ...

    async def close(self) -> None: ...


def record(nonce: str, *words: object) -> bytes:
    return f"\x1e{nonce} {' '.join(map(str, words))}\x1e".encode()


def request(nonce: str) -> Request:
    return Request(nonce * 32, b"true", "/", merge_stderr=True)


async def test_an_answer_that_comes_after_the_record_is_not_the_next_commands_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command ends while the supervisor is being asked whether it is still watching it."""
    monkeypatch.setattr(sandbox.channel, "_PING_S", 0.01)

    def answers(op: str, nonce: str) -> list[bytes]:
        if op == "watched":
            return [b"slow\n" + record(nonce, "ended", 0, 0, 0, 0), record(nonce, "watched", 0)]
        return [] if nonce[0] == "a" else [b"mine\n" + record(nonce, "ended", 0, 0, 0, 0)]

    channel = Channel(ScriptedTransport(answers))
    slow = await channel.run(request("a"), timeout=5, limit=1000)
    quick = await channel.run(request("b"), timeout=5, limit=1000)
    assert (slow.ok, slow.stdout) == (True, b"slow\n")
    assert (quick.ok, quick.stdout) == (True, b"mine\n")
    assert not channel.tainted


async def test_where_the_answer_never_comes_the_next_command_gets_other_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox.channel, "_PING_S", 0.01)
    monkeypatch.setattr(sandbox.channel, "_PONG_S", 0.05)
    channel = Channel(
        ScriptedTransport(lambda op, nonce: [record(nonce, "ended", 3, 0, 0, 0)] if op == "watched" else [])
    )
    result = await channel.run(request("a"), timeout=5, limit=1000)
    assert (result.status, result.exit_code, channel.tainted) == ("exited", 3, True)


async def test_an_answer_that_nobody_waits_for_any_more_is_kept_from_the_next_command() -> None:
    channel = Channel(ScriptedTransport(lambda op, nonce: []))
    task = asyncio.create_task(channel.kill_all())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert channel.tainted
