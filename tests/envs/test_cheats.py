"""Patches that make tests look good without fixing anything are not verified; the true fix is, and no patch is not.

They run in bubblewrap, which is fast; if it is missing, they are skipped.
"""

import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from cheat_code import CODE, TESTS
from cheat_code_node import COIN_IN_PROCESS
from cheat_code_node import FIX as NODE_FIX
from cheats import BASE, CHEATS, SHAPES, Files, Link, shapes_of
from cheats_elsewhere import CHEATS as ELSEWHERE
from cheats_elsewhere import PROJECTS, Cheat
from cheats_node import BASES, RUNNERS, mounts
from cheats_node import CHEATS as NODE_CHEATS

from envs.base import Evidence, Patch, Task, TestReport
from envs.basetree import make_base_tree
from envs.confirm import room_for_all
from envs.machine import spec_for
from envs.repository import RepositoryEnv
from envs.verify import Bench, baseline, verify
from envs.worktree import put_tree, take_patch
from sandbox import SandboxConfig, open_backend
from sandbox.base import Sandbox, SandboxBackend, SandboxSpec
from sandbox.toolbox import TOOLBOX

pytestmark = [pytest.mark.slow, pytest.mark.bubblewrap]


class Repo:
    """A small repository and one way to run its tests; verifies files as an agent would leave them."""

    def __init__(self, backend: SandboxBackend, base: Files, command: str, **more: Any) -> None:
        self.bench = Bench(backend=backend, spare=room_for_all)
        tree = make_base_tree({path: data for path, data in base.items() if isinstance(data, bytes)})
        task = Task(
            id="shop", statement="total is negative", image="host", workdir="/work", base_commit=tree.commit,
            test_command=command, test_timeout_s=90, **more,
        )  # fmt: skip
        self.env = RepositoryEnv(task, tree)
        self.before: TestReport | None = None

    async def patch(self, files: Files) -> Patch:
        task = self.env.task
        box = await self.bench.backend.start(spec_for(task))
        await put_tree(box, task.workdir, self.env.tree)
        for path, data in files.items():
            await box.exec(f"rm -f {path}; rmdir $(dirname {path}) 2>/dev/null", timeout=60, cwd=task.workdir)
            if isinstance(data, Link):
                await box.exec(f"ln -s {data.target} {path}", timeout=60, cwd=task.workdir)
            elif data is not None:
                await box.write_file(f"{task.workdir}/{path}", data)
        patch = await take_patch(box, task.workdir, self.env.tree)
        await box.close()
        return patch

    async def verify(self, files: Files) -> Evidence:
        patch = await self.patch(files)
        self.before = self.before or await baseline(self.env, self.env.task, self.bench)
        return await verify(self.env, self.env.task, patch, self.bench, before=self.before)


class Mounting:
    """A backend whose sandboxes see some directories of this machine."""

    def __init__(self, backend: SandboxBackend, mounts: Mapping[str, str]) -> None:
        self.backend, self.mounts = backend, mounts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    async def start(self, spec: SandboxSpec) -> Sandbox:
        return await self.backend.start(replace(spec, read_only_mounts={**spec.read_only_mounts, **self.mounts}))


@pytest.fixture
async def bubblewrap() -> AsyncIterator[SandboxBackend]:
    backend = await open_backend(SandboxConfig(backend="bubblewrap"))
    yield backend
    await backend.close()


@pytest.fixture(scope="module")
def known() -> dict[str, TestReport]:
    """Baselines by command, shared by all cheats."""
    return {}


class Shops:
    """The Python repository, for each way to run its tests."""

    def __init__(self, backend: SandboxBackend, known: dict[str, TestReport]) -> None:
        self.backend, self.known = backend, known

    async def verify(self, files: Files, shape: str) -> Evidence:
        repo = Repo(self.backend, BASE, SHAPES[shape], toolbox=True, env={"PYTHONPATH": TOOLBOX})
        repo.before = self.known.get(shape)
        found = await repo.verify(files)
        if repo.before is not None:
            self.known[shape] = repo.before
        return found


@pytest.fixture
def shops(bubblewrap: SandboxBackend, known: dict[str, TestReport]) -> Shops:
    return Shops(bubblewrap, known)


@pytest.mark.parametrize(("cheat", "shape"), [(cheat, shape) for cheat in CHEATS for shape in shapes_of(cheat)])
async def test_no_cheat_is_verified(cheat: str, shape: str, shops: Shops) -> None:
    found = await shops.verify(CHEATS[cheat], shape)
    assert found.verdict != "verified", found.reason
    assert found.reason
    assert found.verdict == "unverified" or found.strength_reasons


