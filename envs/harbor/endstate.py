"""Describe the state an attempt left its machine in, for judges: changed paths, texts, processes, open ports.

The description is evidence, not a copy. Its size is capped, and all of its contents were written by the attempt.
"""

import difflib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from sandbox.base import Sandbox
from sandbox.container import CHANNEL_DIR
from sandbox.egress import PORT, SOCKET
from sandbox.errors import FileAccessError
from sandbox.images import PathChange, as_user, changed_paths

_MAX_LISTED = 200
_MAX_TEXTS, _MAX_TEXT_BYTES, _MAX_CHARS = 40, 32 << 10, 60_000
_MAX_BEFORE = 150
_MAX_SUMMED = 256 << 20
_NOISE = re.compile(
    r"^/(run/heats|logs|proc|sys|dev|tests|solution|var/log|var/cache|var/lib/(apt|dpkg)|usr/share/(doc|man|locale))(/|$)"
    r"|^/(tmp/tmux-[^/]*|root/\.cache|root/\.bash_history|home/[^/]+/\.cache)(/|$)"
    r"|/(__pycache__|\.pytest_cache|\.git/objects|node_modules)(/|$)"
    r"|\.pyc$"
)
_PROCESSES = r"""
for p in /proc/[0-9]*; do
  read -r line <"$p/stat" || continue
  set -- ${line##*) }
  printf '%s %s ' "${p#/proc/}" "$2"
  tr '\0\n' '  ' <"$p/cmdline" | head -c 200
  echo
done 2>/dev/null
"""
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----).*?(?:(-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----)|\Z)",
    re.DOTALL,
)
_RUNNING, _NONE = "processes still running:", "(none)"
_TERMINAL = "tmux -L heats"
_PORTS = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == \"0A\" { print $2 }'"


async def texts_before(sandbox: Sandbox) -> dict[str, str]:
    """Small text files in the working directory of a fresh sandbox, by absolute path."""
    listed = await sandbox.exec(
        f'find "$PWD" -xdev -type f -size -32k -not -path "*/.git/*" 2>/dev/null | head -n {_MAX_BEFORE}', timeout=60
    )
    found: dict[str, str] = {}
    for path in listed.text().splitlines():
        text = await _text(sandbox, path)
        if text is not None:
            found[path] = text
    return found


async def describe(sandbox: Sandbox, before: Mapping[str, str]) -> bytes:
    """Describe a sandbox as it is now; empty if nothing changed and nothing runs.

    Args:
        sandbox: the attempt's sandbox.
        before: result of `texts_before` when the sandbox was fresh.

    Raises:
        SandboxError
    """
    changes = interesting(await changed_paths(sandbox))
    workdir = (await sandbox.exec("pwd -P", timeout=60)).text().strip() or "/"
    async with as_user(sandbox, "0") as root:
        listed = await _listing(root, changes, workdir)
        texts = await _texts(root, changes, workdir, before)
        running = own_processes((await root.exec(_PROCESSES, timeout=60)).text())
        ports = [port for port in await listening_ports(root) if port != PORT]
    if not (changes or running or ports):
        return b""
    parts = [f"# heats: end state of the sandbox, working directory {workdir}"]
    parts += ["", f"paths that are not as in the image ({len(changes)}):", *listed]
    parts += ["", _RUNNING, *(running or [_NONE])]
    parts += ["", f"listening on TCP ports: {', '.join(map(str, ports)) or '(none)'}"]
    parts += ["", "small texts of the working directory:", *(texts or [_NONE])]
    return ("\n".join(parts) + "\n").encode("utf-8", "replace")


def left_running(description: bytes) -> bool:
    """Whether a description mentions processes that the attempt left running."""
    lines = description.decode("utf-8", "replace").splitlines()
    return _RUNNING in lines and lines[lines.index(_RUNNING) + 1 :][:1] != [_NONE]


def interesting(changes: Iterable[PathChange]) -> list[PathChange]:
    """Drop caches, logs, heats' own files, and directories listed only because of their contents."""
    changes = tuple(changes)
    kept = [change for change in changes if not _NOISE.search(change.path) and change.path.isprintable()]
    parents = {parent for change in changes for parent in _parents(change.path)}
    return [change for change in kept if change.kind != "changed" or change.path not in parents]


def _parents(path: str) -> Iterable[str]:
    while (path := posixpath.dirname(path)) != "/":
        yield path


