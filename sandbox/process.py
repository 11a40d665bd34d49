"""Sandboxes that are child processes of the orchestrator: what bubblewrap and local have in common."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.channel import Channel
from sandbox.errors import SandboxLost, SandboxStartError
from sandbox.pipefolder import PipeFolder
from sandbox.pipes import ProcessWire
from sandbox.scratch import remove_scratch

MINIMAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the process.

    Attributes:
        argv: the program, absolute.
        env: its whole environment.
        scratch: private directory; its `pipes` folder is seen in the sandbox as `pipes`.
        pipes: path of that folder on the far side.
        max_life_s: it is killed after this many seconds; it does not outlive the orchestrator anyway.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    scratch: Path
    pipes: str
    max_life_s: float


class ProcessMachine:
    """One child process; see `sandbox.session.Machine`."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.name = name
        self._launch = launch
        self._wire: ProcessWire | None = None
        self._end: asyncio.TimerHandle | None = None
        self._pipes = PipeFolder(launch.scratch / "pipes", launch.pipes)

    async def connect(self) -> Channel:
        """See `Machine.connect`. The process is started once: when it is gone, so is all that was in it."""
        if self._wire is None:
            try:
                self._wire = await ProcessWire.spawn(self._launch.argv, env=self._launch.env, cwd="/")
            except OSError as error:
                raise SandboxStartError(f"{self._launch.argv[0]} could not be started: {error.strerror}") from error
            self._end = asyncio.get_running_loop().call_later(self._launch.max_life_s, self._wire.process.kill)
        elif self._wire.process.poll() is not None:
            raise SandboxLost(f"{self.name} has ended")
        else:
            # The supervisor was killed and started again, and writes to the first pipes, which may be retired by now.
            return await self.refresh(Channel(self._wire))
        channel = Channel(self._wire)
        await channel.hello()
        return channel

    async def refresh(self, channel: Channel) -> Channel:
        """See `Machine.refresh`: the supervisor is moved to a fresh pair of named pipes."""
        assert self._wire is not None
        await self._pipes.move(channel, self._wire)
        return channel

    async def hire(self, channel: Channel) -> None:
        """See `Machine.hire`."""
        await self._pipes.hire(channel)

    async def drop(self, channel: Channel) -> None:
        """See `Machine.drop`: the same pipes serve the next channel."""

    async def alive(self) -> bool | None:
        """See `Machine.alive`."""
        return self._wire is not None and self._wire.process.poll() is None

    async def destroy(self) -> None:
        """See `Machine.destroy`."""
        if self._end is not None:
            self._end.cancel()
        if self._wire is not None:
            await self._wire.close()
        await asyncio.to_thread(remove_scratch, self._launch.scratch)
