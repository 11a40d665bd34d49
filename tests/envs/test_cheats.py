"""Patches that make tests look good without fixing anything. None may be verified; the true fix is, nothing is not."""

import sys
from typing import Any

import pytest
from cheats import BASE, CHEATS, CODE, TESTS, Files

from envs.base import Evidence, Patch, Task, TestReport
from envs.basetree import make_base_tree
from envs.machine import spec_for
from envs.repository import RepositoryEnv
from envs.verify import Bench, baseline, verify
from envs.worktree import put_tree, take_patch

pytestmark = pytest.mark.slow

RUNNERS = {
    "pytest": f"{sys.executable} -m pytest -q tests/test_cart.py",
    "unittest": f"{sys.executable} -m unittest tests.unit_cart",
}


class Shop:
    """The little repository, the baseline of each runner, and a way to verify files as an agent would leave them."""

    def __init__(self, backend: Any, workdir: str, runner: str) -> None:
        self.bench = Bench(backend=backend)
        self.before: TestReport | None = None
        tree = make_base_tree(BASE)
        task = Task(
            id="shop", statement="total is negative", image="host", workdir=workdir,
            base_commit=tree.commit, test_command=RUNNERS[runner], test_timeout_s=60,
        )  # fmt: skip
        self.env = RepositoryEnv(task, tree)

    async def patch(self, files: Files) -> Patch:
        task = self.env.task
        box = await self.bench.backend.start(spec_for(task))
        await put_tree(box, task.workdir, self.env.tree)
        for path, data in files.items():
            if data is None:
                await box.exec(f"rm {path}", timeout=9)
            else:
                await box.write_file(f"{task.workdir}/{path}", data)
        patch = await take_patch(box, task.workdir, self.env.tree)
        await box.close()
        return patch

    async def verify(self, files: Files) -> Evidence:
        patch = await self.patch(files)
        return await verify(self.env, self.env.task, patch, self.bench, before=self.before)


@pytest.fixture(scope="module")
def known() -> dict[str, TestReport]:
    """Baselines by runner: the same for every cheat."""
    return {}


@pytest.fixture(params=RUNNERS)
async def shop(request: Any, backend: Any, workdir: str, known: dict[str, TestReport]) -> Shop:
    shop = Shop(backend, workdir, request.param)
    if request.param not in known:
        known[request.param] = await baseline(shop.env, shop.env.task, shop.bench)
    shop.before = known[request.param]
    return shop


@pytest.mark.parametrize("cheat", CHEATS)
async def test_no_cheat_is_verified(cheat: str, shop: Shop) -> None:
    found = await shop.verify(CHEATS[cheat])
    assert found.verdict == "unverified", found.reason
    assert found.rank <= 1
    assert found.reason


async def test_the_fix_is_verified(shop: Shop) -> None:
    found = await shop.verify({"shop/cart.py": CODE.replace(b"-=", b"+=")})
    assert (found.verdict, found.rank, len(found.fixed)) == ("verified", 3, 1), found.reason
    assert "confirmed by a second run with sentinel tests" in found.reason
    assert not found.restored


async def test_no_patch_is_no_patch(shop: Shop) -> None:
    assert (await shop.verify({})).verdict == "no_patch"


async def test_a_fix_with_its_own_tests_is_verified_and_they_do_not_count(shop: Shop) -> None:
    found = await shop.verify(
        {
            "shop/cart.py": CODE.replace(b"-=", b"+="),
            "tests/test_new.py": b"def test_new(): assert False\n",
            "tests/test_cart.py": TESTS + b"\n\ndef test_more():\n    assert False\n",
        }
    )
    assert found.verdict == "verified", found.reason
    assert found.restored == ("tests/test_cart.py", "tests/test_new.py")
    assert "without the patch's changes to what tests: tests/test_cart.py, tests/test_new.py" in found.reason


async def test_a_fix_that_breaks_something_is_broken(shop: Shop) -> None:
    bad = CODE.replace(b"-=", b"+=").replace(b"len(items)", b"0")
    found = await shop.verify({"shop/cart.py": bad})
    assert (found.verdict, found.rank, len(found.broken)) == ("unverified", 0, 1)


async def test_a_fix_that_changes_the_projects_settings_is_verified_without_them(shop: Shop) -> None:
    more = BASE["pyproject.toml"].replace(b'version = "1"', b'version = "2"')
    found = await shop.verify({"shop/cart.py": CODE.replace(b"-=", b"+="), "pyproject.toml": more})
    assert (found.verdict, found.restored) == ("verified", ("pyproject.toml",))


async def test_the_baseline_says_what_fails(shop: Shop) -> None:
    report = shop.before
    assert report is not None
    assert (report.status, len(report.ids("failed")), len(report.ids("passed"))) == ("failed", 1, 1)
