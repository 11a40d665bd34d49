"""A project's own tests on the base and on patches, in sandboxes, for a task whose hidden tests nobody may learn of."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process_box import ProcessSandbox
from swebench_shop import GOLD, Shop, make_row

from core.diff import parse_diff
from envs.base import Patch, TestReport
from envs.base_results import BaseResult, BaseResults
from envs.bench import Bench
from envs.existing_tests import change_of
from envs.regression import ExistingTests, choose_existing, first_words, parse_sympy_files, run_on, run_stable

HIDDEN = "tests/test_secretly.py"
HIDDEN_PATCH = f"""diff --git a/{HIDDEN} b/{HIDDEN}
new file mode 100644
--- /dev/null
+++ b/{HIDDEN}
@@ -0,0 +1 @@
+def test_secretly(): assert True
"""
BREAKS = {"shop/cart.py": GOLD["shop/cart.py"].replace(b"len(items)", b"0")}  # type: ignore[union-attr]


@pytest.fixture
def shop(tmp_path: Path, git: Any) -> Shop:
    """An instance whose hidden tests are in a file of their own."""
    shop = Shop(tmp_path, git)
    tests = {"FAIL_TO_PASS": json.dumps([f"{HIDDEN}::test_secretly"]), "PASS_TO_PASS": "[]"}
    command = f"{sys.executable} -m pytest -rA {HIDDEN}"
    shop.open(make_row(shop.commit, test_cmd=command, test_patch=HIDDEN_PATCH, test_files=[HIDDEN], **tests))
    return shop


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Everything that enters sandboxes."""
    seen: list[str] = []
    plain_exec, plain_write = ProcessSandbox.exec, ProcessSandbox.write_file

    async def spying_exec(self: ProcessSandbox, command: str, **options: Any) -> Any:
        seen.append(repr((command, options)))
        return await plain_exec(self, command, **options)

    async def spying_write(self: ProcessSandbox, path: str, data: bytes, **options: Any) -> None:
        seen.append(repr((path, data)))
        await plain_write(self, path, data, **options)

    monkeypatch.setattr(ProcessSandbox, "exec", spying_exec)
    monkeypatch.setattr(ProcessSandbox, "write_file", spying_write)
    yield seen


async def chosen(shop: Shop, *patches: Patch, budget_s: float = 60) -> ExistingTests:
    change = change_of(parse_diff(patch.data) for patch in patches)
    return await choose_existing(shop.env, shop.task, Bench(backend=shop.backend), change, budget_s=budget_s)


async def test_what_passes_on_the_base_twice_is_run_on_a_patch_and_only_that(shop: Shop) -> None:
    harmless, breaks = await shop.patch({"notes.txt": b"x\n"}), await shop.patch(BREAKS)
    existing = await chosen(shop, breaks)
    assert "tests/test_cart.py" in existing.files
    assert "tests/test_cart.py::test_count" in existing.stable
    bench = Bench(backend=shop.backend)
    assert (await run_stable(shop.env, shop.task, harmless, bench, existing)).failing == {}
    ran = await run_stable(shop.env, shop.task, breaks, bench, existing)
    assert ran.failing["tests/test_cart.py::test_count"] == "failed"


async def test_nothing_of_the_hidden_tests_enters_a_sandbox(shop: Shop, told: list[str]) -> None:
    patch = await shop.patch(BREAKS)
    existing = await chosen(shop, patch)
    await run_stable(shop.env, shop.task, patch, Bench(backend=shop.backend), existing)
    assert existing.stable and told
    assert not [text for text in told if "secretly" in text]
    assert "secretly" not in existing.model_dump_json()


@pytest.mark.slow
async def test_a_patch_cannot_change_the_tests_that_judge_it(shop: Shop) -> None:
    cheating = await shop.patch({**BREAKS, "tests/test_cart.py": b"def test_count(): pass\n"})
    existing = await chosen(shop, cheating)
    ran = await run_stable(shop.env, shop.task, cheating, Bench(backend=shop.backend), existing)
    assert "tests/test_cart.py::test_count" in ran.failing


