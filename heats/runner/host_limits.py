"""Resource limits of this process, checked before a run: open files and memory."""

import resource
from pathlib import Path

from heats.errors import PreflightFailed

FILES, FILES_A_WORKER = 160, 24
"""Number of open files that a run needs, and that each working sandbox adds: pipes, connections, records."""
MEMORY_MB, MEMORY_A_WORKER_MB = 384, 16
ADDRESSES_MB = 2048
"""Address space: Python and its libraries map far more than they use."""
_CGROUP_FILES = ("memory.max", "memory/memory.limit_in_bytes")


def check_host_limits(workers: int, cgroup: Path = Path("/sys/fs/cgroup")) -> None:
    """Raise the limit of open files as far as needed and allowed, and refuse limits that would kill a run.

    Args:
        workers: maximum number of sandboxes working at the same time.
        cgroup: mount point of this process's control group.

    Raises:
        PreflightFailed: names the limit, and what to do.
    """
    _check_files(FILES + FILES_A_WORKER * workers, workers)
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY and addresses >> 20 < ADDRESSES_MB:
        raise PreflightFailed(
            f"this process may map only {addresses >> 20} MiB of memory, {ADDRESSES_MB} needed: `ulimit -v unlimited`"
        )
    needed, allowed = MEMORY_MB + MEMORY_A_WORKER_MB * workers, _cgroup_mb(cgroup)
    if allowed is not None and allowed < needed:
        raise PreflightFailed(
            f"the control group allows this process {allowed} MiB of memory, {needed} needed for {workers} workers: "
            "give it more, or lower --workers"
        )


def _check_files(needed: int, workers: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PreflightFailed(
            f"this process may open only {hard} files, {needed} needed for {workers} workers: raise the hard limit "
            f"(`ulimit -Hn {needed}`), or lower --workers"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _cgroup_mb(cgroup: Path) -> int | None:
    """The total memory available to this process's control group; None if there is no limit, or none is visible."""
    for name in _CGROUP_FILES:
        try:
            text = (cgroup / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < 1 << 50:
            return int(text) >> 20
    return None
