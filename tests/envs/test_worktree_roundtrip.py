"""Whatever a repository contains and an agent does to it, applying the patch to the base gives the agent's tree.

Repositories are odd on purpose: names, modes, links, line endings, encodings, attributes and binary files, stored in
git byte for byte whether they match their attributes or not.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from envs.base import Patch
from envs.basetree import read_base_tree
from envs.errors import PatchRejected
from envs.worktree import apply_patch, put_tree, take_patch

GIT = ["git", "-c", "core.autocrlf=false", "-c", "core.safecrlf=false", "-c", "safe.directory=*", "-c", "user.name=t"]
QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_COMMITTER_EMAIL": "t@localhost"}
ENV = {"PATH": os.environ["PATH"], "LC_ALL": "C", "GIT_AUTHOR_EMAIL": "t@localhost", **QUIET}

CARRIED = [
    "a.py",
    "b.txt",
    "sub/c.py",
    "sub/d e.md",
    "sub/deep/\u00fc.txt",
    "\u65e5\u672c.txt",
    'q"uo.te',
    "-n",
    "B.TXT",
]
CARRIED += [
    "star*[x]?.txt",
    "#c",
    "!n",
    " lead",
    "trail ",
    "crlf/w.txt",
    "crlf/x.bin",
    "u16/y.txt",
    "id/z.py",
    ":(top)",
]
LEFT_OUT = ["tab\tname", "line\nend", os.fsdecode(b"latin\xe9.txt")]
NAMES = st.sampled_from([*CARRIED, *CARRIED, *LEFT_OUT])
LINES = [
    b"x\n",
    b"y\n",
    b"\n",
    b"z \n",
    b"-- a\n",
    b"+++ b\n",
    b"x\r\n",
    b"w\r\n",
    b"$Id$\n",
    "\u00fc\n".encode(),
    b"end",
]
CONTENT = st.one_of(
    st.sampled_from(
        [b"", b"\n", b"no end", b"a\r\nb\r\n", b"\x0c\x1c\xe2\x80\xa8\n", b"\0\n", "w\u00f6\n".encode("utf-16")]
    ),
    st.binary(max_size=200),
    st.lists(st.sampled_from(LINES), max_size=16).map(b"".join),
)
FILES = st.dictionaries(NAMES, st.tuples(CONTENT, st.booleans()), max_size=6)
LINKS = st.lists(
    st.sampled_from([("link", "a.py"), ("link", "gone"), ("sub/link", "../a.py"), ("b.txt", "a.py")]), max_size=2
).map(dict)
ATTRIBUTES = st.lists(
    st.sampled_from(
        [
            *(
                "* text=auto",
                "* text",
                "*.txt text",
                "*.txt eol=lf",
                "crlf/* text eol=crlf",
                "crlf/*.txt eol=crlf -text",
            ),
            *(
                "* -text",
                "*.py ident",
                "id/* ident",
                "u16/* text working-tree-encoding=UTF-16",
                "*.bin binary",
                "*.md -diff",
            ),
            *(
                "*.bin filter=lfs diff=lfs merge=lfs -text",
                "*.txt filter=nobody",
                "* text=auto eol=crlf",
                "*.txt diff=own",
            ),
        ]
    ),
    max_size=3,
)


def git(folder: str, *arguments: str, stdin: bytes | None = None, **env: str) -> bytes:
    return subprocess.run(
        [*GIT, *arguments], cwd=folder, input=stdin, env={**ENV, **env}, capture_output=True, check=True
    ).stdout


def commit(folder: str, files: dict[str, tuple[bytes, bool]], links: dict[str, str], attributes: list[str]) -> None:
    """A repository with these bytes as its blobs, regardless of its attributes."""
    git(folder, "init", "-q")
    stored = {name: ("100755" if executable else "100644", data) for name, (data, executable) in files.items()}
    stored |= {name: ("120000", os.fsencode(target)) for name, target in links.items()}
    if attributes:
        stored[".gitattributes"] = ("100644", "".join(f"{line}\n" for line in attributes).encode())
    entries = b""
    for name, (mode, data) in stored.items():
        blob = git(folder, "hash-object", "-w", "--stdin", stdin=data).decode().strip()
        entries += f"{mode} {blob}\t".encode() + os.fsencode(name) + b"\0"
    git(folder, "update-index", "-z", "--index-info", stdin=entries)
    git(folder, "commit", "-q", "--allow-empty", "-m", "base")


def lay_out(folder: str, files: dict[str, tuple[bytes, bool]], links: dict[str, str], kept: bool) -> None:
    """What an agent leaves: these files, added to or replacing the existing ones."""
    for entry in Path(folder).iterdir():
        if not kept and entry.name not in (".git", ".gitattributes"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for name, made in [*files.items(), *links.items()]:
        path = Path(folder, name)
        if any(parent.is_symlink() or parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(made, str):
            path.symlink_to(made)
        else:
            path.write_bytes(made[0])
            path.chmod(0o755 if made[1] else 0o644)


def snapshot(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] != ".git" and (path.is_symlink() or path.is_file()):
            executable = bool(path.lstat().st_mode & 0o100)
            found[name] = os.readlink(path) if path.is_symlink() else (path.read_bytes(), executable)
    return found


def as_git_keeps(folder: str, name: str, data: bytes) -> set[bytes]:
    """A file's possible contents after commit and checkout: its own bytes if a blob gives them, else git's reading."""
    blobs = [git(folder, "hash-object", "-w", "--no-filters", "--stdin", stdin=data)]
    with suppress(subprocess.CalledProcessError):
        blobs.append(git(folder, "hash-object", "-w", f"--path={name}", "--stdin", stdin=data))
    laid = {git(folder, "cat-file", "--filters", f"--path={name}", blob.decode().strip()) for blob in blobs}
    return {data} if data in laid else laid


async def round_trip(box: Any, before: Any, after: Any, kept: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = [f"{folder}/{name}" for name in ("source", "agent", "clean")]
        for place in places:
            os.mkdir(place)
        source, agent, clean = places
        commit(source, *before)
        base = read_base_tree(source)
        boxes = [type(box)(type(box.spec)(image="host", workdir=place)) for place in (agent, clean)]
        for one in boxes:
            await put_tree(one, one.spec.workdir, base)
        assert (await take_patch(boxes[0], agent, base)).data == b"", "an untouched tree"
        lay_out(agent, *after, kept)
        try:
            patch = await take_patch(boxes[0], agent, base)
        except PatchRejected as rejected:
            patch = Patch(b"", rejected.reasons)
        if patch:
            assert await apply_patch(boxes[1], clean, patch) is None
        there, wanted = snapshot(clean), snapshot(agent)
        for name in (there.keys() | wanted.keys()) - set(LEFT_OUT):
            if there.get(name) != wanted.get(name):
                assert there[name][1] == wanted[name][1], name
                assert there[name][0] in as_git_keeps(agent, name, wanted[name][0]), name
        if not before[2] and not patch.notes:
            git(agent, "add", "-A", GIT_INDEX_FILE=f"{folder}/index")
            tree = git(agent, "write-tree", GIT_INDEX_FILE=f"{folder}/index")
            git(agent, "read-tree", base.commit, GIT_INDEX_FILE=f"{folder}/applied")
            if patch:
                git(agent, "apply", "--cached", "-", stdin=patch.data, GIT_INDEX_FILE=f"{folder}/applied")
            assert git(agent, "write-tree", GIT_INDEX_FILE=f"{folder}/applied") == tree, "the same as git's own diff"


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("examples", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_odd_repositories_round_trip(examples: int, box: Any) -> None:
    quiet = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}

    @settings(max_examples=examples, phases=[Phase.generate], **quiet)  # a smaller example would take minutes to find
    @given(before=st.tuples(FILES, LINKS, ATTRIBUTES), after=st.tuples(FILES, LINKS), kept=st.booleans())
    def check(before: Any, after: Any, kept: bool) -> None:
        files, links, attributes = before
        before = ({name: made for name, made in files.items() if name not in links}, links, attributes)
        asyncio.run(round_trip(box, before, after, kept))

    check()
