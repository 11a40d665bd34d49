"""The tree at one commit, packed: all that a sandbox ever receives of a repository.

A `BaseTree` holds exactly the objects of one commit: no parents, other refs, remotes, configuration or uncommitted
changes. It is read from a repository (`read_base_tree`) or built from plain files (`make_base_tree`).
"""

import hashlib
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import git

from envs.errors import GitMissing, TaskError

_AUTHOR = "heats <heats@localhost> 1700000000 +0000"
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
GIT_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
_URL = re.compile(r"^([a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BaseTree:
    """The objects of one commit.

    Attributes:
        commit: full commit id; HEAD in the sandbox.
        pack: git pack with the commit, its trees and its blobs.
        notes: what may surprise the user, one line each: uncommitted changes, submodules, LFS pointers.
        folder: requested directory, relative to the top of the repository; empty for the top itself.
        submodules: paths of the submodules, whose folders stay empty.
    """

    commit: str
    pack: bytes
    notes: tuple[str, ...] = ()
    folder: str = ""
    submodules: tuple[str, ...] = ()


def read_base_tree(source: str, ref: str = "HEAD") -> BaseTree:
    """Pack one commit of a repository on disk or behind a URL, without changing the repository or running its hooks.

    Works on work trees, bare, shallow and linked-worktree repositories. Blocks: call it in a thread.

    Args:
        source: a repository's top directory, a folder in it, a bare repository, or a URL that git can fetch.
        ref: commit id, branch or tag.

    Raises:
        TaskError: no such repository, no commits, unknown ref, or objects missing from a partial clone.
    """
    if _URL.match(source):
        return _fetch(source, ref)
    path = Path(source).expanduser()
    repo, folder = _find(path, source)
    with closing(repo):
        return _read(repo, source, ref, folder)


def _find(path: Path, source: str) -> tuple[git.Repo, str]:
    """The repository that contains a path, and the path's folder within it."""
    try:
        return git.Repo(path, search_parent_directories=False), ""
    except git.NoSuchPathError:
        raise TaskError(f"no such repository: {source}") from None
    except git.InvalidGitRepositoryError:
        pass
    try:
        repo = git.Repo(path, search_parent_directories=True)
        folder = path.resolve().relative_to(Path(repo.working_tree_dir or "").resolve()).as_posix()
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError):
        raise TaskError(f"not a git repository: {source} (run `git init` there)") from None
    return repo, "" if folder == "." else folder


def _read(repo: git.Repo, source: str, ref: str, folder: str = "") -> BaseTree:
    # By name: for a bare repository without a configuration file, git would search the parent directory.
    repo.git.update_environment(**GIT_ENVIRONMENT, GIT_ALLOW_PROTOCOL="none", GIT_DIR=str(repo.git_dir))
    with git_errors(f"git cannot read {source}"):
        commit = _resolve(repo, source, ref)
        if folder and not _run(repo, "ls-tree", "-d", commit, "--", folder).strip():
            raise TaskError(
                f"{source} is in the repository {repo.working_tree_dir}, but not in its commit {commit[:12]}"
            )
        listing = _run(repo, "ls-tree", "-r", "-z", commit, strip_newline_in_stdout=False).split("\0")
        entries = [_entry(line) for line in listing if line]
        modules = tuple(path for mode, _, path in entries if mode == "160000")
        notes = (*_uncommitted(repo), *_limits(repo, entries, modules))
        return BaseTree(commit, _pack(repo, commit), notes, folder, modules)


def _entry(line: str) -> tuple[str, str, str]:
    """Mode, object id and path of one line of `git ls-tree`."""
    about, _, path = line.partition("\t")
    mode, _, name = about.split(" ")
    return mode, name, path


