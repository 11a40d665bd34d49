"""Tests that are unstable on the base itself: ids or outcomes that change from run to run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from envs.base import TestOutcome, TestReport
from envs.recording import WORST


@dataclass(frozen=True, slots=True)
class Grouping:
    """How to read the outcomes of unstable tests.

    Attributes:
        changing: ids that occur in only one of two runs. They are compared by `functions`, by the worst outcome of
            each.
        lost: ids and functions that still occur in only one of the runs; they are dropped.
        flaky: tests whose outcomes differ; they count as skipped.
    """

    changing: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    flaky: frozenset[str] = frozenset()

    def of(self, tests: Mapping[str, TestOutcome]) -> dict[str, TestOutcome]:
        """Outcomes, read this way."""
        found: dict[str, TestOutcome] = {}
        for test, outcome in tests.items():
            name = self.name(test)
            if name not in self.lost:
                found[name] = max(outcome, found.get(name, "passed"), key=WORST.index)
        return {test: "skipped" if test in self.flaky else outcome for test, outcome in found.items()}

    def name(self, test: str) -> str:
        """The test's own id, or its function's if the function is what counts."""
        function = function_of(test) if self.functions else test
        return function if function in self.functions else test

    def report(self, report: TestReport) -> TestReport:
        """A report, read this way."""
        places = {self.name(test): place for test, place in report.places.items()}
        return report.model_copy(update={"tests": self.of(report.tests), "places": places})


def group(first: TestReport, second: TestReport) -> Grouping:
    """Compare two runs of the base."""
    changing = frozenset(set(first.tests) ^ set(second.tests))
    coarse = Grouping(changing, frozenset(function_of(test) for test in changing))
    one, other = coarse.of(first.tests), coarse.of(second.tests)
    flaky = frozenset(test for test in set(one) & set(other) if one[test] != other[test])
    return Grouping(changing & set(first.tests), coarse.functions, frozenset(set(one) ^ set(other)), flaky)


def function_of(test: str) -> str:
    """The stable part of a changing id: the function of a parametrized test, else the name without its numbers."""
    if "[" in test:
        return test.split("[")[0] + "[*]"
    at = max((test.rfind(sign) + len(sign) for sign in ("::", ".", "> ") if sign in test), default=0)
    return test[:at] + re.sub(r"[0-9a-f]*\d[0-9a-f]*", "*", test[at:])
