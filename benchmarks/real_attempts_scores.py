"""How often each way of choosing returns a resolving patch, over pools of real attempts, from stored executions."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from core.diff import diff_stats
from envs.base import Patch
from heats.store.executed_order import Written, behaviours, penalties, places

SAMPLES = 4000
Chosen = Sequence[str]


class Attempts(Protocol):
    """The required interface of a pool."""

    instance: str
    attempts: list[Mapping[str, Any]]
    patches: dict[str, Patch]
    keys: dict[str, str]


@dataclass
class Case:
    """One pool with what was executed on it. Attempts without a known outcome are candidates, and are not counted."""

    instance: str
    names: list[str]
    resolved: dict[str, bool]
    keys: dict[str, str]
    texts: dict[str, str]
    sizes: dict[str, int]
    broken: dict[str, list[str]]
    written: list[Written]
    seconds: list[float]
    existing: bool

    @property
    def columns(self) -> list[str]:
        """Keys of the different changes."""
        return list(dict.fromkeys(self.keys[name] for name in self.names))

    @property
    def mixed(self) -> bool:
        """Whether choosing matters."""
        return len(set(self.resolved.values())) == 2


def make_case(pool: Attempts, lines: Sequence[Mapping[str, Any]]) -> Case:
    """A pool and the lines of the cache that are its own."""
    resolved = {one["attempt_id"]: one["resolved"] for one in pool.attempts if isinstance(one["resolved"], bool)}
    names = [one["attempt_id"] for one in pool.attempts if one["attempt_id"] in pool.patches]
    names = [name for name in names if name in resolved]
    keys = {name: pool.keys[name] for name in names}
    broken = {line["patch"]: line["broken"] for line in lines if line["tests"] == "existing"}
    return Case(
        instance=pool.instance,
        names=names,
        resolved={name: resolved[name] for name in names},
        keys=keys,
        texts={name: sha256(pool.patches[name].data).hexdigest() for name in names},
        sizes={name: _size(pool.patches[name]) for name in names},
        broken={key: tests for key, tests in broken.items() if key in keys.values()},
        written=list(_written(lines, keys)),
        seconds=[line["wall"] for line in lines if line["tests"] == "existing"],
        existing=bool(broken),
    )


def _size(patch: Patch) -> int:
    stats = diff_stats(patch.data)
    return stats.added + stats.removed


def _written(lines: Sequence[Mapping[str, Any]], keys: Mapping[str, str]) -> list[Written]:
    """Rows of authors' tests that ran on every column."""
    by_voice: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in lines:
        if line["tests"] not in ("plan", "existing"):
            by_voice[line["tests"]][line["patch"]] = line
    stable = next((set(line["plan"]["stable"]) for line in lines if line["tests"] == "plan"), set())
    found: list[Written] = []
    columns = set(keys.values())
    for voice, cells in by_voice.items():
        if not columns | {""} <= set(cells):
            continue
        own = frozenset(keys[name] for name in cells[""]["authors"] if name in keys)
        for test in {test for cell in cells.values() for test in cell["outcomes"]}:
            base = cells[""]["outcomes"].get(test)
            if base not in ("passed", "failed") or (test in stable and base == "passed"):
                continue
            passing = frozenset(key for key in columns if cells[key]["outcomes"].get(test) == "passed")
            found.append(Written(voice, test, own, base == "passed", passing))
    return found


def _best(case: Case, key: Callable[[str], Any]) -> Chosen:
    best = max(key(name) for name in case.names)
    return [name for name in case.names if key(name) == best]


def _by_place(case: Case, place: Mapping[str, Any]) -> Chosen:
    return _best(case, lambda name: place[case.keys[name]])


def _majority(case: Case, key: Mapping[str, str], within: Chosen | None = None) -> Chosen:
    pool = list(within or case.names)
    counts = Counter(key[name] for name in pool)
    most = max(counts.values())
    return [name for name in pool if counts[key[name]] == most]


