"""What rules of thumb are worth when votes do not decide, on graded attempts by real systems.

    python -m benchmarks.tie_breaks attempts.jsonl [more.jsonl ...]

Each line is one attempt: `instance_id`, `model_patch`, `resolved` (true, false or null) and, if known,
`equals_reference`. Instances without both outcomes, unknown outcomes and copies of the reference are left out. "Pairs"
is how often a rule names the resolving one of two different changes of which one resolves; a rule without a preference
gets half, so a random choice scores 50. "One of all" is how often a rule's choice among all attempts resolves, minus
how often a random choice does. Every instance counts the same. Intervals: 95 %, resampling instances.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from core.diff import DiffSyntaxError, FileDiff, parse_diff
from envs import brings_tests, change_key, patch_key
from envs.base import Patch
from envs.same_change import source_part

RESAMPLED = 4000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One patch, its features, and whether it resolves.

    Attributes:
        lines: changed lines of source code with their file and sign.
        files, sources: number of files it changes, and paths of those with source code.
    """

    text_key: str
    change: str
    size: int
    edits: int
    lines: frozenset[tuple[str, bytes]]
    files: int
    sources: frozenset[str]
    hunks: int
    tests: bool
    resolved: bool


Rule = Callable[[Attempt, Sequence[Attempt]], float]
"""Scores an attempt among all attempts at its instance; higher is better."""


def likeness(one: frozenset[object], other: frozenset[object]) -> float:
    """Size of the intersection of two sets relative to that of their union."""
    return len(one & other) / len(one | other) if one | other else 0.0


RULES: Mapping[str, Rule] = {
    "smaller patch": lambda one, _: -one.size,
    "larger patch": lambda one, _: one.size,
    "fewer edits": lambda one, _: -one.edits,
    "fewer edits of source": lambda one, _: -len(one.lines),
    "size nearest to the median": lambda one, field: -abs(one.size - median(other.size for other in field)),
    "fewer files": lambda one, _: -one.files,
    "more files": lambda one, _: one.files,
    "more hunks of source": lambda one, _: one.hunks,
    "brings tests": lambda one, _: one.tests,
    "more copies, by text": lambda one, field: sum(other.text_key == one.text_key for other in field),
    "more copies, by source": lambda one, field: sum(other.change == one.change for other in field),
    "same files as others": lambda one, field: sum(likeness(one.sources, other.sources) for other in field),
    "same lines as others": lambda one, field: sum(likeness(one.lines, other.lines) for other in field),
}


def read(paths: Sequence[Path]) -> dict[str, list[Attempt]]:
    """The attempts at every instance that has both outcomes."""
    found: dict[str, list[Attempt]] = defaultdict(list)
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["resolved"] is not None and not row.get("equals_reference"):
                found[row["instance_id"]].append(_attempt(row))
    return {name: field for name, field in found.items() if len({one.resolved for one in field}) == 2}


def _attempt(row: Mapping[str, object]) -> Attempt:
    text = str(row["model_patch"])
    patch = Patch(text.encode() if text.endswith("\n") else text.encode() + b"\n")
    try:
        files = parse_diff(patch.data)
    except DiffSyntaxError:
        files = []
    source = source_part(files)
    return Attempt(
        text_key=patch_key(patch),
        change=change_key(patch),
        size=len(patch.data),
        edits=sum(1 for _ in _changed(files)),
        lines=frozenset(_changed(source)),
        files=len(files),
        sources=frozenset(path for path, _ in _changed(source)),
        hunks=sum(len(file.hunks) for file in source),
        tests=brings_tests(patch),
        resolved=bool(row["resolved"]),
    )


def _changed(files: Sequence[FileDiff]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        for line in (line for hunk in file.hunks for line in hunk.lines if line[:1] in (b"+", b"-")):
            yield file.name, line[:1] + line[1:].strip()


def pairs(field: Sequence[Attempt], rule: Rule) -> float | None:
    """Share of an instance's mixed pairs of different changes that a rule decides correctly; None if there are none."""
    worth = [(rule(one, field), one) for one in field]
    right = [
        0.5 * (good_worth > bad_worth) + 0.5 * (good_worth >= bad_worth)
        for good_worth, good in worth
        for bad_worth, bad in worth
        if good.resolved and not bad.resolved and good.change != bad.change
    ]
    return fmean(right) if right else None


def one_of_all(field: Sequence[Attempt], rule: Rule) -> float:
    """How much more often a rule's choice resolves than a random one; ties are broken at random."""
    worth = [rule(one, field) for one in field]
    best = [one.resolved for one, value in zip(field, worth, strict=True) if value == max(worth)]
    return fmean(best) - fmean(one.resolved for one in field)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean, by resampling."""
    rng = random.Random(0)
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLED))
    return means[int(0.025 * RESAMPLED)], means[int(0.975 * RESAMPLED)]


def cell(values: Sequence[float], sign: str = "") -> str:
    """A mean with its interval, in per cent."""
    low, high = interval(values)
    return f"{100 * fmean(values):{sign}.1f} ({100 * low:{sign}.0f} to {100 * high:{sign}.0f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    fields = read(parser.parse_args().paths)
    random_pick = 100 * fmean(fmean(one.resolved for one in field) for field in fields.values())
    attempts = sum(map(len, fields.values()))
    print(f"{len(fields)} instances, {attempts} attempts; a random one resolves in {random_pick:.1f} %\n")
    print("| rule | pairs | one of all |\n| --- | --- | --- |")
    for name, rule in RULES.items():
        shares = [share for field in fields.values() if (share := pairs(field, rule)) is not None]
        gains = [one_of_all(field, rule) for field in fields.values()]
        print(f"| {name} | {cell(shares)} | {cell(gains, '+')} |", flush=True)


if __name__ == "__main__":
    main()
