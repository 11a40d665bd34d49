"""Process limits for gVisor containers (`runsc`).

The daemon's limit applies to gVisor's kernel, a process on the host. When that may not start another task, it exits and
takes the sandbox down. It needs about 32 tasks for itself and two per process in the sandbox (13 on its ptrace
platform). The daemon's limit is therefore set higher, and the spec's limit is set inside, in gVisor's own control
group. Setting it takes root, and root inside may raise it again, up to the outer limit.
"""

_OWN_TASKS, _TASKS_EACH = 128, 4
_LIMIT = """echo {pids} 2>/dev/null >/sys/fs/cgroup/pids/pids.max
"""


def is_gvisor(runtime: str | None) -> bool:
    """Return whether a runtime is gVisor, judging by its name."""
    return "runsc" in (runtime or "")


def outer_pids(pids: int) -> int:
    """Number of tasks the daemon must allow for `pids` processes inside."""
    return _OWN_TASKS + _TASKS_EACH * pids


def limited(program: str, pids: int) -> str:
    """Prepend a limit on processes to the shell program of a container's first process."""
    return _LIMIT.format(pids=pids) + program
