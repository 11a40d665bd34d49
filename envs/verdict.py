"""From two test reports to a verdict: pure functions."""

import re
from dataclasses import dataclass
from typing import Literal

from envs.base import Evidence, Patch, TestReport


@dataclass(frozen=True, slots=True)
class Comparison:
    """Test ids by what became of them. `missing` were there before and are not reported any more."""

    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    still_failing: tuple[str, ...]
    missing: tuple[str, ...]


def compare(before: TestReport, after: TestReport) -> Comparison:
    """Set the reports against each other. A test that is skipped now neither passes nor is fixed."""
    fixed: list[str] = []
    broken: list[str] = []
    still: list[str] = []
    missing: list[str] = []
    for test in before.ids("failed", "error"):
        outcome = after.tests.get(test)
        if outcome is None and _was_collection_error(test):
            (fixed if _collected_now(test, after) else missing).append(test)
        elif outcome is None and _names_failures_only(after):
            fixed.append(test)
        elif outcome is None:
            missing.append(test)
        else:
            (fixed if outcome == "passed" else still).append(test)
    for test in before.ids("passed"):
        outcome = after.tests.get(test)
        if outcome is None:
            missing.append(test)
        elif outcome != "passed":
            broken.append(test)
    new_failures = set(after.ids("failed", "error")) - set(before.tests)
    still += sorted(new_failures)
    return Comparison(tuple(fixed), tuple(broken), tuple(still), tuple(missing))


def _names_failures_only(report: TestReport) -> bool:
    """True for unittest without `-v`: it counts the tests that ran and names those that failed."""
    return not report.ids("passed") and re.search(r"^Ran [1-9]\d* tests? in ", report.output, re.MULTILINE) is not None


def _was_collection_error(test: str) -> bool:
    """pytest names a file it could not collect by its module; unittest by `_FailedTest`."""
    return "::" not in test and ("unittest.loader._FailedTest" in test or not re.search(r"\.[A-Z]\w*\.\w+$", test))


def _collected_now(test: str, after: TestReport) -> bool:
    module = test.rsplit("_FailedTest.", 1)[-1]
    starts = (module.replace(".", "/") + ".py::", module + ".", module + "::")
    return any(name.startswith(starts) or f".{module}." in name for name in after.tests)


def evidence(
    patch: Patch,
    before: TestReport | None,
    after: TestReport | None,
    *,
    rank: int,
    reason: str,
    found: Comparison | None = None,
    restored: tuple[str, ...] = (),
) -> Evidence:
    """Put the record together. Rank 3 is the verdict `verified`; an empty patch is `no_patch`."""
    verdict: Literal["verified", "unverified", "no_patch"] = "verified" if rank == 3 else "unverified"
    return Evidence(
        patch_sha256=patch.sha256,
        verdict=verdict if patch else "no_patch",
        reason=reason,
        rank=rank,
        before=before,
        after=after,
        fixed=found.fixed if found else (),
        broken=(*found.broken, *found.missing) if found else (),
        still_failing=found.still_failing if found else (),
        restored=restored,
    )


def judge(before: TestReport, after: TestReport, found: Comparison) -> tuple[int, str]:
    """Rank and reason by the reports alone, before anything is said about forging."""
    if after.status in ("timeout", "oom", "indeterminate", "missing"):
        return (1 if after.status == before.status else 0), _ended(after)
    if not before.tests or not (after.tests or _names_failures_only(after)):
        return _by_exit_code(before, after)
    if found.missing:
        return 0, f"{_tests(found.missing)} that ran before did not run any more: {_some(found.missing)}"
    if found.broken:
        return 0, f"{_tests(found.broken)} that passed before fail or are skipped now: {_some(found.broken)}"
    if after.status == "passed" and after.ids("failed", "error"):
        return 0, "the test command ended with exit code 0 although its report names failures"
    if found.still_failing:
        rank = 2 if found.fixed else 1
        return rank, f"{_tests(found.still_failing)} still failing: {_some(found.still_failing)}"
    if after.status != "passed":
        rank = 2 if found.fixed else 1
        return rank, f"no test fails any more, but the test command still ends with exit code {after.exit_code}"
    if before.status == "passed" and not found.fixed:
        return 1, "the tests passed before the patch too, so nothing shows that it fixes anything"
    others = len(before.ids("passed"))
    return (
        3,
        f"{_tests(found.fixed)} that failed now {'passes' if len(found.fixed) == 1 else 'pass'}, {others} still pass",
    )


def _by_exit_code(before: TestReport, after: TestReport) -> tuple[int, str]:
    if before.tests and not after.tests:
        return 0, f"no test results came out of the test command any more ({_ended(after)})"
    if after.ids("failed", "error"):
        return 1, f"{_tests(after.ids('failed', 'error'))} failing: {_some(after.ids('failed', 'error'))}"
    if after.status == "passed" and before.status == "passed":
        return 1, "the tests passed before the patch too, so nothing shows that it fixes anything"
    if after.status == "passed":
        return (
            3,
            f"the test command failed before ({_ended(before)}) and ends with exit code 0 now; judged by exit code",
        )
    if before.status == "passed":
        return 0, f"the test command passed before and fails now ({_ended(after)})"
    return 1, f"the test command still fails ({_ended(after)})"


def _ended(report: TestReport) -> str:
    return {
        "timeout": "the test command timed out",
        "oom": "the test command ran out of memory",
        "indeterminate": "the end of the test command was not seen",
        "missing": "the test command was not found",
    }.get(report.status, f"exit code {report.exit_code}")


def _tests(ids: tuple[str, ...]) -> str:
    return "1 test" if len(ids) == 1 else f"{len(ids)} tests"


def _some(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:3]) + (" ..." if len(ids) > 3 else "")
