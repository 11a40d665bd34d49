"""From two reports to a verdict: the pure functions."""

import time
from typing import Any

import pytest

from envs.base import Patch, TestReport
from envs.baseline import without_flaky
from envs.patched import worst_of
from envs.unstable import group
from envs.verdict import Judgement, compare, evidence, judge

A, B, C = "t.py::a", "t.py::b", "t.py::c"


def report(status: str = "failed", output: str = "", **tests: str) -> TestReport:
    code = {"passed": 0, "failed": 1}.get(status)
    named = {f"t.py::{name}": outcome for name, outcome in tests.items()}
    return TestReport.model_validate(
        {"command": "x", "status": status, "exit_code": code, "tests": named, "output": output}
    )


def judged(before: TestReport, after: TestReport, *must_pass: str) -> tuple[int, bool, str]:
    found = judge(before, after, compare(before, after), must_pass)
    return found.rank, found.good, found.reason


BEFORE = report(a="failed", b="passed")


@pytest.mark.parametrize(
    ("after", "rank", "good", "words"),
    [
        (report("passed", a="passed", b="passed"), 3, True, "1 test that failed now passes (t.py::a), 1 still pass"),
        (report(a="failed", b="passed"), 1, False, "the same test fails without any change: t.py::a"),
        (report(a="passed", b="failed"), 0, False, "1 test broken"),
        (report("passed", a="passed", b="skipped"), 0, False, "skipped now): t.py::b"),
        (report("passed", a="skipped", b="passed"), 1, False, "without any change"),
        (report("passed", a="passed"), 0, False, "missing that ran before: t.py::b"),
        (report("passed", b="passed"), 0, False, "missing that ran before: t.py::a"),
        (report("passed", a="failed", b="passed"), 0, False, "exit code 0 although"),
        (report(a="passed", b="passed"), 3, True, "no test fails, but the test command ends with exit code 1"),
        (report(a="passed", b="passed", c="failed"), 2, False, "exist only with the patch: t.py::c"),
        (report("passed"), 0, False, "no longer reports any test results"),
        (report("timeout"), 0, False, "timed out"),
        (report("oom"), 0, False, "out of memory"),
        (report("indeterminate"), 0, False, "not observed"),
        (report("passed", a="passed", b="passed").model_copy(update={"ended": False}), 0, False, "broke off"),
    ],
)
def test_rank_and_reason(after: TestReport, rank: int, good: bool, words: str) -> None:
    found = judged(BEFORE, after)
    assert (found[0], found[1], words in found[2]) == (rank, good, True), found[2]


def test_failures_that_the_base_has_too_do_not_refuse_a_fix() -> None:
    before = report(a="failed", b="passed", c="error")
    found = judged(before, report(a="passed", b="passed", c="error"))
    assert found == (
        2,
        True,
        "1 test that failed now passes (t.py::a), 1 still pass; 1 fail with and without the patch: t.py::c",
    )


def test_failures_that_the_base_has_too_say_nothing_about_a_patch() -> None:
    tests = {f"x{number}": "failed" for number in range(8)}
    rank, good, reason = judged(report(b="passed", **tests), report(b="passed", **tests))
    assert (rank, good, reason.startswith("the same 8 tests fail without any change: ")) == (1, False, True)


def test_what_must_pass_decides_where_it_is_named() -> None:
    before = report(a="failed", b="passed", c="failed")
    half = report(a="passed", b="passed", c="failed")
    assert judged(before, half, "t.py::a")[:2] == (3, True)
    assert judged(before, half, "t.py")[:2] == (2, False)
    assert judged(before, half, "t.py::c")[2] == "1 test that must pass still failing: t.py::c"
    assert "so nothing shows" in judged(before, half, "t.py::b")[2]


@pytest.mark.parametrize(
    ("before", "after", "rank", "good"),
    [
        ("failed", "passed", 3, True),
        ("failed", "failed", 1, False),
        ("passed", "failed", 0, False),
        ("passed", "passed", 1, False),
        ("timeout", "passed", 3, True),
    ],
)
def test_without_a_report_the_exit_code_decides(before: str, after: str, rank: int, good: bool) -> None:
    assert judged(report(before), report(after))[:2] == (rank, good)


