"""Two reports to a verdict, what is protected, and what sentinels show: the pure parts."""

import random
from typing import Any

import pytest

from envs.base import TestReport
from envs.sentinel import candidates, files_to_plant, forged, lost, make_sentinel, planted, stops_early
from envs.verdict import compare, judge
from envs.verify import without_flaky, worst_of

A, B, C = "t.py::a", "t.py::b", "t.py::c"


def report(status: str = "failed", output: str = "", **tests: str) -> TestReport:
    code = {"passed": 0, "failed": 1}.get(status)
    named = {f"t.py::{name}": outcome for name, outcome in tests.items()}
    return TestReport.model_validate(
        {"command": "x", "status": status, "exit_code": code, "tests": named, "output": output}
    )


def rank(before: TestReport, after: TestReport) -> tuple[int, str]:
    return judge(before, after, compare(before, after))


BEFORE = report(a="failed", b="passed")


@pytest.mark.parametrize(
    ("after", "expected", "words"),
    [
        (report("passed", a="passed", b="passed"), 3, "1 test that failed now passes, 1 still pass"),
        (report(a="failed", b="passed"), 1, "still failing: t.py::a"),
        (report(a="passed", b="failed"), 0, "passed before fail"),
        (report("passed", a="passed", b="skipped"), 0, "skipped now"),
        (report("passed", a="skipped", b="passed"), 1, "still failing"),
        (report("passed", a="passed"), 0, "did not run any more: t.py::b"),
        (report("passed", b="passed"), 0, "did not run any more: t.py::a"),
        (report("passed", a="failed", b="passed"), 0, "exit code 0 although"),
        (report(a="passed", b="passed"), 2, "still ends with exit code 1"),
        (report(a="passed", b="passed", c="failed"), 2, "still failing: t.py::c"),
        (report("passed"), 0, "no test results"),
        (report("timeout"), 0, "timed out"),
        (report("oom"), 0, "out of memory"),
        (report("indeterminate"), 0, "not seen"),
    ],
)
def test_rank_and_reason(after: TestReport, expected: int, words: str) -> None:
    found, reason = rank(BEFORE, after)
    assert (found, words in reason) == (expected, True), reason


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("failed", "passed", 3),
        ("failed", "failed", 1),
        ("passed", "failed", 0),
        ("passed", "passed", 1),
        ("timeout", "passed", 3),
    ],
)
def test_without_a_report_the_exit_code_decides(before: str, after: str, expected: int) -> None:
    assert rank(report(before), report(after))[0] == expected


def test_tests_that_pass_already_show_nothing() -> None:
    found, reason = rank(report("passed", a="passed"), report("passed", a="passed"))
    assert (found, "passed before the patch too" in reason) == (1, True)


def test_a_file_that_can_be_collected_now_is_fixed() -> None:
    before = TestReport(command="x", status="failed", exit_code=2, tests={"tests.test_a": "error"})
    tests: dict[str, Any] = {"tests/test_a.py::test_x": "passed"}
    after = TestReport(command="x", status="passed", exit_code=0, tests=tests)
    assert compare(before, after).fixed == ("tests.test_a",)
    gone = TestReport(command="x", status="passed", exit_code=0, tests={"tests/test_b.py::test_x": "passed"})
    assert compare(before, gone).missing == ("tests.test_a",)


def test_unittest_without_names_is_judged_by_its_count() -> None:
    before = TestReport(
        command="x", status="failed", exit_code=1, tests={"m.T.a": "failed"}, output="Ran 2 tests in 0s"
    )
    good = TestReport(command="x", status="passed", exit_code=0, output="..\nRan 2 tests in 0.001s\n\nOK\n")
    assert rank(before, good)[0] == 3
    assert rank(before, good.model_copy(update={"output": ""}))[0] == 0


def test_flaky_tests_of_the_base_count_for_nothing() -> None:
    merged = without_flaky([report(a="failed", b="passed"), report(a="passed", b="passed")])
    assert (merged.tests[A], merged.tests[B]) == ("skipped", "passed")


def test_of_several_runs_the_worst_counts() -> None:
    merged = worst_of([report("passed", a="passed", b="passed"), report(a="failed", c="passed")])
    assert (merged.status, dict(merged.tests)) == ("failed", {A: "failed"})


def test_sentinels_stand_before_the_main_guard_and_differ_every_time() -> None:
    rng = random.Random(1)
    first, second = make_sentinel("t.py", rng), make_sentinel("t.py", rng)
    assert (first.group, first.fails) != (second.group, second.fails)
    source = planted(b"x = '\xff'\nif __name__ == '__main__':\n    main()\n", first)
    assert source.index(first.group.encode()) < source.index(b"if __name__")
    assert b"\xff" in source


@pytest.mark.parametrize(
    ("fails", "passes", "status", "is_forged", "is_lost"),
    [
        ("failed", "passed", "failed", False, False),
        ("passed", "passed", "passed", True, False),
        ("skipped", "skipped", "passed", True, False),
        ("failed", "failed", "failed", True, False),
        ("failed", "passed", "passed", True, False),
        (None, None, "passed", False, True),
        (None, "passed", "failed", False, True),
    ],
)
def test_what_sentinels_show(fails: Any, passes: Any, status: str, is_forged: bool, is_lost: bool) -> None:
    sentinel = make_sentinel("t.py", random.Random(2))
    outcomes = {f"{sentinel.group}::{sentinel.fails}": fails, f"{sentinel.group}::{sentinel.passes}": passes}
    seen = report(status, **{name: outcome for name, outcome in outcomes.items() if outcome})
    assert (forged([sentinel], seen) is not None, bool(lost([sentinel], seen))) == (is_forged, is_lost)


@pytest.mark.parametrize(
    ("test", "path"),
    [("tests/t.py::X::a[1::2]", "tests/t.py"), ("pkg/m.py::pkg.m.f", None), ("docs/x.rst::x.rst", None),
     ("tests.t.T.test_a", "tests/t.py"), ("tests.t.T::test_a", "tests/t.py")],
)  # fmt: skip
def test_where_a_tests_file_lies(test: str, path: str | None) -> None:
    assert (candidates(test) or (None,))[0] == path


def test_failing_tests_files_are_planted_first() -> None:
    tests: dict[str, Any] = {"a.py::x": "passed", "z.py::x": "failed"}
    assert files_to_plant(TestReport(command="x", status="failed", tests=tests)) == [("z.py",), ("a.py",)]


def test_commands_that_stop_at_the_first_failure() -> None:
    assert all(map(stops_early, ("pytest -x", "pytest -qx a", "pytest --maxfail=1 a", "python -m unittest -f")))
    assert not any(map(stops_early, ("pytest -q", "pytest --exclude=a", "make -f Makefile.x", "python -X dev t.py")))