@pytest.mark.slow
async def test_tests_of_an_agent_run_without_network_whatever_the_task_has(shop: Shop) -> None:
    networks: list[str] = []
    start = shop.backend.start

    async def watching(spec: Any) -> Any:
        networks.append(spec.network)
        return await start(spec)

    shop.backend.start = watching  # type: ignore[method-assign]
    shop.env.source = shop.env.source.model_copy(update={"network": "bridge"})
    assert shop.task.network == "bridge"
    existing = await chosen(shop, await shop.patch(BREAKS))
    networks.clear()
    assert existing.runner is not None
    written = {"tests/test_mine.py": b"def test_mine(): pass\n"}
    bench = Bench(backend=shop.backend)
    report, _ = await run_on(
        shop.env, shop.task, Patch(b""), bench, existing.runner, list(written), written=written, timeout_s=60
    )
    assert report is not None and report.tests == {"tests/test_mine.py::test_mine": "passed"}
    assert networks == ["none"]


@pytest.mark.slow
async def test_a_test_of_an_agent_cannot_reach_another_candidates_run(shop: Shop) -> None:
    existing = await chosen(shop, await shop.patch(BREAKS), budget_s=0)
    assert existing.runner is not None
    leaves = b"from pathlib import Path\ndef test_mine():\n    mark = Path('left.txt')\n    assert not mark.exists()\n"
    written = {"tests/test_mine.py": leaves + b"    mark.write_text('x')\n"}
    for patch in (await shop.patch({"notes.txt": b"x\n"}), await shop.patch({"notes.txt": b"y\n"})):
        bench = Bench(backend=shop.backend)
        report, _ = await run_on(
            shop.env, shop.task, patch, bench, existing.runner, list(written), written=written, timeout_s=60
        )
        assert report is not None and report.tests == {"tests/test_mine.py::test_mine": "passed"}


@pytest.mark.slow
async def test_a_patch_that_does_not_apply_passes_nothing(shop: Shop) -> None:
    existing = await chosen(shop, await shop.patch(BREAKS))
    bad = Patch(
        b"diff --git a/shop/cart.py b/shop/cart.py\n--- a/shop/cart.py\n+++ b/shop/cart.py\n@@ -1 +1 @@\n-no\n+x\n"
    )
    ran = await run_stable(shop.env, shop.task, bad, Bench(backend=shop.backend), existing)
    assert set(ran.failing) == set(existing.stable) and "does not apply" in ran.problem


async def test_without_a_budget_only_the_runner_is_found(shop: Shop) -> None:
    existing = await chosen(shop, await shop.patch(BREAKS), budget_s=0)
    assert existing.runner is not None and (existing.files, existing.stable) == ((), ())


def test_sympys_tests_are_told_apart_by_their_files() -> None:
    text = "sympy/core/tests/test_a.py[2] \ntest_x ok\ntest_y F\n [FAIL]\nsympy/core/tests/test_b.py[1] \ntest_x E\n"
    assert parse_sympy_files(text) == {
        "sympy/core/tests/test_a.py::test_x": "passed",
        "sympy/core/tests/test_a.py::test_y": "failed",
        "sympy/core/tests/test_b.py::test_x": "error",
    }


def test_what_a_failing_test_prints_is_found_in_each_runners_output() -> None:
    summary = "FAILED tests/test_a.py::test_x - AssertionError: 1 != 2\n"
    report = TestReport(command="", status="failed", output=summary)
    assert first_words(report, ["tests/test_a.py::test_x"]) == {"tests/test_a.py::test_x": "AssertionError: 1 != 2"}
    block = "=====\nFAIL: test_y (tests.A.test_y)\n-----\nTraceback\n  File x\nAssertionError: 3 != 4\n"
    report = TestReport(command="", status="failed", output=block)
    assert first_words(report, ["tests.A.test_y"]) == {"tests.A.test_y": "AssertionError: 3 != 4"}


