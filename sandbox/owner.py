"""The process that started a sandbox, so that only left-overs of dead owners are ever removed."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, identified by machine, boot, number and start time.

    Attributes:
        host: node name and process-id namespace: nothing is concluded about processes of another one.
        boot: the kernel's boot id.
        pid: process id.
        started: start time in clock ticks since boot, which tells a reused pid.
    """

    host: str
    boot: str
    pid: int
    started: int

    @classmethod
    def this_process(cls) -> "Owner":
        """The calling process."""
        pid = os.getpid()
        return cls(_host(), _boot(), pid, start_time(pid) or 0)

    @classmethod
    def parse(cls, host: str, text: str) -> "Owner | None":
        """Read `boot:pid:started`; None when it is something else."""
        parts = text.split(":")
        if len(parts) != 3 or not parts[1].isdigit() or not parts[2].isdigit():
            return None
        return cls(host, parts[0], int(parts[1]), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.boot}:{self.pid}:{self.started}"

    @property
    def dead(self) -> bool:
        """True only when that is certain: the same host, and the process no longer exists."""
        if self.host != _host():
            return False
        return self.boot != _boot() or start_time(self.pid) != self.started


def _host() -> str:
    try:
        namespace = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        namespace = "?"
    return f"{platform.node()}/{namespace}"


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def start_time(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot, which tells a reused pid; None when it has ended.

    Field 22 of stat; the command name before it may hold anything, even `)`.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
