"""The base tree in a fresh sandbox, inspected before any patch enters it."""

import posixpath
import shlex
from collections.abc import Iterable, Mapping
from typing import Protocol

from envs.gitscripts import clean_script, scratch_path
from sandbox.base import Sandbox
from sandbox.errors import FileAccessError

MOST_BYTES = 256 << 10
"""Size limit in bytes for files that are read for the names in them; anything larger is no script."""


class Tree(Protocol):
    """Queries on a tree. Paths are relative to its top.

    Attributes:
        files: regular files and links.
        links: path in the tree that each link resolves to.
    """

    @property
    def files(self) -> frozenset[str]: ...

    @property
    def links(self) -> Mapping[str, str]: ...

    async def read(self, path: str) -> str:
        """Text of a file; empty if it is not a regular file or is longer than `MOST_BYTES`."""
        ...

    async def users(self, word: str) -> frozenset[str]:
        """Files that contain a word or a file name."""
        ...

    async def installed(self, module: str) -> bool:
        """Whether Python finds a top-level module outside of the tree."""
        ...


class SandboxTree:
    """The tree in a sandbox's working directory, as yet untouched by any agent."""

    def __init__(self, sandbox: Sandbox, workdir: str, files: Iterable[str], links: Mapping[str, str]) -> None:
        self._sandbox, self._workdir = sandbox, workdir
        self.files, self.links = frozenset(files), links
        self._texts: dict[str, str] = {}
        self._users: dict[str, frozenset[str]] = {}

    async def read(self, path: str) -> str:
        """Text of a file; empty if it cannot be read."""
        if path not in self._texts:
            try:
                data = await self._sandbox.read_file(f"{self._workdir}/{path}", max_bytes=MOST_BYTES)
            except FileAccessError:
                data = b""
            self._texts[path] = data.decode("utf-8", "replace")
        return self._texts[path]

    async def users(self, word: str) -> frozenset[str]:
        """Tracked files that contain a word."""
        if word not in self._users:
            script = 'GIT grep -I -l -z -w -F -e "$1" -- . || :'
            found = await self._sandbox.exec(clean_script(script, word), timeout=60, cwd=self._workdir)
            self._users[word] = frozenset(found.stdout.decode("utf-8", "replace").split("\0")[:-1])
        return self._users[word]

    async def installed(self, module: str) -> bool:
        """Whether one of the sandbox's Pythons finds a top-level module outside of the working directory."""
        code = "import importlib.util as u, sys; sys.exit(u.find_spec(sys.argv[1]) is None)"
        script = f"for python in python3 python; do $python -c {shlex.quote(code)} {shlex.quote(module)} && exit; done"
        found = await self._sandbox.exec(f"({script}) 2>/dev/null", timeout=60, cwd="/")
        return found.ok


async def look(sandbox: Sandbox, workdir: str) -> SandboxTree:
    """List the files and links of the tree. Paths that are not UTF-8 are dropped: no patch can name them.

    Raises:
        SandboxError
    """
    listed = await sandbox.exec(clean_script("GIT ls-files -s -z"), timeout=120, cwd=workdir)
    data = listed.stdout if listed.stdout_total == len(listed.stdout) else await _long_listing(sandbox, workdir)
    files: set[str] = set()
    blobs: dict[str, str] = {}
    for entry in data.split(b"\0"):
        head, _, raw = entry.partition(b"\t")
        path = raw.decode("utf-8", "surrogateescape")
        if path and path.isprintable():
            files.add(path)
            if head.startswith(b"120000 "):
                blobs[path] = head.split(b" ")[1].decode()
    return SandboxTree(sandbox, workdir, files, await _links(sandbox, workdir, blobs))


async def _links(sandbox: Sandbox, workdir: str, blobs: Mapping[str, str]) -> dict[str, str]:
    """Targets of the links that stay within the tree."""
    if not blobs:
        return {}
    ids = "".join(f"{blob}\n" for blob in blobs.values()).encode()
    found = await sandbox.exec(clean_script("GIT cat-file --batch"), timeout=60, cwd=workdir, stdin=ids)
    links, rest = {}, found.stdout
    for path in blobs:
        head, _, rest = rest.partition(b"\n")
        size = int(head.rpartition(b" ")[2]) if head.rpartition(b" ")[2].isdigit() else 0
        target, rest = rest[:size].decode("utf-8", "replace"), rest[size + 1 :]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target and not target.startswith("/") and not place.startswith(".."):
            links[path] = place
    return links


async def _long_listing(sandbox: Sandbox, workdir: str) -> bytes:
    """A listing that is longer than the output that the sandbox keeps of a command."""
    listing = scratch_path(".files")
    try:
        await sandbox.exec(clean_script('GIT ls-files -s -z >"$1"', listing), timeout=120, cwd=workdir)
        return await sandbox.read_file(listing, max_bytes=64 << 20)
    except FileAccessError:
        return b""
    finally:
        await sandbox.exec(f"rm -f {listing}", timeout=60)
