"""The whole method on dice: what N, K, G, V and T would give, before anything is spent.

A task is a chance of passing, drawn from a beta distribution or measured. A rollout is a toss of it, a refined one of
a chance that depends on how much of its refinement context passes. Tournaments are played with the bracket and the
counting of votes that real ones use.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist

from tournament.base import Candidate, Match
from tournament.bracket import MatchKey, plan_rounds, rank, resolve
from tournament.tally import Rules, leader, next_wave


@dataclass(frozen=True, slots=True)
class Method:
    """The method's settings; N, K, G, V, T as everywhere.

    Attributes:
        early_stop: stop a match when its winner cannot change.
        fresh_share: share of a later heat's rollouts that get no refinement context.
        keep: the kept candidates of earlier heats play in the final tournament.
    """

    rollouts: int = 16
    select_k: int = 4
    group_size: int = 2
    votes: int = 8
    iterations: int = 2
    early_stop: bool = False
    fresh_share: float = 0.0
    keep: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What is known of a model on a kind of tasks.

    Attributes:
        mean: share of fresh rollouts that pass.
        concentration: alpha + beta of the tasks' beta distribution; small is polarised.
        accuracy: by heat, share of groups of two with one passing candidate that 8 votes decide rightly; the last
            value holds for later heats.
        noise: standard deviation, in logits, of the error that all votes of a match share.
        refined: chance of a refined rollout by the share of its context that passes, at equal distances from 0 to 1.
        refined_concentration: like `concentration`, around the value of `refined`.
        rates: measured chances to draw tasks from, in place of the beta distribution.
    """

    mean: float
    concentration: float
    accuracy: tuple[float, ...]
    refined: tuple[float, ...]
    noise: float = 2.0
    refined_concentration: float = 0.5
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """Means over the simulated tasks, shares between 0 and 1.

    Attributes:
        heats: mean of each heat's rollouts that pass.
        oracle: share of tasks with a passing rollout, by heat.
        selected: mean of the K kept after each heat but the last.
        first: passes of the candidate that RTV alone would return after the first heat.
        final: passes of the candidate returned at the end.
        rollouts, votes: per task.
    """

    heats: tuple[float, ...]
    oracle: tuple[float, ...]
    selected: tuple[float, ...]
    first: float
    final: float
    rollouts: float
    votes: float


@dataclass(slots=True)
class _Sums:
    """Totals over tasks."""

    heats: list[float]
    oracle: list[float]
    selected: list[float]
    first: float = 0.0
    final: float = 0.0
    rollouts: int = 0
    votes: int = 0


