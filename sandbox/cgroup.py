"""A control group that limits the processes of one bubblewrap sandbox when heats runs as root.

The alternative, RLIMIT_NPROC, does not apply to root. Processes join the group before the sandbox starts and cannot
leave it, as the cgroup file system is not visible inside.
"""

import errno
import time
from collections.abc import Sequence
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
"""cgroup v1 has one tree per controller, v2 a single tree."""
_TRIES, _PAUSE_S = 100, 0.02


class ProcessGroup:
    """One control group, removed once its processes have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def make(cls, name: str, pids: int, roots: Sequence[Path] = _ROOTS) -> "ProcessGroup | None":
        """Create a group; returns None if this process lacks permission.

        Args:
            name: name of the sandbox.
            pids: maximum number of processes and threads.
            roots: possible mount points of the cgroup file system.
        """
        for root in roots:
            path = root / f"heats-{name}"
            try:
                path.mkdir()
            except OSError:
                continue
            try:
                (path / "pids.max").write_text(f"{pids}\n")
                return cls(path)
            except OSError:
                path.rmdir()
        return None

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Wrap `argv` in a command that joins the group and then executes it."""
        enter = f'echo $$ >{self._path}/cgroup.procs && exec "$@"'
        return ["/bin/sh", "-c", enter, "enter", *argv]


def remove_group(name: str, roots: Sequence[Path] = _ROOTS) -> None:
    """Remove an ended sandbox's group, if it had one. Never raises; may block briefly."""
    for path in (root / f"heats-{name}" for root in roots):
        for _ in range(_TRIES):
            try:
                path.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    break
                # The kernel tears down a namespace shortly after its first process ends.
                time.sleep(_PAUSE_S)
