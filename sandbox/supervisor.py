"""The shell program inside a sandbox that runs its commands (supervisor.sh), and how requests to it are written.

It needs a POSIX `sh` with `dd` and `cat`, and one of `setsid`, perl and python3; commands run in bash where the image
has it. It forks only to run a command, so it still answers while a fork bomb has used up every process slot.

Requests are lines on its standard input:

    run <nonce> <setup lines> <command lines> <command bytes> <stdin bytes> <merge>
    stop <nonce>      send SIGTERM to what the running command started; no answer
    kill <nonce>      kill what the running command started
    clear <nonce>     kill everything that any command started
    look <nonce>      how many of the command's processes are left, how many hold our output, memory kills so far
    watched <nonce>   is the running command still being waited for
    move <nonce> <out> <err> [<in>]   use these named pipes from now on
    end <nonce>       end the sandbox, where its first process listens for SIGUSR2; no answer
    hello <nonce>     which shell runs commands, and which program makes their session

Replies are records `RS nonce SP op SP fields RS` in the output stream itself; `ended` closes a command. The nonce is
fresh for every command, and a command's record is written after everything that the command wrote, so a record proves
that the output before it is complete.

A command runs as the same user as the supervisor, so it must not be able to read the nonce from the supervisor's memory
or take hold of its pipes. `private_shell` sees to that.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

RECORD_SEPARATOR = b"\x1e"
INLINE_BYTES = 2048
"""Longer commands are sent as a counted body: the shell's `read` takes them byte by byte."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_READ_ONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
"""Names that cannot be set in bash, which may be an image's `sh`."""

# A process that may execute its program file but not read it is not dumpable (`would_dump` in the kernel's fs/exec.c):
# other processes of the same user can neither trace it nor open its /proc/PID/mem, environ or fd. That takes a copy of
# the shell, and a user without CAP_DAC_OVERRIDE. The score makes the kernel end sandboxes first when the machine runs
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
"""A command that says whether it is kept from the memory of the process that waits for it."""


def supervisor_script(directory: str, *, crowd: int, mark: str = "") -> str:
    """The program text for `sh -c`.

    Args:
        directory: where long commands and standard input are staged, inside the sandbox.
        crowd: when commands have left this many processes behind, they are killed before the next one.
        mark: `NAME=value` found in the environment of this sandbox's processes; only where there is no process
            namespace of its own to go by.
    """
    values = {"_h_dir": directory, "_h_crowd": str(crowd), "_h_mark": mark}
    program = files("sandbox").joinpath("supervisor.sh").read_text(encoding="ascii")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + program


def private_shell(directory: str, program: str, *words: str, sh: str = "sh") -> Sequence[str]:
    """The argument vector that runs a shell program which other processes of its user cannot read or trace.

    Where that cannot be had (a directory that nothing can be executed from, CAP_DAC_OVERRIDE, gVisor), the program runs
    all the same; `PRIVACY_PROBE` tells.

    Args:
        directory: writable inside the sandbox; the copy of the shell goes there.
        program: for `sh -c`; its `$0` is the shell that runs it.
        words: its `$1` and so on.
        sh: name or path of a POSIX shell.
    """
    return [sh, "-c", _PRIVATE, sh, directory, program, *words]


@dataclass(frozen=True)
class Request:
    """One command as the supervisor gets it.

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
        """The bytes to send.

        Raises:
            ValueError: an environment name is not a shell identifier, or a value holds a NUL.
        """
        setup, fed = self.setup(), self.stdin or b""
        lines, body = (self.command, b"") if len(self.command) <= INLINE_BYTES else (b"", self.command)
        counts = setup.count(10) + 1, lines.count(10) + 1, len(body), len(fed), int(self.merge_stderr)
        head = " ".join(("run", self.nonce, *map(str, counts)))
        return b"".join((head.encode(), b"\n", setup, b"\n", lines, b"\n", body, fed))

    def setup(self) -> bytes:
        """Shell code that goes to the directory and exports the environment.

        Raises:
            ValueError: as `encode`.
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
    """Any request but `run`."""
    return " ".join((op, nonce, *words)).encode() + b"\n"
