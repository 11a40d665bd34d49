"""Weighted candidates: what the operators propose for the code seen so far, times how suspicious the place is."""

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
from heats.demo.operators import Change, Code, Hints, changes
from heats.demo.reading import Knowledge, quoted_in

LONGEST_EDIT = 400
"""Characters of old and new text together; longer changes are left to people."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate patch, how likely it is to be tried, and how natural a change it is."""

    patch: Patch
    weight: float
    plausibility: float
    line: tuple[str, int]


class Pool:
    """Makes candidates; parsing is cached by the text that was parsed."""

    def __init__(self) -> None:
        self._changes: Callable[[str, str], list[Change]] = functools.lru_cache(maxsize=512)(_changes_of)

    def choices(self, known: Knowledge, taste: "Taste") -> list[Choice]:
        """All candidates for the units seen, as one-change patches."""
        found: list[Choice] = []
        for unit in known.units.values():
            hints = json.dumps(_hints(known, unit["path"]), sort_keys=True)
            proposals = self._changes(json.dumps(unit, sort_keys=True), hints)
            found += _weighted(unit, proposals, taste, known.remaining)
        return found


def _changes_of(unit_text: str, hints_text: str) -> list[Change]:
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
    """One rollout's leanings, drawn from its seed: which kinds of change and which places it likes, and how sharply."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sharpness = random.Random(f"{seed} sharpness").uniform(1.0, 2.5)

    def __call__(self, *what: object, spread: float = 0.6) -> float:
        """The factor for something, the same whenever it is asked for."""
        return math.exp(random.Random(f"{self.seed} {what}").gauss(0, spread))


def _weighted(
    unit: dict[str, Any], proposals: Iterable[Change], taste: Taste, remaining: dict[str, dict[int, float]]
) -> list[Choice]:
    by_line: dict[int, list[Change]] = defaultdict(list)
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
            found.append(Choice(tuple(sorted(change.edits)), change.weight * factor, change.weight, place))
    return found


def _suspicion(hot: dict[int, float], line: int, unit: dict[str, Any]) -> float:
    """Of a line: its own, or that of the nearest executed line above, or a share of its unit's."""
    if line in hot:
        return max(hot[line], 0.05)
    above = [n for n in hot if n < line]
    if above and line - max(above) <= 3:
        return max(0.7 * hot[max(above)], 0.03)
    own = min(float(unit.get("score", 0.1)), 1.0)
    return own if not hot else 0.3 * own


def sample(choices: Iterable[Choice], count: int, rng: random.Random, per_line: int = 2) -> list[Choice]:
    """Draw without replacement by weight, at most `per_line` of one line."""
    keyed = sorted(((math.log(1 - rng.random()) / max(c.weight, 1e-12), c) for c in choices), key=lambda item: -item[0])
    taken: list[Choice] = []
    lines: dict[tuple[str, int], int] = defaultdict(int)
    for _, choice in keyed:
        if lines[choice.line] < per_line:
            lines[choice.line] += 1
            taken.append(choice)
            if len(taken) == count:
                break
    return taken