def _behaviour(case: Case) -> dict[str, str]:
    said = behaviours(case.columns, case.broken, case.written)
    return {name: said[case.keys[name]] for name in case.names}


def existing(case: Case) -> Chosen:
    """Choose the patches with the least weight of broken existing tests."""
    weights = penalties(case.columns, case.broken)
    return _by_place(case, {one: -round(weights[one], 3) for one in case.columns})


def crossed(case: Case) -> Chosen:
    """Choose the best patches by authors' tests alone."""
    return _by_place(case, places(case.columns, {}, case.written))


def executed(case: Case) -> Chosen:
    """Choose the best patches by existing tests, then by authors' tests."""
    return _by_place(case, places(case.columns, case.broken, case.written))


RULES: Mapping[str, Callable[[Case], Chosen]] = {
    "random": lambda case: case.names,
    "first": lambda case: case.names[:1],
    "smallest": lambda case: _best(case, lambda name: -case.sizes[name]),
    "majority by text": lambda case: _majority(case, case.texts),
    "majority by source": lambda case: _majority(case, case.keys),
    "majority by behaviour": lambda case: _majority(case, _behaviour(case)),
    "existing tests": existing,
    "authors' tests": crossed,
    "both": executed,
    "both, then majority by behaviour": lambda case: _majority(case, _behaviour(case), executed(case)),
    "both, then majority by source": lambda case: _majority(case, case.keys, executed(case)),
    "best possible": lambda case: _best(case, lambda name: case.resolved[name]),
}


def chance(case: Case, rule: Callable[[Case], Chosen]) -> float:
    """Return the fraction of resolving patches among those that a rule leaves tied."""
    chosen = rule(case)
    return sum(case.resolved[name] for name in chosen) / len(chosen)


def report(pools: Sequence[Attempts], executed_lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A table over the pools with both outcomes, and what each rule does to every one of them."""
    cases = [make_case(pool, executed_lines.get(pool.instance, ())) for pool in pools]
    cases = [case for case in cases if case.names and case.existing]
    mixed = [case for case in cases if case.mixed]
    if not mixed:
        return "no pool with both outcomes was executed"
    chances = {name: [chance(case, rule) for case in mixed] for name, rule in RULES.items()}
    low, high = _mean(chances["random"]), _mean(chances["best possible"])
    out = [f"{sum(len(case.names) for case in mixed)} patches in {len(mixed)} pools with both outcomes, per cent", ""]
    out += ["| rule | resolves | 95 % | share of the gap | worst against random |", "| --- | --- | --- | --- | --- |"]
    for name, values in chances.items():
        start, end = _interval(values)
        harm = min(value - own for value, own in zip(values, chances["random"], strict=True))
        gap = (_mean(values) - low) / (high - low)
        figures = f"{100 * _mean(values):.1f} | {100 * start:.0f} - {100 * end:.0f} | {100 * gap:.0f}"
        out.append(f"| {name} | {figures} | {100 * harm:+.0f} |")
    shown = ("random", "existing tests", "authors' tests", "both", "both, then majority by behaviour")
    out += [
        "",
        f"| pool | patches | different | tests of authors | {' | '.join(shown)} |",
        "| --- " * (4 + len(shown)) + "|",
    ]
    for place, case in enumerate(mixed):
        voices = len({one.voice for one in case.written})
        told = " | ".join(f"{100 * chances[name][place]:.0f}" for name in shown)
        out.append(f"| {case.instance} | {len(case.names)} | {len(case.columns)} | {voices} | {told} |")
    seconds = sorted(second for case in cases for second in case.seconds)
    out += ["", f"Existing tests of one patch: median {seconds[len(seconds) // 2]:.1f} s, most {seconds[-1]:.1f} s."]
    return "\n".join(out)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Bootstrap over pools."""
    rng = random.Random(0)
    means = sorted(_mean(rng.choices(values, k=len(values))) for _ in range(SAMPLES))
    return means[int(0.025 * SAMPLES)], means[int(0.975 * SAMPLES)]
