"""A SWE-bench instance over the small repository of `cheats.py`, and a backend whose sandboxes start with its tree."""

import difflib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cheat_code import CODE, TESTS, UNITTESTS
from cheats import BASE, Files, Link
from process_box import ProcessBackend

from envs.base import Grade, Patch, Task
from envs.machine import prepared, spec_for
from envs.swebench import SweBenchEnv, SweBenchSource
from sandbox.base import Sandbox, SandboxSpec

RUNNERS: Mapping[str, tuple[str, str, str, list[str], list[str]]] = {
    "pytest": (
        f"{sys.executable} -m pytest -rA tests/test_cart.py",
        "pytest",
        "tests/test_cart.py",
        ["tests/test_cart.py::test_total"],
        ["tests/test_cart.py::test_count"],
    ),
    "django": (
        f"{sys.executable} -m unittest -v tests.unit_cart",
        "django",
        "tests/unit_cart.py",
        ["test_total (tests.unit_cart.CartTest.test_total)"],
        ["test_count (tests.unit_cart.CartTest.test_count)"],
    ),
}
GOLD: Files = {"shop/cart.py": CODE.replace(b"-=", b"+=")}
NEW_TESTS = {"tests/test_cart.py": TESTS, "tests/unit_cart.py": UNITTESTS}
OLD_TESTS = {path: data.replace(b"total([1, 2])", b"-total([1, 2])") for path, data in NEW_TESTS.items()}
"""What the base commit tests: the bug itself."""


def diff(path: str, old: bytes, new: bytes) -> str:
    """A git diff of one file."""
    lines = difflib.unified_diff(
        old.decode().splitlines(keepends=True), new.decode().splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return f"diff --git a/{path} b/{path}\n{''.join(lines)}"


def make_tree(folder: Path, git: Callable[..., str]) -> str:
    """The repository as it is in an image, with a past; returns its commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "README").write_text("a shop\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "the past")
    for path, data in {**BASE, **OLD_TESTS}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    return git(folder, "rev-parse", "HEAD")


def make_row(base_commit: str, runner: str = "pytest", **more: Any) -> dict[str, Any]:
    """The instance's row."""
    command, parser, path, fixed, kept = RUNNERS[runner]
    return {
        "instance_id": "shop__shop-1",
        "repo": "shop/shop",
        "version": "1",
        "base_commit": base_commit,
        "problem_statement": "total is negative",
        "patch": diff("shop/cart.py", CODE, CODE.replace(b"-=", b"+=")),
        "test_patch": diff(path, OLD_TESTS[path], NEW_TESTS[path]),
        "FAIL_TO_PASS": json.dumps(fixed),
        "PASS_TO_PASS": json.dumps(kept),
        "test_cmd": command,
        "log_parser": parser,
        **more,
    }


class ImageBackend(ProcessBackend):
    """A backend whose sandboxes start with a copy of a directory, as containers do with their image."""

    def __init__(self, tree: Path) -> None:
        super().__init__()
        self.tree = tree

    async def start(self, spec: SandboxSpec) -> Sandbox:
        sandbox = await super().start(spec)
        subprocess.run(["cp", "-a", f"{self.tree}/.", spec.workdir], check=True)
        return sandbox

    async def close(self) -> None:
        shutil.rmtree(self.tree)


class Shop:
    """The instance opened as an env, and attempts at it."""

    def __init__(self, folder: Path, git: Callable[..., str], row: Mapping[str, Any] | None = None) -> None:
        self.tree = folder / "image"
        self.commit = make_tree(self.tree, git)
        self.folder = folder
        self.backend = ImageBackend(self.tree)
        self.open(row or make_row(self.commit))

    def open(self, row: Mapping[str, Any], **options: Any) -> None:
        """Use another row, or other options."""
        (self.folder / "rows.json").write_text(json.dumps([row]))
        known = {
            "source": str(self.folder / "rows.json"),
            "workdir": str(self.folder / "testbed"),
            "test_timeout_s": 60,
        }
        self.env = SweBenchEnv.open(SweBenchSource(**{**known, **options}))

    @property
    def task(self) -> Task:
        """The single task."""
        return self.env.tasks()[0]

    def prepared(self) -> Any:
        """A sandbox as agents receive it."""
        return prepared(self.env, self.task, self.backend, spec_for(self.task))

    async def patch(self, files: Files) -> Patch:
        """The patch of an attempt that results in these files; None deletes one."""
        async with self.prepared() as box:
            for path, data in files.items():
                await box.exec(f"rm -f {path}; rmdir $(dirname {path}) 2>/dev/null", timeout=60)
                if isinstance(data, Link):
                    await box.exec(f"ln -s {data.target} {path}", timeout=60)
                elif data is not None:
                    await box.write_file(f"{self.task.workdir}/{path}", data)
            return await self.env.collect(self.task, box)

    async def grade(self, patch: Patch) -> Grade:
        """The patch's grade."""
        grade = await self.env.grade(self.task, patch, self.backend)
        assert grade is not None
        return grade
