"""Runs a command so that none of its processes outlive the parent of this process, even after `kill -9`.

`python -I -S guard.py FD GRACE_S COMMAND...`: FD is the read end of a pipe whose write end the parent holds. When the
pipe closes or a signal arrives, the command is asked to terminate; once it exits or GRACE_S seconds have passed, all
its descendants are killed. A second signal kills immediately. Exits with the command's exit code.

It is a separate process that uses only the standard library, so that it starts quickly and stays small.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

_ON_PARENTS_DEATH, _SUBREAPER = 1, 36
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KILLING_S = 10.0


def guard(lifeline: int, grace_s: float, command: list[str]) -> int:
    """Run the command until it exits or has to be stopped; returns its exit code."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    for number in (*_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda number, frame: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    _prctl(_SUBREAPER, 1)
    child = subprocess.Popen(command, process_group=0, preexec_fn=lambda: _prctl(_ON_PARENTS_DEATH, signal.SIGTERM))
    _wait(child, lifeline, told, grace_s)
    _kill_all(child)
    code = child.wait()
    return 128 - code if code < 0 else code


def _wait(child: subprocess.Popen[bytes], lifeline: int, told: int, grace_s: float) -> None:
    """Wait until the child has exited or must be killed.

    Args:
        child: the running command.
        lifeline: read end of the parent's pipe.
        told: file descriptor that becomes readable on a signal.
        grace_s: seconds between the request to terminate and the kill.
    """
    sources = [lifeline, told]
    deadline: float | None = None
    while child.poll() is None:
        left = None if deadline is None else deadline - time.monotonic()
        ready = select.select(sources, [], [], left)[0] if left is None or left > 0 else []
        if not ready:
            return
        wishes = [number for number in os.read(told, 64) if number in _SIGNALS] if told in ready else []
        if lifeline in ready:
            sources = [told]
            wishes += [] if wishes or deadline else [signal.SIGTERM]
        for number in wishes:
            if deadline is not None:
                return
            child.send_signal(number)
            deadline = time.monotonic() + grace_s


def _kill_all(child: subprocess.Popen[bytes]) -> None:
    """Kill the child, its process group and, on Linux, all its descendants in any session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + _KILLING_S
    while (living := _descendants(os.getpid())) and time.monotonic() < deadline:
        for process in living:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _descendants(ancestor: int) -> list[int]:
    """Return the descendants of a process, as listed by the kernel; none without `/proc`."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b") ")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found, at = children.get(ancestor, []), 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def _prctl(what: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
