"""Named pipes in a folder that the orchestrator and a supervisor both see."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox.channel import Channel
from sandbox.pipes import PipeWire
from sandbox.wire import WireClosed

OUTPUTS = ("out", "err")
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class PipeFolder:
    """Named pipes between the orchestrator and a supervisor that sees their folder, too.

    A pipe has a name only until both sides have opened it: what runs in the sandbox later finds none.
    """

    def __init__(self, host: Path, inside: str) -> None:
        """`host` is the folder's path on this side, `inside` the one on the far side."""
        self._host = host
        self._inside = inside
        self._made = 0

    @asynccontextmanager
    async def fresh(self, wire: PipeWire, kinds: Sequence[str]) -> AsyncIterator[list[str]]:
        """New pipes in the hands of a wire; within the context the supervisor has to open its ends.

        Each side opens while the other's end is there, so that neither waits: we first.

        Args:
            wire: what they are for.
            kinds: `OUTPUTS` (out and err), in (the supervisor's) and desk (its worker's), or some of them.

        Yields:
            The pipes as the supervisor sees them, in the order of `kinds`.

        Raises:
            WireClosed: they cannot be made.
        """
        self._made += 1
        paths = {kind: self._host / f"{kind}.{self._made}" for kind in kinds}
        held = []
        try:
            try:
                for path in paths.values():
                    os.mkfifo(path)
                    path.chmod(0o666)  # the sandbox's user may be somebody else; nobody else gets to this folder
                if "out" in paths:
                    await wire.take_outputs(*(os.open(paths[kind], _READ) for kind in OUTPUTS))
                for kind, take in (("in", wire.take_input), ("desk", wire.take_desk)):
                    if kind in paths:
                        held.append(os.open(paths[kind], os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
                        await take(os.open(paths[kind], _WRITE))
            except OSError as error:
                raise WireClosed(f"no pipes in {self._host}: {error.strerror}") from error
            yield [f"{self._inside}/{path.name}" for path in paths.values()]
        finally:
            for fd in held:
                os.close(fd)
            for path in paths.values():
                path.unlink(missing_ok=True)

    async def move(self, channel: Channel, wire: PipeWire, kinds: Sequence[str] = OUTPUTS) -> None:
        """Have the supervisor write to a fresh pair of pipes, and read from a fresh one, too, where asked.

        Args:
            channel: a channel whose supervisor answers.
            wire: what the pipes are for; it becomes the channel's wire.
            kinds: as `fresh`.

        Raises:
            ChannelBroken, WireClosed: the supervisor did not follow; the channel is unusable.
        """
        async with self.fresh(wire, kinds) as names:
            await channel.move(wire, *names)

    async def hire(self, channel: Channel) -> None:
        """Have the supervisor start a worker (`Channel.hire`), where the channel's wire has pipes.

        Raises:
            ChannelBroken: the supervisor did not answer; the channel is unusable.
        """
        wire = channel.wire
        if isinstance(wire, PipeWire):
            # Where there is no pipe to be had, as on a full disk, commands go on as before.
            with contextlib.suppress(WireClosed):
                async with self.fresh(wire, ("desk",)) as names:
                    await channel.hire(wire, *names)
