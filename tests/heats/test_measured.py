"""Evidence in words: what a test command shows about a patch, and what it does not."""

from envs.base import Evidence, TestReport
from envs.tampering import Sign
from heats.runner.measured import base_run, measured


def report(status="failed", duration_s=4.4, **tests):
    code = {"passed": 0, "failed": 1}.get(status)
    named = {f"t.py::{name}": outcome for name, outcome in tests.items()}
    return TestReport(command="pytest", status=status, exit_code=code, tests=named, duration_s=duration_s)


def evidence(before, after, *, rank=1, verdict="unverified", **found):
    named = {name: tuple(f"t.py::{test}" for test in tests) for name, tests in found.items()}
    return Evidence(
        patch_sha256="x", verdict=verdict, reason="a reason", rank=rank, before=before, after=after, **named
    )


def test_a_verified_patch_passes_all_some_of_which_failed_before():
    before, after = report(a="failed", b="passed", c="passed"), report("passed", a="passed", b="passed", c="passed")
    said = measured(evidence(before, after, rank=3, verdict="verified", fixed=("a",)))
    assert said == "Passes all 3, 1 of which failed before: t.py::a."


def test_what_passes_without_being_confirmed_says_what_it_lacks_and_signs_come_last():
    before, after = report(a="failed"), report("passed", a="passed")
    found = evidence(before, after, rank=3, verdict="passes", fixed=("a",))
    found = found.model_copy(update={"strength": "report", "strength_reasons": ("verify.sentinels is off",)})
    said = measured(found, [Sign("ends the process", "f.py", 1, "os._exit(0)")]).split("\n")
    assert said[:2] == ["Passes all 1, 1 of which failed before: t.py::a.", "Not confirmed: verify.sentinels is off."]
    assert said[-1] == "- f.py:1 ends the process: os._exit(0)"


def test_failures_that_are_there_without_any_change_are_no_word_against_a_patch():
    before = report(**{f"net_{number}": "failed" for number in range(8)}, b="passed")
    said = measured(evidence(before, before, still_failing=[f"net_{number}" for number in range(8)]))
    assert said.startswith("The same 8 tests fail without any change: either the change does not fix what")


def test_what_breaks_comes_first():
    before, after = report(a="failed", b="passed"), report(a="passed", b="failed")
    said = measured(evidence(before, after, rank=0, fixed=("a",), broken=("b",)))
    assert said.split("\n") == [
        "Breaks 1 test that passed before: t.py::b.",
        "1 test that failed before passes now: t.py::a.",
    ]


def test_some_fixed_and_some_as_before():
    before, after = report(a="failed", b="failed"), report(a="passed", b="failed")
    said = measured(evidence(before, after, rank=2, fixed=("a",), still_failing=("b",)))
    assert said.split("\n") == [
        "Fixes 1 test that failed before and breaks none: t.py::a.",
        "1 test still fails, as without any change: t.py::b.",
    ]


def test_many_tests_are_counted_and_what_has_no_tests_has_its_reason():
    before = report(**{f"a{number}": "passed" for number in range(30)})
    said = measured(evidence(before, before, rank=0, broken=[f"a{number}" for number in range(30)]))
    assert said.count("t.py::") == 8 and said.endswith("and 22 more.")
    assert measured(evidence(None, None, rank=0)) == "A reason."
    assert measured(Evidence(patch_sha256="", verdict="no_patch", reason="", rank=1)) == "The attempt changed nothing."


def test_a_rollout_is_told_what_the_test_command_does_on_the_untouched_tree():
    told = base_run(report(**{f"a{number}": "failed" for number in range(9)}))
    assert (told.ending, told.seconds, len(told.failing), told.more) == ("ends with exit code 1", 4, 8, 1)
    assert base_run(report("passed", a="passed")).ending == "passes, so it does not show the problem, and ends"
    assert base_run(None) is None