async def _listing(root: Sandbox, changes: Sequence[PathChange], workdir: str) -> list[str]:
    """One line per path (kind, path, size and digest), with those in the working directory first."""
    ordered = sorted(changes, key=lambda one: (not one.path.startswith(workdir.rstrip("/") + "/"), one.path))
    shown = ordered[:_MAX_LISTED]
    there = [one.path for one in shown if one.kind != "deleted"]
    facts: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for line in (await _over(root, there, "stat -c '%F|%s|%n' --")).splitlines():
        kind, size, path = [*line.split("|", 2), "", ""][:3]
        facts[path] = kind
        # Reading anything else, such as a named pipe, might block forever.
        if kind.startswith("regular") and size.isdigit():
            facts[path], sizes[path] = f"{size} bytes", int(size)
    small = [path for path, size in sizes.items() if size <= _MAX_SUMMED]
    for line in (await _over(root, small, "sha256sum --")).splitlines():
        facts[line[66:]] = f"{facts.get(line[66:], '')}, sha256 {line[:16]}"
    lines = [f"{one.kind:8} {one.path}" + (f"  {facts[one.path]}" if one.path in facts else "") for one in shown]
    return lines + ([f"and {len(ordered) - len(shown)} more"] if len(ordered) > len(shown) else [])


async def _over(root: Sandbox, paths: Sequence[str], command: str) -> str:
    """The output of a command run on the given paths."""
    if not paths:
        return ""
    listing = "\0".join(paths).encode("utf-8", "surrogateescape")
    result = await root.exec(f"xargs -0 {command} 2>/dev/null", timeout=120, stdin=listing)
    return result.stdout.decode("utf-8", "replace")


async def _texts(root: Sandbox, changes: Sequence[PathChange], workdir: str, before: Mapping[str, str]) -> list[str]:
    """Diffs of small texts in the working directory, as many as fit."""
    lines: list[str] = []
    inside = [one for one in changes if one.path.startswith(workdir.rstrip("/") + "/")]
    for one in inside[:_MAX_TEXTS]:
        if one.kind == "changed" and one.path not in before:
            continue
        old = before.get(one.path, "")
        new = "" if one.kind == "deleted" else await _text(root, one.path)
        if new is None or (one.kind == "deleted" and not old):
            continue
        names = ("/dev/null" if one.kind == "added" else one.path, "/dev/null" if one.kind == "deleted" else one.path)
        lines += difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
        if sum(map(len, lines)) > _MAX_CHARS:
            return ["\n".join(lines)[:_MAX_CHARS], "[cut here]"]
    return lines


async def _text(sandbox: Sandbox, path: str) -> str | None:
    try:
        data = await sandbox.read_file(path, max_bytes=_MAX_TEXT_BYTES)
        return None if b"\0" in data else without_keys(data.decode("utf-8"))
    except (FileAccessError, UnicodeDecodeError):
        return None


def without_keys(text: str) -> str:
    """Remove private keys from a text: descriptions go into prompts."""
    return _PRIVATE_KEY.sub(lambda key: f"{key[1]}\n[private key left out]\n{key[2] or ''}", text)


def own_processes(listing: str) -> list[str]:
    """Command lines that the attempt left running, without duplicates or the sandbox's and terminal's own."""
    rows = [line.split(" ", 2) for line in listing.splitlines() if line.count(" ") >= 2]
    command = {pid: text.strip() for pid, _, text in rows}
    parent = {pid: above for pid, above, _ in rows}

    def is_ours(pid: str) -> bool:
        text, above = command[pid], command.get(parent[pid], "")
        waiting = parent[pid] == "1" and re.fullmatch(r"sleep \d+", text) is not None
        shell = re.fullmatch(r"-?\S*sh( (-\S+|/dev/fd/\d+))*", text) is not None
        forwarder = text.endswith(f"/{SOCKET} {CHANNEL_DIR}/egress/port {PORT}")
        terminal = _TERMINAL in text or (_TERMINAL in above and shell)
        return pid == "1" or not text or waiting or terminal or forwarder or below_supervisor(pid)

    def below_supervisor(pid: str) -> bool:
        seen: set[str] = set()
        while pid in command and pid not in seen:
            # The supervisor is a fork of the first process, or was started with its program, or the pipe that its
            # program comes through, in its arguments.
            started = "_h_dir=" in command[pid] or command[pid].startswith(f"{CHANNEL_DIR}/shell.")
            if started or (pid != "1" and command[pid] == command.get("1")):
                return True
            seen.add(pid)
            pid = parent[pid]
        return False

    return sorted({text for pid, text in command.items() if not is_ours(pid)})[:40]


async def listening_ports(root: Sandbox) -> list[int]:
    """TCP ports on which something listens in a sandbox."""
    return listening((await root.exec(_PORTS, timeout=60)).text())


def listening(table: str) -> list[int]:
    """Ports from the `ADDRESS:PORT` lines (hexadecimal) of /proc/net/tcp."""
    return sorted({int(line.rpartition(":")[2], 16) for line in table.split() if ":" in line})
