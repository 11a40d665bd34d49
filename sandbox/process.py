"""Sandboxes that are child processes of the orchestrator: what bubblewrap and local have in common."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from sandbox.base import ExecResult
from sandbox.channel import Channel
from sandbox.errors import SandboxLost, SandboxStartError
from sandbox.owner import start_time
from sandbox.scratch import remove_scratch
from sandbox.supervisor import Request
from sandbox.transport import ChildTransport, NamedPipes

MINIMAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the process.

    Attributes:
        argv: the program, absolute.
        env: its whole environment.
        scratch: private directory; its `pipes` folder is seen in the sandbox as `pipes`.
        pipes: path of that folder inside the sandbox.
        max_life_s: it is killed after this many seconds; it does not outlive the orchestrator anyway.
        pass_fds: descriptors that it inherits.
        thread: starts it, where not the calling thread; see `ChildTransport.spawn`.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    scratch: Path
    pipes: str
    max_life_s: float
    pass_fds: Sequence[int] = ()
    thread: Executor | None = None


class ProcessMachine:
    """One child process; see `sandbox.session.Machine`.

    Attributes:
        private: the backend found that commands cannot read the memory of the supervisor.
    """

    def __init__(self, name: str, launch: Launch, *, depth: int) -> None:
        """`depth`: how many forks the supervisor is away from the process that is started."""
        self.name = name
        self.private = False
        self._depth = depth
        self._supervisor: tuple[int, int | None] | None = None
        self._launch = launch
        self._child: ChildTransport | None = None
        self._end: asyncio.TimerHandle | None = None
        self._pipes = NamedPipes(launch.scratch / "pipes", launch.pipes)

    async def connect(self) -> Channel:
        """See `Machine.connect`. The process is started once: when it is gone, so is all that was in it."""
        launch = self._launch
        if self._child is None:
            try:
                self._child = await ChildTransport.spawn(
                    launch.argv, env=launch.env, pass_fds=launch.pass_fds, thread=launch.thread
                )
            except OSError as error:
                raise SandboxStartError(f"{launch.argv[0]} could not be started: {error.strerror}") from error
            self._end = asyncio.get_running_loop().call_later(launch.max_life_s, self._child.process.kill)
        elif self._child.process.poll() is not None:
            raise SandboxLost(f"{self.name} has ended")
        else:
            # One that does not answer, because a command has stopped it, is replaced as if it had been killed. The new
            # one writes to the first pipes, which may be discarded by now.
            if self._depth and self._supervisor is not None and self._supervisor_lives():
                os.kill(self._supervisor[0], signal.SIGKILL)
            return await self.refresh(Channel(self._child))
        channel = Channel(self._child)
        await channel.hello()
        self._supervisor = self._find_supervisor(self._child.process.pid)
        return channel

    def _find_supervisor(self, pid: int) -> tuple[int, int | None] | None:
        """Its number and start time, as this machine sees them: no command can pass another process off as it."""
        try:
            for _ in range(self._depth):
                pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        except (OSError, IndexError):
            return None  # a kernel without these files
        return pid, start_time(pid)

    def _supervisor_lives(self) -> bool:
        return self._supervisor is not None and start_time(self._supervisor[0]) == self._supervisor[1]

    def vouches_for(self, channel: Channel) -> bool:
        """See `Machine.vouches_for`."""
        return self.private and self._supervisor_lives()

    async def refresh(self, channel: Channel) -> Channel:
        """See `Machine.refresh`: the supervisor is moved to a fresh pair of named pipes."""
        assert self._child is not None
        async with self._pipes.fresh(self._child) as names:
            await channel.move(self._child, *names)
        return channel

    async def drop(self, channel: Channel) -> None:
        """See `Machine.drop`: the same pipes serve the next channel."""

    async def run_from_outside(
        self, channel: Channel, request: Request, *, timeout: float, limit: int
    ) -> ExecResult | None:
        """See `Machine.run_from_outside`: there is no way into the process but its supervisor."""
        return None

    async def alive(self) -> bool | None:
        """See `Machine.alive`."""
        return self._child is not None and self._child.process.poll() is None

    async def destroy(self) -> None:
        """See `Machine.destroy`."""
        if self._end is not None:
            self._end.cancel()
        if self._child is not None:
            await self._child.close()
        await asyncio.to_thread(remove_scratch, self._launch.scratch)
