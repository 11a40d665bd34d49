"""The order that executed tests give different patches: pure functions over who passes what.

First the project's own tests: one that passes on the base counts against a patch with which it fails, by the share of
the other patches that keep it, so that a test which every fix has to break counts against nobody. Then the tests that
attempts wrote. One counts only if a patch other than its author's passes it and some patch fails it. Every author has
one voice, however many tests it wrote: guards, which pass on the base, are a voice before those that failed there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Written:
    """One test that an attempt wrote.

    Attributes:
        voice: who speaks by it.
        test: its id.
        own: columns of its authors.
        guard: it passes on the base.
        passing: columns that pass it.
    """

    voice: str
    test: str
    own: frozenset[str]
    guard: bool
    passing: frozenset[str]

    def counts(self, columns: Collection[str]) -> bool:
        """Whether it tells patches apart, and somebody besides its author bears it out."""
        return bool(self.passing - self.own) and not self.passing.issuperset(columns)


def penalties(columns: Collection[str], broken: Mapping[str, Collection[str]]) -> dict[str, float]:
    """By column, what its broken tests weigh: each the share of the other columns that keep it.

    Args:
        broken: by column, tests of the base that fail; empty weights where a column is missing.
    """
    if not set(columns) <= set(broken) or len(columns) < 2:
        return dict.fromkeys(columns, 0.0)
    keeping = {test: sum(test not in broken[one] for one in columns) for one in columns for test in broken[one]}
    return {one: sum(keeping[test] / (len(columns) - 1) for test in broken[one]) for one in columns}


def shares(columns: Collection[str], written: Sequence[Written]) -> dict[str, float]:
    """By column, the mean over the voices of the share of their counting tests that it passes; empty without any."""
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
    """By column, its place by what was executed; higher is better, equal is undecided."""
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
    """By column, a digest of which tests pass with it; equal for patches that no executed test tells apart."""
    found: dict[str, str] = {}
    for one in columns:
        passing = sorted((test.voice, test.test) for test in written if one in test.passing)
        text = repr((sorted(broken.get(one, ())), passing))
        found[one] = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return found
