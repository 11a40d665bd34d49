"""Orders distinct patches by executed tests; pure functions of which patch passes which test.

The project's own tests come first: a test that passes on the base counts against a patch that breaks it, weighted by
the fraction of other patches that keep it, so a test that every fix must break counts against no patch. Tests written
by attempts come second. Such a test counts only if some patch fails it, and a patch other than its author's passes it
that the user's own tests do not show to be worse than another.
Every author has one voice, regardless of the number of tests; guards, which pass on the base, form a voice ahead of the
tests that fail there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Written:
    """One test that an attempt wrote.

    Attributes:
        voice: the voice that it belongs to.
        test: id of the test.
        own: columns of its authors.
        guard: whether it passes on the base.
        passing: columns that pass it.
        credible: columns whose pass confirms a test; None for all.
    """

    voice: str
    test: str
    own: frozenset[str]
    guard: bool
    passing: frozenset[str]
    credible: frozenset[str] | None = None

    def counts(self, columns: Collection[str]) -> bool:
        """Whether the test distinguishes patches and is confirmed by a credible patch other than its author's."""
        confirming = self.passing if self.credible is None else self.passing & self.credible
        return bool(confirming - self.own) and not self.passing.issuperset(columns)


def penalties(columns: Collection[str], broken: Mapping[str, Collection[str]]) -> dict[str, float]:
    """Return each column's total weight of broken tests; a test weighs the fraction of other columns that keep it.

    Args:
        columns: keys of the distinct patches.
        broken: failing base tests by column; if a column is missing, the result is empty.
    """
    if not set(columns) <= set(broken) or len(columns) < 2:
        return dict.fromkeys(columns, 0.0)
    keeping = {test: sum(test not in broken[one] for one in columns) for one in columns for test in broken[one]}
    return {one: sum(keeping[test] / (len(columns) - 1) for test in broken[one]) for one in columns}


def shares(columns: Collection[str], written: Sequence[Written]) -> dict[str, float]:
    """Return each column's pass rate over counting tests, averaged over voices; empty without counting tests."""
    voices: dict[str, list[Written]] = {}
    for one in written:
        if one.counts(columns):
            voices.setdefault(one.voice, []).append(one)
    if not voices:
        return {}
    return {
        column: sum(sum(column in one.passing for one in tests) / len(tests) for tests in voices.values()) / len(voices)
        for column in columns
    }


def places(
    columns: Collection[str], broken: Mapping[str, Collection[str]], written: Sequence[Written]
) -> dict[str, int]:
    """Return each column's place by executed tests; higher is better, equal places are ties.

    Args:
        columns: keys of the distinct patches.
        broken: failing base tests by column.
        written: tests written by attempts.
    """
    weights = penalties(columns, broken)
    guards = shares(columns, [one for one in written if one.guard])
    asked = shares(columns, [one for one in written if not one.guard])
    keys = {
        one: (-round(weights[one], 3), round(guards.get(one, 0.0), 3), round(asked.get(one, 0.0), 3)) for one in columns
    }
    order = sorted(set(keys.values()))
    return {one: order.index(keys[one]) for one in columns}


def behaviours(
    columns: Collection[str], broken: Mapping[str, Collection[str]], written: Sequence[Written]
) -> dict[str, str]:
    """Return a digest of each column's passing tests; equal for patches that no executed test distinguishes.

    Args:
        columns: keys of the distinct patches.
        broken: failing base tests by column.
        written: tests written by attempts.
    """
    found: dict[str, str] = {}
    for one in columns:
        passing = sorted((test.voice, test.test) for test in written if one in test.passing)
        text = repr((sorted(broken.get(one, ())), passing))
        found[one] = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return found
