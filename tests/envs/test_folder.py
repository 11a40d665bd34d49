"""A folder within a repository as `--repo`: the repository is found, and everything runs in the folder."""

from pathlib import Path
from typing import Any

import pytest
from process_box import ProcessBackend

from envs import RepositoryEnv, RepositorySource
from envs.base import Patch
from envs.errors import TaskError
from envs.verify import Bench, baseline, verify

TEST = "import unittest\nfrom price import half\n\n\nclass T(unittest.TestCase):\n    def test_half(self):\n"
TEST += "        self.assertEqual(half(4), 2)\n\n    def test_none(self):\n        self.assertEqual(half(0), 0)\n"
FIX = b"--- a/services/api/price.py\n+++ b/services/api/price.py\n@@ -1,2 +1,2 @@\n def half(x):\n"
FIX += b"-    return x * 2\n+    return x / 2\n"


@pytest.fixture
def folder(tmp_path: Path, git: Any) -> Path:
    folder = tmp_path / "repo" / "services" / "api"
    folder.mkdir(parents=True)
    git(tmp_path / "repo", "init", "-q")
    (folder / "price.py").write_text("def half(x):\n    return x * 2\n")
    (folder / "test_price.py").write_text(TEST)
    git(tmp_path / "repo", "add", "-A")
    git(tmp_path / "repo", "commit", "-qm", "x")
    return folder


def test_the_repository_of_a_folder_is_found(folder: Path) -> None:
    env = RepositoryEnv.open(RepositorySource(repository=str(folder), issue="x", workdir="/w"))
    assert (env.task.workdir, env.task.folder, env.task.runs_in) == ("/w", "services/api", "/w/services/api")
    (folder / "new").mkdir()
    with pytest.raises(TaskError, match="not in its commit"):
        RepositoryEnv.open(RepositorySource(repository=str(folder / "new"), issue="x"))


async def test_tests_run_in_the_folder_and_patches_are_of_the_whole_tree(
    folder: Path, workdir: str, backend: ProcessBackend
) -> None:
    source = RepositorySource(
        repository=str(folder), issue="x", test_command="python3 -m unittest", setup="test -f price.py", workdir=workdir
    )
    env = RepositoryEnv.open(source)
    bench = Bench(backend=backend)
    before = await baseline(env, env.task, bench)
    assert before.ids("failed") == ("test_price.T.test_half",)
    assert before.files == ("services/api/test_price.py",)
    found = await verify(env, env.task, Patch(FIX), bench, before=before)
    assert found.verdict == "verified", found.reason
