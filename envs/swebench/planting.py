"""Sentinel tests for the runners of SWE-bench's instances, and how their outcomes are found among the others."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from envs.base import TestOutcome
from envs.sentinel import MAX_FILES, Sentinel, make_sentinel

_METHOD = re.compile(r"^    def (\w+)\(self\):\n        self\.assertEqual\((.+), (.+)\)$", re.MULTILINE)


def make_sentinels(files: Sequence[str], *, functions: bool) -> list[Sentinel]:
    """A pair of tests, one that must fail and one that must pass, for each of a few test files.

    Args:
        functions: write them as plain functions, for a runner that collects nothing else.
    """
    rng = random.SystemRandom()
    made = [make_sentinel(path, rng) for path in files[:MAX_FILES]]
    return [_as_functions(one) for one in made] if functions else made


def _as_functions(sentinel: Sentinel) -> Sentinel:
    bodies = [f"def {found[1]}():\n    assert {found[2]} == {found[3]}\n" for found in _METHOD.finditer(sentinel.text)]
    return replace(sentinel, text="\n\n".join(bodies))


def normal_ids(sentinels: Sequence[Sentinel], tests: Mapping[str, TestOutcome]) -> dict[str, TestOutcome]:
    """The outcomes, with sentinels under the ids that `Sentinel.outcomes` looks for, however the runner writes them."""
    names = {name: sentinel for sentinel in sentinels for name in (sentinel.fails, sentinel.passes)}
    normal: dict[str, TestOutcome] = {}
    for test, outcome in tests.items():
        words = re.findall(r"\w+", test)
        found = next((word for word in reversed(words) if word in names), None)
        normal[f"{names[found].group}::{found}" if found else test] = outcome
    return normal
