"""Identify the process that owns a sandbox, so that only sandboxes of dead owners are removed."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, identified by machine, boot, PID and start time.

    Attributes:
        host: node name and PID namespace; nothing is concluded about processes of another host.
        boot: the kernel's boot ID.
        pid: process ID.
        started: start time in clock ticks since boot, which distinguishes a reused PID.
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
        """Parse `boot:pid:started`; returns None if the text has another form."""
        parts = text.split(":")
        if len(parts) != 3 or not parts[1].isdigit() or not parts[2].isdigit():
            return None
        return cls(host, parts[0], int(parts[1]), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.boot}:{self.pid}:{self.started}"

    @property
    def dead(self) -> bool:
        """True only if it is certain: same host, and the process no longer exists."""
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
    """Start time of a process in clock ticks since boot, which distinguishes a reused PID; None if it has ended.

    Read from field 22 of stat. The command name before it may contain anything, even `)`.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
