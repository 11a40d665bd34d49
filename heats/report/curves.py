"""Data for papers' plots of a run: figures by task, to be averaged over tasks with their spread."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median_low

from heats.report.figures import pass_at_k
from heats.store.reader import Basis, TaskFacts, find_basis, read_task, task_ids
from heats.store.store import RunStore
from tournament.base import Bracket


@dataclass(frozen=True, slots=True)
class HeatCurves:
    """One heat. Every inner list is one task.

    Attributes:
        pass_at_k: for k = 1, 2 ... N, for tasks with at least the usual number N of known rollouts.
        by_round: share of the remaining candidates that pass, before round 1 and after each round.
        decided: by round, number of mixed matches with a passing winner, and number of all mixed matches.
        passes: number of passing rollouts, of `known`.
    """

    heat: int
    pass_at_k: tuple[tuple[float, ...], ...]
    by_round: tuple[tuple[float, ...], ...]
    decided: tuple[tuple[int, int], ...]
    passes: tuple[int, ...]
    known: tuple[int, ...]


def heat_curves(run: RunStore) -> tuple[Basis, tuple[HeatCurves, ...]]:
    """The curves of each heat of a run, and the definition of success they are based on."""
    basis = find_basis(run)
    tasks = [read_task(run, task) for task in task_ids(run)]
    heats = max((len(task.heats) for task in tasks), default=0)
    return basis, tuple(_heat([task for task in tasks if heat < len(task.heats)], heat, basis) for heat in range(heats))


def _heat(tasks: Sequence[TaskFacts], heat: int, basis: Basis) -> HeatCurves:
    counts = []
    for task in tasks:
        known = [passed for one in task.heats[heat] if (passed := one.passed(basis)) is not None]
        if known:
            counts.append((sum(known), len(known)))
    usual = median_low([known for _, known in counts]) if counts else 0
    rounds = [found for task in tasks if (found := _by_round(task, heat, basis))]
    return HeatCurves(
        heat=heat,
        pass_at_k=tuple(
            tuple(pass_at_k(known, passed, k) for k in range(1, usual + 1))
            for passed, known in counts
            if known >= usual > 0
        ),
        by_round=_levelled(rounds),
        decided=_decided(tasks, heat, basis),
        passes=tuple(passed for passed, _ in counts),
        known=tuple(known for _, known in counts),
    )


def _by_round(task: TaskFacts, heat: int, basis: Basis) -> tuple[float, ...]:
    """The shares of one task; empty if a candidate's success is unknown."""
    bracket = task.brackets[heat]
    if bracket is None or not bracket.rounds:
        return ()
    shares = []
    for field in _fields(bracket):
        known = [passed for one in field if (found := task.find(one)) and (passed := found.passed(basis)) is not None]
        if not known:
            return ()
        shares.append(fmean(known))
    return tuple(shares)


def _fields(bracket: Bracket) -> Iterable[Sequence[str]]:
    tree = [played for played in bracket.rounds if not any(match.play_off for match in played)]
    for played in tree:
        yield [one for match in played for one in match.contestants]
    yield [match.winner for match in tree[-1]]


def _levelled(rounds: Sequence[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    """Extend tasks with fewer rounds by their last share, so that every mean is over the same tasks."""
    longest = max(map(len, rounds), default=0)
    return tuple(shares + shares[-1:] * (longest - len(shares)) for shares in rounds)


def _decided(tasks: Sequence[TaskFacts], heat: int, basis: Basis) -> tuple[tuple[int, int], ...]:
    right: Counter[int] = Counter()
    mixed: Counter[int] = Counter()
    for task in tasks:
        bracket = task.brackets[heat]
        for number, played in enumerate(bracket.rounds if bracket is not None else ()):
            for match in played:
                found = {one: facts.passed(basis) for one in match.contestants if (facts := task.find(one)) is not None}
                if {True, False} <= set(found.values()):
                    mixed[number] += 1
                    right[number] += bool(found.get(match.winner))
    return tuple((right[number], mixed[number]) for number in range(max(mixed, default=-1) + 1))