def _resolve(repo: git.Repo, source: str, ref: str) -> str:
    def find(name: str) -> str:
        found: str = _run(repo, "rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
        return found.strip()

    try:
        return find(ref)
    except git.GitCommandError as error:
        if "dubious ownership" in str(error.stderr):
            raise
    try:
        find("HEAD")
    except git.GitCommandError:
        raise TaskError(f"{source} has no commits: commit the tree that the issue refers to") from None
    raise TaskError(f"{source} has no commit, branch or tag named {ref!r}")


def _pack(repo: git.Repo, commit: str) -> bytes:
    objects = _run(repo, "rev-list", "--objects", "--no-object-names", "--no-walk", commit)
    with tempfile.TemporaryFile() as listing:
        listing.write(objects.encode() + b"\n")
        listing.seek(0)
        packed: bytes = _run(
            repo,
            "pack-objects",
            "-q",
            "--stdout",
            "--threads=1",
            istream=listing,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
        )
    return packed


def _uncommitted(repo: git.Repo) -> Iterator[str]:
    if not repo.bare and _run(repo, "status", "--porcelain", "--ignore-submodules=all").strip():
        yield "uncommitted changes are ignored: attempts start from the commit"


def _limits(repo: git.Repo, entries: Sequence[tuple[str, str, str]], modules: Sequence[str]) -> Iterator[str]:
    if modules:
        yield f"submodules are not supported and stay empty: {', '.join(modules[:5])}"
    for _, blob, path in entries:
        if path.rpartition("/")[2] == ".gitattributes" and "filter=lfs" in _run(repo, "cat-file", "blob", blob):
            yield f"Git LFS is not supported: files that {path} assigns to LFS are pointers in the sandbox"
            return


def _run(repo: git.Repo, *arguments: str, **options: Any) -> Any:
    """Run one git command in the repository, with everything that could run foreign code disabled."""
    return repo.git.execute([repo.git.GIT_PYTHON_GIT_EXECUTABLE or "git", *_SAFE, *arguments], **options)


def _fetch(url: str, ref: str, *shape: str) -> BaseTree:
    """Fetch one commit of a remote repository into a temporary clone, with the user's own git credentials."""
    with tempfile.TemporaryDirectory(prefix="heats-fetch-") as folder:
        git.Git(folder).execute(["git", "init", "-q", "--bare", *shape, folder], env=GIT_ENVIRONMENT)
        with closing(git.Repo(folder)) as repo, git_errors(f"cannot fetch {ref} of {without_password(url)}"):
            repo.git.update_environment(**GIT_ENVIRONMENT)
            where = (url, f"{ref}:refs/heats")
            try:
                _run(repo, "fetch", "-q", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", *where)
            except git.GitCommandError as error:
                if shape or "sha256" not in str(error.stderr):
                    raise
                return _fetch(url, ref, "--object-format=sha256")
            return _read(repo, without_password(url), "refs/heats")


@contextmanager
def git_errors(what: str) -> Iterator[None]:
    """Translate GitPython's exceptions into ours; the only place that does."""
    try:
        yield
    except git.GitCommandError as error:
        text = str(error.stderr or error)
        line = next((line for line in text.splitlines() if re.search("fatal|error", line)), text.strip())
        line = without_password(re.sub(r"^\W*stderr: '?|(fatal|error): |'$", "", line.strip()))
        hint = " (a partial clone? run `git fetch --refetch` in it)" if "promisor" in text or "missing" in text else ""
        if "dubious ownership" in text:
            hint = " (it belongs to another user: `git config --global --add safe.directory PATH` if you trust it)"
        raise TaskError(f"{what}: {line}{hint}") from None
    except git.GitCommandNotFound:
        raise GitMissing("git is not installed on this machine") from None


def without_password(text: str) -> str:
    return re.sub(r"(://)[^/@\s]+@", r"\1", text)


def make_base_tree(files: Mapping[str, bytes], message: str = "base") -> BaseTree:
    """Commit plain files; the same files give the same commit id on every machine.

    Args:
        files: content by path relative to the top; all are regular, non-executable files.
        message: the commit message.
    """
    objects: dict[str, tuple[int, bytes]] = {}
    tree = _write_tree({tuple(path.split("/")): data for path, data in files.items()}, objects)
    text = f"tree {tree}\nauthor {_AUTHOR}\ncommitter {_AUTHOR}\n\n{message}\n".encode()
    commit = _add_object(1, b"commit", text, objects)
    return BaseTree(commit, _write_pack(objects))


def _add_object(kind: int, name: bytes, data: bytes, objects: dict[str, tuple[int, bytes]]) -> str:
    digest = hashlib.sha1(b"%s %d\0" % (name, len(data)) + data, usedforsecurity=False).hexdigest()
    objects[digest] = (kind, data)
    return digest


def _write_tree(files: Mapping[tuple[str, ...], bytes], objects: dict[str, tuple[int, bytes]]) -> str:
    entries: list[tuple[bytes, bytes]] = []
    folders: dict[str, dict[tuple[str, ...], bytes]] = {}
    for path, data in files.items():
        if len(path) == 1:
            blob = _add_object(3, b"blob", data, objects)
            entries.append((path[0].encode(), b"100644 %s\0" % path[0].encode() + bytes.fromhex(blob)))
        else:
            folders.setdefault(path[0], {})[path[1:]] = data
    for name, inside in folders.items():
        tree = _write_tree(inside, objects)
        entries.append((name.encode() + b"/", b"40000 %s\0" % name.encode() + bytes.fromhex(tree)))
    return _add_object(2, b"tree", b"".join(entry for _, entry in sorted(entries)), objects)


def _write_pack(objects: Mapping[str, tuple[int, bytes]]) -> bytes:
    """A pack of whole (undeltified) objects, per gitformat-pack(5)."""
    out = bytearray(b"PACK" + struct.pack(">II", 2, len(objects)))
    for _, (kind, data) in sorted(objects.items()):
        size = len(data)
        byte = (kind << 4) | (size & 15)
        size >>= 4
        while size:
            out.append(byte | 128)
            byte, size = size & 127, size >> 7
        out.append(byte)
        out += zlib.compress(data)
    return bytes(out) + hashlib.sha1(out, usedforsecurity=False).digest()
