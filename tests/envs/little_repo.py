"""A small repository, its test command, and patches to it, for stories about verification."""

import sys
from collections.abc import Mapping
from typing import Any

from process_box import ProcessBackend

from envs import Bench, VerifyRules, baseline, verify
from envs.base import Evidence, Patch, Task, TestReport
from envs.basetree import make_base_tree
from envs.machine import spec_for
from envs.repository import RepositoryEnv
from envs.worktree import put_tree, take_patch

PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:randomly"
UNITTEST = f"{sys.executable} -m unittest"
PRICE = "def total(prices, discount):\n    return sum(prices) * (100 + discount) / 100\n"
FIXED = {"price.py": PRICE.replace("+", "-")}
COMMENT = {"price.py": "# nothing\n" + PRICE}


class Repo:
    """The repository `files`, tested by `command` in sandboxes that are plain processes."""

    def __init__(self, workdir: str, files: Mapping[str, str], command: str, **rules: Any) -> None:
        tree = make_base_tree({path: text.encode() for path, text in {"price.py": PRICE, **files}.items()})
        task = Task(
            id="repo", statement="a discount makes things dearer", image="host", workdir=workdir,
            base_commit=tree.commit, test_command=command, test_timeout_s=rules.pop("timeout_s", 60.0),
        )  # fmt: skip
        self.env = RepositoryEnv(task, tree)
        self.bench = Bench(backend=ProcessBackend(), rules=VerifyRules(**rules))

    async def baseline(self) -> TestReport:
        """The tests' result on the unpatched tree."""
        return await baseline(self.env, self.env.task, self.bench)

    async def patch(self, files: Mapping[str, str]) -> Patch:
        """A patch that results in these files."""
        task, backend = self.env.task, self.bench.backend
        box = await backend.start(spec_for(task))
        await put_tree(box, task.workdir, self.env.tree)
        for path, text in files.items():
            await box.write_file(f"{task.workdir}/{path}", text.encode())
        patch = await take_patch(box, task.workdir, self.env.tree)
        await box.close()
        return patch

    async def verify(self, files: Mapping[str, str], before: TestReport | None = None) -> Evidence:
        """The evidence for a patch that results in these files."""
        return await verify(self.env, self.env.task, await self.patch(files), self.bench, before=before)
