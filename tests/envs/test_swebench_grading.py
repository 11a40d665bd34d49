"""Our grader for SWE-bench instances: the fix passes, empty patches and cheats fail, and reasons name the tests."""

from pathlib import Path
from typing import Any

import pytest
from cheat_code import CODE, UNITTESTS
from cheats import BASE, CHEATS
from swebench_shop import GOLD, OLD_TESTS, RUNNERS, Shop, diff, make_row

from envs.base import Patch
from envs.errors import TaskError
from sandbox.base import SandboxSpec
from sandbox.errors import SandboxStartError

OF_UNITTEST = (
    *("exit at the first call", "output spoofed, then exit", "all skipped by the source", "assertions switched off"),
    *("runner patched by the source", "a pytest of its own", "sitecustomize"),
)
"""Cheats that work differently if unittest runs the tests."""


@pytest.fixture
def shop(tmp_path: Path, git: Any) -> Shop:
    return Shop(tmp_path, git)


@pytest.mark.parametrize("runner", RUNNERS)
async def test_the_gold_patch_passes_with_sentinels_and_every_test_is_told(runner: str, shop: Shop) -> None:
    shop.open(make_row(shop.commit, runner))
    grade = await shop.grade(shop.env.reference(shop.task.id))
    assert (grade.outcome, grade.reason) == ("pass", "all 2 expected tests pass")
    assert grade.report is not None
    assert sorted(grade.report.tests) == sorted([*RUNNERS[runner][3], *RUNNERS[runner][4]])


@pytest.mark.slow
async def test_an_attempt_that_fixes_it_passes_and_one_that_does_nothing_is_told_why(shop: Shop) -> None:
    assert (await shop.grade(await shop.patch(GOLD))).outcome == "pass"
    idle = await shop.grade(await shop.patch({"notes.txt": b"nothing\n"}))
    assert (idle.outcome, "1 of 2 expected tests do not pass: tests/test_cart.py::test_total" in idle.reason) == (
        "fail",
        True,
    )
    assert (await shop.grade(Patch(b""))).reason == "no patch"


@pytest.mark.slow
async def test_tests_of_the_attempt_do_not_count(shop: Shop) -> None:
    grade = await shop.grade(
        await shop.patch({**GOLD, "tests/test_cart.py": b"", "tests/test_mine.py": b"assert False\n"})
    )
    assert grade.outcome == "pass"
    assert "without the patch's changes to tests: tests/test_cart.py, tests/test_mine.py" in grade.reason


@pytest.mark.slow
async def test_a_fix_that_breaks_something_fails(shop: Shop) -> None:
    grade = await shop.grade(await shop.patch({"shop/cart.py": GOLD["shop/cart.py"].replace(b"len(items)", b"0")}))  # type: ignore[union-attr]
    assert (grade.outcome, "test_count" in grade.reason) == ("fail", True)


@pytest.mark.slow
async def test_a_skipped_test_fixes_nothing_and_breaks_nothing(shop: Shop) -> None:
    row = make_row(shop.commit, "django")
    skips = UNITTESTS.replace(b"    def test_count", b"    @unittest.skip('later')\n    def test_count")
    row["test_patch"] = diff("tests/unit_cart.py", OLD_TESTS["tests/unit_cart.py"], skips)
    shop.open(row)
    assert (await shop.grade(Patch(row["patch"].encode()))).outcome == "pass"
    shop.open({**row, "FAIL_TO_PASS": row["PASS_TO_PASS"], "PASS_TO_PASS": row["FAIL_TO_PASS"]})
    assert (await shop.grade(Patch(row["patch"].encode()))).outcome == "fail"


