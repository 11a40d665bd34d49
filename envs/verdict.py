"""Derive a verdict from two test reports, with pure functions."""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from envs.base import Evidence, Patch, Strength, TestReport
from envs.baseline import names


@dataclass(frozen=True, slots=True)
class Comparison:
    """Test ids, by how their outcome changed.

    Attributes:
        still_failing: failed before as well.
        missing: reported before, but no longer.
        new_failures: failing tests that did not exist before.
    """

    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    still_failing: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    new_failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Evidence class and reason from the reports alone; `good` if only confirmation is missing."""

    rank: int
    reason: str
    good: bool = False


def compare(before: TestReport, after: TestReport) -> Comparison:
    """Compare two reports. A test that is skipped now neither passes nor is fixed."""
    fixed: list[str] = []
    still: list[str] = []
    broken: list[str] = []
    missing: list[str] = []
    accounted, ordered = set(before.tests), sorted(after.tests)
    for test in before.ids("failed", "error"):
        outcome = after.tests.get(test)
        if outcome is not None:
            (fixed if outcome == "passed" else still).append(test)
        elif inside := _inside(test, ordered):
            accounted |= set(inside)
            fixed += [one for one in inside if after.tests[one] == "passed"]
            still += [one for one in inside if after.tests[one] in ("failed", "error")]
        else:
            missing.append(test)
    for test in before.ids("passed"):
        outcome = after.tests.get(test)
        if outcome is None:
            missing.append(test)
        elif outcome != "passed":
            broken.append(test)
    new = [test for test in after.ids("failed", "error") if test not in accounted]
    return Comparison(tuple(fixed), tuple(broken), tuple(still), tuple(missing), tuple(new))


def _inside(test: str, ordered: Sequence[str]) -> list[str]:
    """Tests of a file, module or class that could not be loaded or set up before, and now can.

    Args:
        test: id of the file, module or class.
        ordered: the sorted ids of all tests.
    """
    module = re.sub(r"\.py$", "", test).replace("/", ".")
    found: list[str] = []
    for name in dict.fromkeys((test, module, module.replace(".", "/") + ".py")):
        for sign in ("::", "."):
            at = bisect_left(ordered, name + sign)
            while at < len(ordered) and ordered[at].startswith(name + sign):
                found.append(ordered[at])
                at += 1
    return found


def judge(before: TestReport, after: TestReport, found: Comparison, must_pass: Iterable[str] = ()) -> Judgement:
    """Rank and reason, from the reports alone.

    Args:
        before: report of the base.
        after: report of the patched tree.
        found: comparison of the two.
        must_pass: ids of the tests that must be fixed; if empty, at least one test must be.
    """
    if after.status in ("timeout", "oom", "indeterminate", "missing"):
        return Judgement(1 if after.status == before.status else 0, _ended(after))
    if not after.ended:
        return Judgement(1 if not before.ended else 0, f"the test run broke off before its end ({_ended(after)})")
    if not before.tests or not after.tests:
        return _by_exit_code(before, after)
    if found.missing:
        return Judgement(0, f"{_tests(found.missing)} missing that ran before: {some(found.missing)}")
    if found.broken:
        return Judgement(
            0, f"{_tests(found.broken)} broken (passed before, failed or skipped now): {some(found.broken)}"
        )
    if after.status == "passed" and after.failing and before.status != "passed":
        return Judgement(0, "the test command ended with exit code 0 although its report contains failures")
    rank = 2 if found.fixed else 1
    if found.new_failures:
        what = f"{_tests(found.new_failures)} failing that exist only with the patch"
        return Judgement(rank, f"{what}: {some(found.new_failures)}")
    wanted = list(must_pass)
    unfixed = [test for test in found.still_failing if any(names(one, test) for one in wanted)]
    if unfixed:
        return Judgement(rank, f"{_tests(unfixed)} that must pass still failing: {some(unfixed)}")
    if wanted and not any(names(one, test) for one in wanted for test in found.fixed):
        return Judgement(
            rank, "the required tests also passed before the patch, so nothing shows that it fixes anything"
        )
    return _by_tests(before, after, found, all_wanted=bool(wanted))


def _by_tests(before: TestReport, after: TestReport, found: Comparison, *, all_wanted: bool) -> Judgement:
    same = some(found.still_failing)
    if not found.fixed and found.still_failing:
        some_fail = (
            "the same test fails"
            if len(found.still_failing) == 1
            else f"the same {len(found.still_failing)} tests fail"
        )
        return Judgement(1, f"{some_fail} without any change: {same}; nothing shows what the patch does")
    if not found.fixed:
        return Judgement(1, "the tests also passed before the patch, so nothing shows that it fixes anything")
    reason = f"{_tests(found.fixed)} that failed now {'passes' if len(found.fixed) == 1 else 'pass'}"
    reason += f" ({some(found.fixed)}), {len(before.ids('passed'))} still pass"
    if found.still_failing:
        reason += f"; {len(found.still_failing)} fail with and without the patch: {same}"
    elif after.status != "passed" and not after.failing:
        reason += f"; no test fails, but the test command ends with exit code {after.exit_code}"
    return Judgement(2 if found.still_failing and not all_wanted else 3, reason, good=True)


def _by_exit_code(before: TestReport, after: TestReport) -> Judgement:
    if before.tests and not after.tests:
        return Judgement(0, f"the test command no longer reports any test results ({_ended(after)})")
    if failing := after.ids("failed", "error"):
        return Judgement(1, f"{_tests(failing)} failing: {some(failing)}")
    if after.status == "passed" and before.status == "passed":
        return Judgement(1, "the tests also passed before the patch, so nothing shows that it fixes anything")
    if after.status == "passed":
        return Judgement(
            3, f"the test command failed before ({_ended(before)}) and now ends with exit code 0", good=True
        )
    if before.status == "passed":
        return Judgement(0, f"the test command passed before and now fails ({_ended(after)})")
    return Judgement(1, f"the test command still fails ({_ended(after)})")


def evidence(
    patch: Patch,
    before: TestReport | None,
    after: TestReport | None,
    judgement: Judgement,
    *,
    strength: Strength = "none",
    weak: tuple[str, ...] = (),
    found: Comparison | None = None,
    restored: tuple[str, ...] = (),
) -> Evidence:
    """Assemble the evidence record: a good patch is `verified` if it was confirmed, else `passes`.

    Args:
        patch: the judged patch.
        before: report of the base, if it ran.
        after: report of the patched tree, if it ran.
        judgement: rank, reason and whether the patch is good.
        strength: what the verdict rests on.
        weak: why it is not `confirmed`, one line each.
        found: comparison of the two reports.
        restored: test files and settings that verification restored or removed.
    """
    found = found or Comparison()
    good = "verified" if strength == "confirmed" else "passes"
    return Evidence.model_validate(
        {
            "patch_sha256": patch.sha256,
            "verdict": "no_patch" if not patch else good if judgement.good else "unverified",
            "reason": judgement.reason,
            "rank": judgement.rank,
            "strength": strength,
            "strength_reasons": weak,
            "before": before,
            "after": after,
            "fixed": found.fixed,
            "broken": (*found.broken, *found.missing),
            "still_failing": (*found.still_failing, *found.new_failures),
            "restored": restored,
        }
    )


def _ended(report: TestReport) -> str:
    return {
        "timeout": "the test command timed out",
        "oom": "the test command ran out of memory",
        "indeterminate": "the end of the test command was not observed",
        "missing": "the test command was not found",
    }.get(report.status, f"exit code {report.exit_code}")


def _tests(ids: Collection[str]) -> str:
    return "1 test" if len(ids) == 1 else f"{len(ids)} tests"


def some(ids: Collection[str]) -> str:
    """The first few ids, on one line."""
    return ", ".join(list(ids)[:3]) + (" ..." if len(ids) > 3 else "")