def test_tests_that_pass_already_show_nothing() -> None:
    rank, good, reason = judged(report("passed", a="passed"), report("passed", a="passed"))
    assert (rank, good, "also passed before the patch" in reason) == (1, False, True)


@pytest.mark.parametrize("error", ["tests/test_a.py", "tests.test_a"])
def test_tests_of_a_file_that_can_be_loaded_now_are_fixed(error: str) -> None:
    before = TestReport(command="x", status="failed", exit_code=2, tests={error: "error"})
    tests: dict[str, Any] = {"tests/test_a.py::test_x": "passed"}
    after = TestReport(command="x", status="passed", exit_code=0, tests=tests)
    assert compare(before, after).fixed == ("tests/test_a.py::test_x",)
    gone = TestReport(command="x", status="passed", exit_code=0, tests={"tests/test_b.py::test_x": "passed"})
    assert compare(before, gone).missing == (error,)


def test_only_what_is_confirmed_is_verified() -> None:
    good, bad, patch = Judgement(3, "fine", good=True), Judgement(3, "not fine"), Patch(b"x")
    assert evidence(patch, None, None, good, strength="confirmed").verdict == "verified"
    weak = evidence(patch, None, None, good, strength="report", weak=("no sentinels",))
    assert (weak.verdict, weak.rank, weak.strength_reasons) == ("passes", 3, ("no sentinels",))
    assert evidence(patch, None, None, bad).verdict == "unverified"
    assert evidence(Patch(b""), None, None, good).verdict == "no_patch"


def test_flaky_tests_of_the_base_count_for_nothing() -> None:
    merged = without_flaky([report(a="failed", b="passed"), report(a="passed", b="passed")])
    assert (merged.tests[A], merged.tests[B]) == ("skipped", "passed")


def test_of_several_runs_the_worst_counts() -> None:
    merged = worst_of([report("passed", a="passed", b="passed"), report(a="failed", c="passed")])
    assert (merged.status, dict(merged.tests)) == ("failed", {A: "failed"})


def ids(**tests: str) -> TestReport:
    named = {
        name.replace("__", "::").replace("_of_", "[") + ("]" if "_of_" in name else ""): end
        for name, end in tests.items()
    }
    return TestReport.model_validate({"command": "x", "status": "failed", "exit_code": 1, "tests": named})


def test_ids_that_change_from_run_to_run_are_compared_by_their_functions() -> None:
    first = ids(t__a_of_12h00="failed", t__a_of_12h01="passed", t__b="passed")
    again = ids(t__a_of_13h10="failed", t__a_of_13h11="passed", t__b="passed")
    grouping = group(first, again)
    assert grouping.of(first.tests) == {"t::a[*]": "failed", "t::b": "passed"}
    assert grouping.of(ids(t__a_of_14h20="passed", t__a_of_14h21="passed").tests) == {"t::a[*]": "passed"}
    assert len(grouping.changing) == 2


def test_what_no_function_can_be_told_of_is_left_out_and_what_differs_is_skipped() -> None:
    grouping = group(
        ids(t__apple="passed", t__b="passed", t__c="failed"), ids(t__pear="passed", t__b="passed", t__c="passed")
    )
    assert grouping.of({"t::apple": "passed", "t::pear": "failed", "t::b": "failed", "t::c": "failed"}) == {
        "t::b": "failed",
        "t::c": "skipped",
    }


def test_many_errors_and_many_tests_are_compared_in_a_moment() -> None:
    before = {f"tests/test_{number}.py": "error" for number in range(20_000)}
    after = {f"tests/test_{number}.py::test_x": "passed" for number in range(20_000)}
    one, other = (
        TestReport.model_validate({"command": "x", "status": "failed", "tests": tests}) for tests in (before, after)
    )
    started = time.monotonic()
    assert len(compare(one, other).fixed) == 20_000
    assert time.monotonic() - started < 10