def test_what_a_case_of_a_parametrised_test_prints_is_its_own() -> None:
    """pytest's summary had no room for the reason, and the block has no `Error` where a plain assert fails."""
    output = (
        "____ test_x[a] ____\nE       assert 1 == 2\n____ TestY.test_x[b] ____\nE       assert 3 == 4\n"
        "FAILED tests/test_a.py::test_x[a]\nFAILED tests/test_a.py::TestY::test_x[b]\n"
    )
    names = ["tests/test_a.py::test_x[a]", "tests/test_a.py::TestY::test_x[b]"]
    found = first_words(TestReport(command="", status="failed", output=output), names)
    assert [found[name] for name in names] == ["assert 1 == 2", "assert 3 == 4"]


async def more(shop: Shop, patch: Patch, **options: Any) -> ExistingTests:
    change = change_of([parse_diff(patch.data)])
    return await choose_existing(shop.env, shop.task, Bench(backend=shop.backend), change, budget_s=60, **options)


async def test_the_rest_of_the_suite_runs_too_within_its_own_budget(shop: Shop) -> None:
    """A change that no test file concerns still has the rest of the project's tests to keep."""
    patch = await shop.patch({"notes.txt": b"x\n"})
    assert not (await more(shop, patch)).files
    existing = await more(shop, patch, rest_s=60)
    assert "tests/test_cart.py::test_count" in existing.stable and HIDDEN not in existing.files


@pytest.mark.slow
async def test_a_test_has_one_name_on_the_base_and_on_patches(shop: Shop, git: Any) -> None:
    """Alone, the tests of a folder with settings of its own are named after that folder; every patch seemed to break
    them."""
    folder = shop.tree / "doc"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name in "abcde":
        (folder / f"test_{name}.py").write_text("def test_it(): pass\n")
    git(shop.tree, "add", "-A")
    git(shop.tree, "commit", "-qm", "doc")
    shop.open(make_row(git(shop.tree, "rev-parse", "HEAD").strip(), test_cmd=f"{sys.executable} -m pytest -rA"))
    patch = await shop.patch(BREAKS)
    existing = await more(shop, patch, rest_s=60)
    assert {"doc/test_a.py::test_it", "doc/test_e.py::test_it"} <= {*existing.stable}
    run = await run_stable(shop.env, shop.task, patch, Bench(backend=shop.backend), existing)
    assert run.failing and "missing" not in run.failing.values()


@pytest.mark.slow
async def test_results_on_the_base_are_known_to_later_runs_of_the_same_command_only(
    shop: Shop, told: list[str], tmp_path: Path
) -> None:
    patch, known = await shop.patch(BREAKS), BaseResults(tmp_path / "known")
    first = await more(shop, patch, known=known)
    ran = sum("pytest" in text and "tests/test_cart.py" in text for text in told)
    again = await more(shop, patch, known=known)
    assert again == first and first.stable
    assert sum("pytest" in text and "tests/test_cart.py" in text for text in told) == ran > 0
    other = shop.task.model_copy(update={"base_commit": "0" * 40})
    assert known.get(other, shop.backend.name, first.runner.on(first.files)) is None  # type: ignore[union-attr]


def test_a_broken_result_on_the_base_only_costs_a_run(tmp_path: Path, shop: Shop) -> None:
    known, result = BaseResults(tmp_path / "known"), BaseResult(passing=("a",), seconds=1)
    known.put(shop.task, "docker", "pytest a.py", result)
    assert known.get(shop.task, "docker", "pytest a.py") == result
    (file,) = (tmp_path / "known").iterdir()
    file.write_text("{")
    assert known.get(shop.task, "docker", "pytest a.py") is None
