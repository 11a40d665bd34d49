"""Weighted candidates: what the operators propose for the code seen so far, times the suspicion of the place."""

import functools
import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from heats.demo.edits import Patch
from heats.demo.operators import Code, EditChange, Hints, changes
from heats.demo.reading import Knowledge, quoted_in

LONGEST_EDIT = 400
"""Maximum characters of old and new text together; longer changes are left to people."""


@dataclass(frozen=True, slots=True)
class DrawnEdit:
    """A candidate patch, how likely it is to be tried, and how natural it looks."""

    patch: Patch
    weight: float
    plausibility: float
    line: tuple[str, int]


class Pool:
    """Makes candidates; parse results are cached by the parsed text."""

    def __init__(self) -> None:
        self._changes: Callable[[str, str], list[EditChange]] = functools.lru_cache(maxsize=512)(_changes_of)

    def choices(self, known: Knowledge, taste: "Taste") -> list[DrawnEdit]:
        """All candidates for the units seen, as patches with a single change."""
        found: list[DrawnEdit] = []
        for unit in known.units.values():
            hints = json.dumps(_hints(known, unit["path"]), sort_keys=True)
            proposals = self._changes(json.dumps(unit, sort_keys=True), hints)
            found += _weighted(unit, proposals, taste, known.remaining)
        return found


def _changes_of(unit_text: str, hints_text: str) -> list[EditChange]:
    unit, hints = json.loads(unit_text), json.loads(hints_text)
    hints["words"] = frozenset(hints["words"])
    try:
        code = Code(unit["path"], unit["line"], unit["src"], Hints(**hints), head=bool(unit.get("head")))
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [c for c in changes(code) if sum(len(e.old) + len(e.new) for e in c.edits) <= LONGEST_EDIT]


def _hints(known: Knowledge, path: str) -> dict[str, Any]:
    names = known.names.get(path, {})
    told = "\n".join(known.failures)
    params = {name: value for other in known.names.values() for name, value in other.get("params", {}).items()}
    words = {word for word in re.findall(r"[A-Za-z_]\w+", told) if len(word) <= 24}
    words |= {word for text in quoted_in(known.task.statement) for word in re.findall(r"\w+", text)}
    words |= {word for word in known.task.words if word.endswith("Error")}
    return {
        "module": names.get("module", []),
        "classes": names.get("classes", {}),
        "params": {**params, **names.get("params", {})},
        "strings": [text for text in quoted_in(told + "\n" + known.task.statement) if text.strip()][:20],
        "numbers": list(dict.fromkeys(re.findall(r"(?<![\w.])-?\d{1,6}(?![\w.])", told)))[:8],
        "words": sorted(words)[:60],
    }


class Taste:
    """A rollout's preferences, drawn from its seed: kinds of change and places it likes, and how strongly."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sharpness = random.Random(f"{seed} sharpness").uniform(1.0, 2.5)

    def __call__(self, *what: object, spread: float = 0.6) -> float:
        """The factor for something; the same on each call."""
        return math.exp(random.Random(f"{self.seed} {what}").gauss(0, spread))


def _weighted(
    unit: dict[str, Any], proposals: Iterable[EditChange], taste: Taste, remaining: dict[str, dict[int, float]]
) -> list[DrawnEdit]:
    by_line: dict[int, list[EditChange]] = defaultdict(list)
    for change in proposals:
        by_line[change.line].append(change)
    hot = {int(line): score / 100 for line, score in unit.get("hot", {}).items()}
    if remaining:
        hot = {line: remaining.get(unit["path"], {}).get(line, 0.1 * score) for line, score in hot.items()}
    liking = taste("unit", unit["path"], unit["line"], spread=0.5) * max(float(unit.get("score", 0.1)), 0.05)
    found = []
    for line, here in by_line.items():
        suspicion = (_suspicion(hot, line, unit) ** taste.sharpness) * liking
        total = sum(change.weight for change in here) ** 0.4
        for change in here:
            factor = taste("kind", change.kind) * suspicion / total
            place = (unit["path"], line)
            found.append(DrawnEdit(tuple(sorted(change.edits)), change.weight * factor, change.weight, place))
    return found


def _suspicion(hot: dict[int, float], line: int, unit: dict[str, Any]) -> float:
    """Suspicion of a line: its own, or that of the nearest executed line above, or a share of its unit's."""
    if line in hot:
        return max(hot[line], 0.05)
    above = [n for n in hot if n < line]
    if above and line - max(above) <= 3:
        return max(0.7 * hot[max(above)], 0.03)
    own = min(float(unit.get("score", 0.1)), 1.0)
    return own if not hot else 0.3 * own


def sample(choices: Iterable[DrawnEdit], count: int, rng: random.Random, per_line: int = 2) -> list[DrawnEdit]:
    """Draw by weight without replacement.

    Args:
        choices: the candidates.
        count: maximum number of draws.
        rng: source of randomness.
        per_line: maximum number of draws per line.
    """
    keyed = sorted(((math.log(1 - rng.random()) / max(c.weight, 1e-12), c) for c in choices), key=lambda item: -item[0])
    taken: list[DrawnEdit] = []
    lines: dict[tuple[str, int], int] = defaultdict(int)
    for _, choice in keyed:
        if lines[choice.line] < per_line:
            lines[choice.line] += 1
            taken.append(choice)
            if len(taken) == count:
                break
    return taken
