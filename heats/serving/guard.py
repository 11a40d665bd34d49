"""Runs a command so that nothing of it outlives whoever started this process, even by `kill -9`.

`python -I -S guard.py FD GRACE_S COMMAND...`: FD is the reading end of a pipe whose other end the starter holds. When
that is closed, or a signal comes, the command is asked to end, and everything that descends from it is killed once it
has ended or GRACE_S seconds are over; a second signal kills at once. Exits with the command's code.

A process of its own with nothing but the standard library, so that it starts in no time and stays small.
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
    """Run the command to its end, or to ours; returns its exit code."""
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
    """Until the child ended, or is to be killed."""
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
    """Kill the child, its process group, and on Linux all that descends from it, in whatever session it is."""
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
    """Processes below this one, as the kernel lists them; none where there is no `/proc`."""
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
