"""Any change of any tree comes out as a diff that gives the same tree again on a clean copy."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.basetree import make_base_tree
from envs.patches import patch_key
from envs.worktree import apply_patch, put_tree, take_patch

NAMES = st.sampled_from(["a.py", "b.txt", "sub/c.py", "sub/d e.md", "sub/deep/ü.txt", "日本.txt", 'q"uo.te', "tab.d/x"])
CONTENT = st.one_of(
    st.sampled_from(
        [b"", b"\n", b"no end", b"a\r\nb\r\n", b"\n\n\n", b"trailing  \n\t\n", b"\x0c\x1c\xe2\x80\xa8\n", b"\0\n"]
    ),
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"x\n", b"y\n", b"\n", b"z \n", b"-- a\n", b"+++ b\n", b"x\r\n"]), max_size=12).map(
        b"".join
    ),
)
TREES = st.dictionaries(NAMES, CONTENT, max_size=6)
MODES = st.dictionaries(NAMES, st.booleans(), max_size=3)


def snapshot(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] != ".git" and (path.is_symlink() or path.is_file()):
            executable = bool(path.lstat().st_mode & 0o100)
            found[name] = os.readlink(path) if path.is_symlink() else (path.read_bytes(), executable)
    return found


def write(folder: str, files: dict[str, bytes], modes: dict[str, bool]) -> None:
    for entry in Path(folder).iterdir():
        if entry.name != ".git":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name, data in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if modes.get(name) else 0o644)


async def round_trip(make_box: Any, before: dict[str, bytes], after: dict[str, bytes], modes: dict[str, bool]) -> None:
    base = make_base_tree(before)
    with tempfile.TemporaryDirectory() as folder:
        boxes = [make_box(f"{folder}/{name}") for name in ("agent", "clean")]
        for box in boxes:
            await put_tree(box, box.spec.workdir, base)
        write(boxes[0].spec.workdir, after, modes)
        patch = await take_patch(boxes[0], boxes[0].spec.workdir, base)
        if patch:
            assert await apply_patch(boxes[1], boxes[1].spec.workdir, patch) is None
            assert patch_key(await take_patch(boxes[1], boxes[1].spec.workdir, base)) == patch_key(patch)
        assert snapshot(boxes[0].spec.workdir) == snapshot(boxes[1].spec.workdir)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [10, pytest.param(500, marks=pytest.mark.slow)])
def test_random_trees_round_trip(examples: int, box: Any) -> None:
    def make_box(folder: str) -> Any:
        os.mkdir(folder)
        return type(box)(type(box.spec)(image="host", workdir=folder))

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(before=TREES, after=TREES, modes=MODES)
    def check(before: dict[str, bytes], after: dict[str, bytes], modes: dict[str, bool]) -> None:
        asyncio.run(round_trip(make_box, before, after, modes))

    check()