@dataclass(slots=True)
class Simulation:
    """Plays tasks.

    Args:
        method: settings.
        world: the model and its tasks.
        seed: of all dice.
    """

    method: Method
    world: World
    seed: int = 0
    _rng: random.Random = field(init=False)
    _field: list[Candidate] = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        most = self.method.rollouts + self.method.select_k * self.method.iterations
        self._field = [Candidate(id=str(index), summary="") for index in range(most)]

    def run(self, tasks: int) -> Forecast:
        """Simulate this many tasks."""
        heats = self.method.iterations
        sums = _Sums([0.0] * heats, [0.0] * heats, [0.0] * (heats - 1))
        for chance in self._chances(tasks):
            self._task(chance, sums)
        return Forecast(
            heats=tuple(value / tasks for value in sums.heats),
            oracle=tuple(value / tasks for value in sums.oracle),
            selected=tuple(value / tasks for value in sums.selected),
            first=sums.first / tasks,
            final=sums.final / tasks,
            rollouts=sums.rollouts / tasks,
            votes=sums.votes / tasks,
        )

    def _task(self, chance: float, sums: _Sums) -> None:
        method = self.method
        passed = [self._rng.random() < chance for _ in range(method.rollouts)]
        kept: list[bool] = []
        for heat in range(method.iterations):
            sums.rollouts += len(passed)
            sums.heats[heat] += sum(passed) / len(passed)
            sums.oracle[heat] += any(passed)
            if heat == 0:
                ((won,), _) = self._select(passed, 1, 0)
                sums.first += won
            if heat == method.iterations - 1:
                break
            context, votes = self._select(passed, method.select_k, heat)
            sums.votes += votes
            sums.selected[heat] += sum(context) / len(context)
            kept += context
            passed = self._refine(context, chance)
        ((won,), votes) = self._select(passed + kept * method.keep, 1, method.iterations - 1)
        sums.final += won
        sums.votes += votes

    def _chances(self, tasks: int) -> list[float]:
        """One chance for each task, spread evenly over the distribution, so that few tasks show it well."""
        rates = self.world.rates or [self._beta(self.world.mean, self.world.concentration) for _ in range(16 * tasks)]
        ordered = sorted(rates)
        return [ordered[int((task + 0.5) * len(ordered) / tasks)] for task in range(tasks)]

    def _beta(self, mean: float, concentration: float) -> float:
        if not 0 < mean < 1:
            return mean
        return self._rng.betavariate(mean * concentration, (1 - mean) * concentration)

    def _refine(self, context: Sequence[bool], fresh: float) -> list[bool]:
        """The next heat's outcomes."""
        share = sum(context) / len(context)
        chance = self._beta(_between(self.world.refined, share), self.world.refined_concentration)
        count = self.method.rollouts
        unread = round(count * self.method.fresh_share)
        return [self._rng.random() < (fresh if index < unread else chance) for index in range(count)]

    def _select(self, passed: Sequence[bool], keep: int, heat: int) -> tuple[list[bool], int]:
        """Who is kept, as outcomes, and how many votes it took."""
        order = self._rng.sample(range(len(passed)), len(passed))
        slots = [self._field[index] for index in order]
        plan = plan_rounds(len(slots), self.method.group_size, keep)
        accuracy = self.world.accuracy[min(heat, len(self.world.accuracy) - 1)]
        gap = quality_gap(accuracy, self.world.noise)
        judged: dict[MatchKey, Match] = {}
        votes = 0
        while (state := resolve(slots, plan, judged)).open:
            for (name, ids), _ in state.ready.items():
                winner, cast = self._match(ids, [gap * passed[int(one)] for one in ids])
                judged[name, ids] = Match(id=name, contestants=ids, winner=winner, decided_by="votes")
                votes += cast
        ranking = rank(slots, state.rounds, self.seed)
        return [passed[int(one)] for one in ranking[:keep]], votes

    def _match(self, ids: tuple[str, ...], worth: list[float]) -> tuple[str, int]:
        """One match: its winner and the votes cast."""
        odds = [math.exp(value + self._rng.gauss(0, self.world.noise)) for value in worth]
        ties = tuple(self._rng.sample(ids, len(ids)))
        rules = Rules(ties, ties, self.method.votes, len(ids))
        choices: list[str | None] = []
        while wave := next_wave(choices, rules, early_stop=self.method.early_stop, balanced=True):
            choices += self._rng.choices(ids, odds, k=wave)
        return leader(choices, rules), len(choices)


def _between(table: Sequence[float], share: float) -> float:
    """Interpolate a table given at equal distances from 0 to 1."""
    place = share * (len(table) - 1)
    low = min(int(place), len(table) - 2)
    return table[low] + (table[low + 1] - table[low]) * (place - low)


@lru_cache(maxsize=64)
def quality_gap(accuracy: float, noise: float, votes: int = 8) -> float:
    """Logits between a passing and a failing candidate so that `votes` votes on a pair are right this often."""
    errors = [NormalDist().inv_cdf((index + 0.5) / 200) * noise * math.sqrt(2) for index in range(200)]

    def right(gap: float) -> float:
        return sum(_majority(1 / (1 + math.exp(-gap - error)), votes) for error in errors) / len(errors)

    grid = [index / 50 for index in range(501)]
    if accuracy < 0.5:
        return -quality_gap(1 - accuracy, noise, votes)
    return grid[min(bisect_right(grid, accuracy, key=right), len(grid) - 1)]


def _majority(chance: float, votes: int) -> float:
    """Chance that most of the votes are right; a tie counts half."""
    exact = [math.comb(votes, n) * chance**n * (1 - chance) ** (votes - n) for n in range(votes + 1)]
    return sum(exact[n] for n in range(votes + 1) if 2 * n > votes) + (exact[votes // 2] / 2 if votes % 2 == 0 else 0.0)


def concentration_for(mean: float, unsolved: float, rollouts: int = 16) -> float:
    """Concentration of a beta distribution with this mean whose share of tasks without any passing rollout is given.

    Args:
        unsolved: share of tasks of which none of `rollouts` passes.
    """
    low, high = 0.01, 100.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        none = math.prod(((1 - mean) * middle + i) / (middle + i) for i in range(rollouts))
        low, high = (middle, high) if none > unsolved else (low, middle)
    return low