@pytest.mark.parametrize(
    ("cheat", "command"),
    [
        pytest.param(one, command, id=f"{one.project}-{one.name}-{command}")
        for one in ELSEWHERE
        for command in one.commands
    ],
)
async def test_no_cheat_in_another_language_is_verified(cheat: Cheat, command: str, bubblewrap: SandboxBackend) -> None:
    found = await repo_of(bubblewrap, cheat.project, command).verify(cheat.files)
    assert found.verdict != "verified", found.reason


@pytest.mark.parametrize(
    ("project", "command"), [(name, command) for name, project in PROJECTS.items() for command in project.commands]
)
async def test_a_fix_in_another_language_passes(project: str, command: str, bubblewrap: SandboxBackend) -> None:
    found = await repo_of(bubblewrap, project, command).verify(PROJECTS[project].fix)
    assert found.rank >= 2, found.reason


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("cheat", NODE_CHEATS)
async def test_no_cheat_is_verified_by_a_runner_of_node(
    cheat: str, runner: str, nodes: Mapping[str, Repo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its results alone: what the text of such a patch says is not looked at."""
    monkeypatch.setattr(sys.modules["envs.verify"], "signs_of_tampering", lambda patch: ())
    found = await nodes[runner].verify({"lib/cart.js": NODE_CHEATS[cheat]})
    assert found.verdict != "verified", found.reason


@pytest.mark.parametrize("runner", RUNNERS)
async def test_a_fix_is_verified_by_a_runner_of_node(runner: str, nodes: Mapping[str, Repo]) -> None:
    found = await nodes[runner].verify({"lib/cart.js": NODE_FIX})
    assert (found.verdict, len(found.fixed)) == ("verified", 3), found.reason


async def test_luck_is_not_verified_by_a_runner_of_node(bubblewrap: SandboxBackend) -> None:
    """Each process of the base tosses a coin on whether its tests pass; the patch adds a comment."""
    if shutil.which("npm") is None:
        pytest.skip("not installed: npm")
    for number in range(2):
        repo = Repo(bubblewrap, {**BASES["node --test"], "lib/cart.js": COIN_IN_PROCESS}, "npm test")
        lucky = await repo.verify({"lib/cart.js": COIN_IN_PROCESS + b"// %d\n" % number})
        assert lucky.verdict != "verified", lucky.reason


@pytest.fixture
def nodes(bubblewrap: SandboxBackend, known: dict[str, TestReport]) -> Mapping[str, Repo]:
    """The repository of each runner of Node.js."""
    if shutil.which("npm") is None:
        pytest.skip("not installed: npm")
    every: dict[str, Repo] = {}
    for runner, base in BASES.items():
        mounting: Any = Mounting(bubblewrap, mounts(runner))
        every[runner] = _Known(mounting, base, "npm test", known, runner)
    return every


class _Known(Repo):
    """A repository whose baseline is shared with other tests."""

    def __init__(
        self, backend: SandboxBackend, base: Files, command: str, known: dict[str, TestReport], key: str
    ) -> None:
        super().__init__(backend, base, command)
        self.known, self.key, self.before = known, key, known.get(key)

    async def verify(self, files: Files) -> Evidence:
        found = await super().verify(files)
        if self.before is not None:
            self.known[self.key] = self.before
        return found


def repo_of(backend: SandboxBackend, name: str, command: str) -> Repo:
    project = PROJECTS[name]
    if missing := [program for program in project.needs if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    mounting: Any = Mounting(backend, project.mounts())
    return Repo(mounting, project.base, project.commands[command], env=dict(project.env))


FIXED = {"shop/cart.py": CODE.replace(b"-=", b"+=")}


@pytest.mark.parametrize("shape", ["pytest", "unittest", "cd", "class id", "method", "discover", "make"])
async def test_the_fix_is_verified_and_nothing_is_put_back(shape: str, shops: Shops) -> None:
    found = await shops.verify(FIXED, shape)
    assert (found.verdict, found.rank, len(found.fixed)) == ("verified", 3, 1), found.reason
    assert not found.restored


async def test_no_patch_is_no_patch(shops: Shops) -> None:
    assert (await shops.verify({}, "pytest")).verdict == "no_patch"


async def test_a_fix_with_its_own_tests_is_verified_and_they_do_not_count(shops: Shops) -> None:
    more = {
        "tests/test_new.py": b"def test_new(): assert False\n",
        "tests/test_cart.py": TESTS + b"\n\ndef test_more():\n    assert False\n",
    }
    found = await shops.verify({**FIXED, **more}, "pytest")
    assert found.verdict == "verified", found.reason
    assert found.restored == ("tests/test_cart.py", "tests/test_new.py")
    assert "without the patch's changes to tests: tests/test_cart.py, tests/test_new.py" in found.reason


async def test_a_fix_that_breaks_something_is_broken(shops: Shops) -> None:
    found = await shops.verify({"shop/cart.py": FIXED["shop/cart.py"].replace(b"len(items)", b"0")}, "pytest")
    assert (found.verdict, found.rank, len(found.broken)) == ("unverified", 0, 1)


async def test_a_fix_that_changes_the_projects_settings_is_verified_without_them(shops: Shops) -> None:
    more = BASE["pyproject.toml"].replace(b'version = "1"', b'version = "2"')  # type: ignore[union-attr]
    found = await shops.verify({**FIXED, "pyproject.toml": more}, "pytest")
    assert (found.verdict, found.restored) == ("verified", ("pyproject.toml",))


async def test_a_fix_that_needs_what_may_steer_tests_passes_and_says_so(bubblewrap: SandboxBackend) -> None:
    fix = {"bin/total.sh": b". vendor/sum.sh\nsum $@\n", "vendor/sum.sh": b"sum() { echo $((${1:-0} + ${2:-0})); }\n"}
    found = await repo_of(bubblewrap, "sh", "script").verify(fix)
    assert (found.verdict, found.restored) == ("passes", ()), found.reason
    assert found.strength_reasons[0] == (
        "it passes only with its changes to files that may control the tests: bin/total.sh, vendor/sum.sh"
    )


DOCTESTS = b'def total(items):\n    """The sum.\n\n    >>> total([1, 2])\n    3\n    """\n    return -sum(items)\n'


@pytest.mark.parametrize("command", ["python3 -m doctest shop.py", "python3 -m pytest -q --doctest-modules shop.py"])
async def test_changed_doctests_fix_nothing_and_a_fix_beside_them_passes(
    command: str, bubblewrap: SandboxBackend
) -> None:
    repo = Repo(bubblewrap, {"shop.py": DOCTESTS}, command, toolbox=True, env={"PYTHONPATH": TOOLBOX})
    weakened = await repo.verify({"shop.py": DOCTESTS.replace(b"    3\n", b"    -3\n")})
    assert (weakened.verdict, weakened.restored) == ("unverified", ("shop.py (the tests in it)",)), weakened.reason
    fixed = await repo.verify({"shop.py": DOCTESTS.replace(b"-sum", b"sum")})
    assert (fixed.verdict != "unverified", fixed.restored) == (True, ()), fixed.reason


async def test_tests_that_change_while_they_run_judge_nothing(shops: Shops) -> None:
    found = await shops.verify(CHEATS["tests rewritten on the disk"], "two steps")
    assert (found.verdict, found.rank) == ("unverified", 0)
    assert "files that judge the patch changed while the tests ran: tests/test_cart.py" in found.reason


async def test_signs_of_tampering_keep_a_patch_from_being_verified(shops: Shops) -> None:
    code = FIXED["shop/cart.py"] + b"\n\ndef stop():\n    import os\n\n    os._exit(3)\n"
    found = await shops.verify({"shop/cart.py": code}, "pytest")
    assert (found.verdict, found.rank) == ("passes", 3), found.reason
    assert "shop/cart.py:15 ends the process: os._exit(3)" in found.strength_reasons[0]


async def test_new_source_that_the_fix_imports_stays(shops: Shops) -> None:
    code = b"from shop.adding import add\n" + CODE.replace(b"result -= item", b"result = add(result, item)")
    files = {"shop/cart.py": code, "shop/adding.py": b"def add(one, other):\n    return one + other\n"}
    found = await shops.verify(files, "pytest")
    assert (found.verdict, found.restored) == ("verified", ()), found.reason


async def test_the_baseline_says_what_fails(shops: Shops) -> None:
    await shops.verify(FIXED, "pytest")
    report = shops.known["pytest"]
    assert (report.status, len(report.ids("failed")), len(report.ids("passed"))) == ("failed", 1, 1)
