"""Sandboxes that are child processes of the orchestrator, the common base of bubblewrap and local."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.base import ExecResult, SharedFolder
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
        argv: program, as an absolute path, and arguments.
        env: its complete environment.
        scratch: private directory; its subfolder `pipes` is visible in the sandbox as `pipes`.
        pipes: path of that folder inside the sandbox.
        max_life_s: seconds until it is killed; it never outlives the orchestrator.
        pass_fds: file descriptors that it inherits.
        thread: executor to start it on, if not the calling thread; see `ChildTransport.spawn`.
        locks: files that are kept open, and hence locked, until the sandbox is removed.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    scratch: Path
    pipes: str
    max_life_s: float
    pass_fds: Sequence[int] = ()
    thread: Executor | None = None
    locks: Sequence[IO[str]] = ()


class ProcessMachine:
    """One child process; see `sandbox.session.Machine`.

    Args:
        name: name of the sandbox.
        launch: how to start the process.
        depth: number of forks between the started process and the supervisor.

    Attributes:
        private: whether commands are unable to read the supervisor's memory, as attested by the backend.
    """

    def __init__(self, name: str, launch: Launch, *, depth: int) -> None:
        self.name = name
        self.private = False
        self._depth = depth
        self._supervisor: tuple[int, int | None] | None = None
        self._launch = launch
        self._child: ChildTransport | None = None
        self._end: asyncio.TimerHandle | None = None
        self._pipes = NamedPipes(launch.scratch / "pipes", launch.pipes)

    @property
    def shared(self) -> SharedFolder:
        """See `SharesFolder.shared`."""
        return SharedFolder(self._launch.scratch / "pipes", self._launch.pipes)

    async def connect(self) -> Channel:
        """See `Machine.connect`. The process is started only once; when it ends, everything in it is gone."""
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
            # A supervisor that does not answer, because a command has stopped it, is replaced as if it had been killed.
            # Its successor writes to the first pipes, which may be discarded by now.
            if self._depth and self._supervisor is not None and self._supervisor_lives():
                os.kill(self._supervisor[0], signal.SIGKILL)
            return await self.refresh(Channel(self._child))
        channel = Channel(self._child)
        await channel.hello()
        self._supervisor = self._find_supervisor(self._child.process.pid)
        return channel

    def _find_supervisor(self, pid: int) -> tuple[int, int | None] | None:
        """Find its PID and start time on the host, where no command can pass off another process as the supervisor."""
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
        """See `Machine.refresh`. The supervisor switches to a fresh pair of named pipes."""
        assert self._child is not None
        async with self._pipes.fresh(self._child) as names:
            await channel.move(self._child, *names)
        return channel

    async def drop(self, channel: Channel) -> None:
        """See `Machine.drop`. The next channel reuses the same pipes."""

    async def run_from_outside(
        self, channel: Channel, request: Request, *, timeout: float, limit: int
    ) -> ExecResult | None:
        """Return None: the supervisor is the only way into the process. See `Machine.run_from_outside`.

        Args:
            channel: unused.
            request: unused.
            timeout: unused.
            limit: unused.
        """
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
        for held in self._launch.locks:
            held.close()
        await asyncio.to_thread(remove_scratch, self._launch.scratch)
