"""The shell program at the far end of the channel (supervisor.sh), and how requests to it are written.

It needs a POSIX `sh` with `dd` and `cat`, and our own launcher or `setsid` (or perl or python3 in its place);
commands run in bash where the image has it. It forks only to run a command or to start a worker, so that it still
answers while a fork bomb has used up every process slot.

Requests are lines on its standard input:

    R <nonce> <setup lines> <command lines> <command bytes> <stdin bytes> <merge> <look>   run; 0 setup lines: as before
    W <nonce> <in>   start a worker, which reads the likes of R from that named pipe, and does not fork for them
    T <nonce>   ask what the running command started to end (SIGTERM)
    K <nonce>   kill what the running command started
    A <nonce>   kill everything that any command started
    Q <nonce>   who of them is still there, and holds our output
    P <nonce> [<worker>]   is the running command still watched, by the worker if there is a third word
    N <nonce> <out> <err> [<in>]   write to these named pipes from now on, read from that one, and have no worker
    E <nonce>   have the sandbox end, where its first process listens for that (SIGUSR2); no answer
    H <nonce>   say which shell is used

Replies are records `RS nonce SP op SP fields RS` in the output stream itself. The nonce is fresh for every command,
and a command's own record is written after everything that it wrote, so a record proves that the output before it is
whole.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files

RECORD_SEPARATOR = b"\x1e"
INLINE_BYTES = 2048
"""Longer commands are sent as a counted body: the shell's `read` takes them byte by byte."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_READ_ONLY = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
"""Names that bash, which may be an image's `sh`, lets nobody set."""


def supervisor_script(directory: str, *, crowd: int, mark: str = "", launcher: str = "") -> str:
    """The program text for `sh -c`.

    Args:
        directory: where long commands and standard input are staged, inside the sandbox.
        crowd: when commands have left this many processes behind, they are killed before the next one.
        mark: `NAME=value` found in the environment of this sandbox's processes; only where there is no process
            namespace of its own to go by.
    """
    values = {"_h_dir": directory, "_h_crowd": str(crowd), "_h_mark": mark, "_h_launcher": launcher}
    program = files("sandbox").joinpath("supervisor.sh").read_text(encoding="ascii")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()) + program


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

    def encode(self, *, look: bool = True, again: bool = False) -> bytes:
        """The bytes to send.

        Args:
            look: earlier commands may have left processes running, which are not this one's.
            again: directory and environment are those of the supervisor's last command, and are not sent.

        Raises:
            ValueError: an environment name is not a shell identifier, or a value holds a NUL.
        """
        setup = b"" if again else self.setup + b"\n"
        lines, body = (self.command, b"") if len(self.command) <= INLINE_BYTES else (b"", self.command)
        fed = self.stdin or b""
        counts = (
            setup.count(10),
            lines.count(10) + 1,
            len(body),
            len(fed),
            int(self.merge_stderr),
            int(look),
        )
        head = " ".join(("R", self.nonce, *map(str, counts))) + "\n"
        return b"".join((head.encode(), setup, lines, b"\n", body, fed))

    @cached_property
    def setup(self) -> bytes:
        """Shell code that goes to the directory and exports the environment.

        Raises:
            ValueError: as `encode`.
        """
        parts = [f"cd -- {shlex.quote(self.cwd)} || return 126"]
        for name, value in self.env.items():
            if not _NAME.match(name) or name.startswith("_h_") or name in _READ_ONLY:
                raise ValueError(f"not usable as an environment name: {name!r}")
            parts.append(f"export {name}={shlex.quote(value)}")
        setup = "\n".join(parts).encode("utf-8", "surrogateescape")
        if b"\0" in setup:
            raise ValueError("a NUL byte in the working directory or environment of a command")
        return setup


def signal_request(op: str, nonce: str, *words: str) -> bytes:
    """A one-line request: T, K, A, Q, P, W, N, E or H."""
    return " ".join((op, nonce, *words)).encode() + b"\n"