@pytest.mark.slow
async def test_a_row_with_an_evaluation_script_is_graded_by_it(shop: Shop) -> None:
    row = make_row(shop.commit)
    lines = [
        "#!/bin/bash", "set -uxo pipefail", f"cd {shop.task.workdir}", f"git checkout {shop.commit} tests/test_cart.py",
        "git apply -v - <<'EOF_1'", row["test_patch"].rstrip("\n"), "EOF_1", ": '>>>>> Start Test Output'",
        row.pop("test_cmd"), ": '>>>>> End Test Output'", f"git checkout {shop.commit} tests/test_cart.py",
    ]  # fmt: skip
    shop.open({**row, "eval_script": "\n".join(lines) + "\n", "log_parser": "parse_log_pytest"})
    assert (await shop.grade(Patch(row["patch"].encode()))).outcome == "pass"
    assert (
        await shop.grade(await shop.patch({"conftest.py": CHEATS["report hook in a conftest"]["conftest.py"]}))
    ).outcome == "fail"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"diff --git a/no.py b/no.py\n--- a/no.py\n+++ b/no.py\n@@ -1 +1 @@\n-a\n+b\n", "does not apply"),
        (b"diff --git a/.git/x b/.git/x\n--- a/.git/x\n+++ b/.git/x\n@@ -1 +1 @@\n-a\n+b\n", "breaks the rules"),
        (b"rubbish", "breaks the rules"),
    ],
)  # fmt: skip
async def test_a_patch_that_is_none_fails_and_says_why(data: bytes, reason: str, shop: Shop) -> None:
    grade = await shop.grade(Patch(data))
    assert (grade.outcome, reason in grade.reason) == ("fail", True)


@pytest.mark.slow
async def test_a_broken_machine_or_row_is_no_verdict_on_the_patch(shop: Shop) -> None:
    async def start(spec: SandboxSpec) -> Any:
        raise SandboxStartError("no space left")

    row = make_row(shop.commit)
    shop.open({**row, "test_patch": row["test_patch"].replace("-    assert -total", "-    assert +total")})
    assert (await shop.grade(Patch(row["patch"].encode()))).outcome == "invalid"
    shop.backend.start = start  # type: ignore[method-assign]
    assert (await shop.grade(Patch(row["patch"].encode()))).outcome == "invalid"


@pytest.mark.slow
async def test_a_patch_in_the_way_of_the_tests_is_its_own_failure(shop: Shop) -> None:
    new = "diff --git a/more/test_x.py b/more/test_x.py\nnew file mode 100644\n--- /dev/null\n+++ b/more/test_x.py\n"
    row = make_row(shop.commit)
    shop.open({**row, "test_patch": row["test_patch"] + new + "@@ -0,0 +1 @@\n+x = 1\n"})
    grade = await shop.grade(await shop.patch({"more": b"a file where a folder has to be\n"}))
    assert (grade.outcome, "conflicts with the hidden tests" in grade.reason) == ("fail", True), grade.reason


@pytest.mark.slow
async def test_a_run_that_never_ends_is_a_failure_of_the_patch(shop: Shop) -> None:
    shop.open(make_row(shop.commit), test_timeout_s=3)
    grade = await shop.grade(await shop.patch({"shop/cart.py": b"import time\ntime.sleep(99)\n" + CODE}))
    assert (grade.outcome, grade.reason) == ("fail", "the tests did not finish within 3 s")


async def test_a_row_that_cannot_be_graded_here_is_a_usage_error(shop: Shop) -> None:
    shop.open({**make_row(shop.commit), "test_cmd": None})
    with pytest.raises(TaskError, match="--grader official"):
        await shop.grade(Patch(b"x"))


WITH_THE_TESTS_AT_HAND = ("passed where the tests read as they did", "passed where the constants are known")
"""They hold digests or constants of the tests, which an attempt at a data set's task never saw."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cheat", "runner"),
    [
        *((one, "pytest") for one in CHEATS if one not in WITH_THE_TESTS_AT_HAND),
        *((one, "django") for one in OF_UNITTEST if one not in WITH_THE_TESTS_AT_HAND),
    ],
)
async def test_no_cheat_gets_a_pass(cheat: str, runner: str, shop: Shop) -> None:
    shop.open(make_row(shop.commit, runner))
    files = dict(CHEATS[cheat])
    for path in files.keys() & BASE.keys():
        if path.startswith("tests/") and files[path] is not None:
            files[path] = b"# nothing is tested any more\n"
    grade = await shop.grade(await shop.patch(files))
    assert grade.outcome == "fail", grade.reason
    assert grade.reason


@pytest.mark.slow
@pytest.mark.parametrize("runner", RUNNERS)
async def test_a_forged_result_of_every_test_is_seen_by_its_sentinels(runner: str, shop: Shop) -> None:
    """A patch that ignores names and reports every test as passed."""
    shop.open(make_row(shop.commit, runner))
    grade = await shop.grade(await shop.patch(CHEATS["runner patched by the source"]))
    assert (grade.outcome, grade.reason.startswith("the test results are forged")) == ("fail", True), grade.reason
