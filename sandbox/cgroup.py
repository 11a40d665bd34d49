"""A control group that limits the processes of one bubblewrap sandbox, where heats runs as root.

The kernel's other limit, RLIMIT_NPROC, does not hold for root. A sandbox's processes are put into the group before they
are started and cannot leave it: its file system is not seen inside.
"""

import errno
import time
from collections.abc import Sequence
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
"""Version 1 has a tree per controller, version 2 one tree."""
_TRIES, _PAUSE_S = 100, 0.02


class ProcessGroup:
    """One control group; made empty, and removed when its processes have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def make(cls, name: str, pids: int, roots: Sequence[Path] = _ROOTS) -> "ProcessGroup | None":
        """A group for at most `pids` processes and threads; None where this process may not make one.

        Args:
            name: of the sandbox.
            roots: where control groups may be found.
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
        """The command that enters the group and becomes `argv`."""
        enter = f'echo $$ >{self._path}/cgroup.procs && exec "$@"'
        return ["/bin/sh", "-c", enter, "enter", *argv]


def remove_group(name: str, roots: Sequence[Path] = _ROOTS) -> None:
    """Remove the group of a sandbox that has ended, if it had one. Never raises. May block for a moment."""
    for path in (root / f"heats-{name}" for root in roots):
        for _ in range(_TRIES):
            try:
                path.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    break
                # The kernel takes a namespace down a moment after its first process.
                time.sleep(_PAUSE_S)
