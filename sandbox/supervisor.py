"""The shell program that runs commands inside a sandbox (supervisor.sh), and the encoding of requests to it.

It needs a POSIX `sh` with `dd` and `cat`, and one of `setsid`, perl and python3. Commands run in bash if the image has
it. It forks only to run a command, so it still answers when a fork bomb has exhausted all process slots.

Requests are lines on its standard input:

    run <nonce> <setup lines> <command lines> <command bytes> <stdin bytes> <merge>
    stop <nonce>      send SIGTERM to the running command's processes; no answer
    kill <nonce>      kill the running command's processes
    clear <nonce>     kill everything that any command started
    look <nonce>      count remaining processes, those that hold our output, and out-of-memory kills so far
    watched <nonce>   is the running command still being waited for?
    move <nonce> <out> <err> [<in>]   switch to these named pipes
    end <nonce>       end the sandbox, if its first process traps SIGUSR2; no answer
    hello <nonce>     which shell runs commands, and which program creates their session?

Replies are records `RS nonce SP op SP fields RS` in the output stream itself; `ended` closes a command. The nonce is
fresh for every command, and a command's record is written after all of its output, so a record proves that the output
before it is complete.

A command runs as the same user as the supervisor, so it must be unable to read the nonce from the supervisor's memory
or take over its pipes. `private_shell` prevents both.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

RECORD_SEPARATOR = b"\x1e"
INLINE_BYTES = 2048
"""Longer commands are sent as a counted body, because the shell's `read` consumes input byte by byte."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_READ_ONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
"""Variables that are read-only in bash, which may be an image's `sh`."""

# A process that may execute its program file but not read it is not dumpable (`would_dump` in the kernel's fs/exec.c):
# other processes of the same user can neither trace it nor open its /proc/PID/mem, environ or fd. This takes a copy of
# the shell and a user without CAP_DAC_OVERRIDE. The score makes the kernel kill sandboxes first when the machine runs
# out of memory.
_PRIVATE = """{
  echo 500 >/proc/self/oom_score_adj
  d=$1/shell.$$ p=$2
  shift 2
  mkdir "$d" && cat </proc/self/exe >"$d/sh" && chmod 111 "$d/sh" && "$d/sh" -c : && s=$d/sh || s=sh
} 2>/dev/null
exec "$s" -c "$p" "$s" "$@"
"""
PRIVACY_PROBE = "if (: </proc/$PPID/mem) 2>/dev/null; then echo Supervisor: open; else echo Supervisor: private; fi\n"
"""A command that reports whether it can read the memory of its parent process."""


def supervisor_script(directory: str, *, crowd: int, mark: str = "") -> str:
    """Build the program text for `sh -c`.

    Args:
        directory: staging directory for long commands and standard input, inside the sandbox.
        crowd: kill leftover processes before the next command once there are this many.
        mark: `NAME=value` in the environment of this sandbox's processes; identifies them if there is no PID namespace.
    """
    values = {"_h_dir": directory, "_h_crowd": str(crowd), "_h_mark": mark}
    program = files("sandbox").joinpath("supervisor.sh").read_text(encoding="ascii")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + program


def private_shell(directory: str, program: str, *words: str, sh: str = "sh") -> Sequence[str]:
    """Build the argv of a shell whose memory other processes of its user can neither read nor trace.

    If that is impossible (a noexec directory, CAP_DAC_OVERRIDE, gVisor), the program runs unprotected; `PRIVACY_PROBE`
    detects this.

    Args:
        directory: writable directory inside the sandbox for the copy of the shell.
        program: text for `sh -c`; its `$0` is the shell that runs it.
        words: its `$1` and so on.
        sh: name or path of a POSIX shell.
    """
    return [sh, "-c", _PRIVATE, sh, directory, program, *words]


@dataclass(frozen=True)
class Request:
    """One command, as sent to the supervisor.

    Attributes:
        nonce: 32 hex digits, never used before.
        command: bytes without NUL.
        cwd: absolute directory.
        env: exported before the command's shell starts.
        stdin: None or empty for /dev/null.
        merge_stderr: write both streams to standard output.
    """

    nonce: str
    command: bytes
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = None
    merge_stderr: bool = False

    def encode(self) -> bytes:
        """Encode the request for the supervisor.

        Raises:
            ValueError: an environment name is not a shell identifier, or a value contains NUL.
        """
        setup, fed = self.setup(), self.stdin or b""
        lines, body = (self.command, b"") if len(self.command) <= INLINE_BYTES else (b"", self.command)
        counts = setup.count(10) + 1, lines.count(10) + 1, len(body), len(fed), int(self.merge_stderr)
        head = " ".join(("run", self.nonce, *map(str, counts)))
        return b"".join((head.encode(), b"\n", setup, b"\n", lines, b"\n", body, fed))

    def setup(self) -> bytes:
        """Shell code that changes to the directory and exports the environment.

        Raises:
            ValueError: see `encode`.
        """
        parts = [f"cd -- {shlex.quote(self.cwd)} || exit 126"]
        for name, value in self.env.items():
            if not _NAME.match(name) or name.startswith("_h_") or name in _READ_ONLY:
                raise ValueError(f"not a valid environment variable name: {name!r}")
            parts.append(f"export {name}={shlex.quote(value)}")
        setup = "\n".join(parts).encode("utf-8", "surrogateescape")
        if b"\0" in setup:
            raise ValueError("a NUL byte in the working directory or environment of a command")
        return setup


def one_line_request(op: str, nonce: str, *words: str) -> bytes:
    """Encode any request except `run`."""
    return " ".join((op, nonce, *words)).encode() + b"\n"
