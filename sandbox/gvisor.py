"""What gVisor's containers (`runsc`) need that those on this machine's kernel do not.

What the daemon limits is gVisor's kernel, a process on this machine: when it may not start another task, it ends, and
so does the sandbox. It needs some 32 for itself and two for each process in the sandbox (13 with its ptrace platform),
so the daemon's limit is set higher, and that of the spec inside, in the kernel's own control group. Only root may do
that, and what runs as root in there may lift it, up to the outer limit.
"""

_OWN_TASKS, _TASKS_EACH = 128, 4
_LIMIT = """echo {pids} 2>/dev/null >/sys/fs/cgroup/pids/pids.max
"""


def is_gvisor(runtime: str | None) -> bool:
    """Whether a runtime of this name is gVisor's: its program's name is part of it."""
    return "runsc" in (runtime or "")


def outer_pids(pids: int) -> int:
    """How many tasks the daemon must allow for this many processes inside."""
    return _OWN_TASKS + _TASKS_EACH * pids


def limited(program: str, pids: int) -> str:
    """The shell program of a container's first process, preceded by a limit on processes inside."""
    return _LIMIT.format(pids=pids) + program
