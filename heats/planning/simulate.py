"""A Monte Carlo simulation of the whole method: what N, K, G, V and T would achieve, before spending anything.

A task is a pass probability, measured or drawn from a beta distribution. A rollout is a draw with that probability; for
a refined rollout, the probability depends on how much of its refinement context passes. Tournaments use the same
bracket and vote counting as real ones.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from heats.context_rules import fresh_rollouts
from heats.planning.calibration import quality_gap
from tournament.base import Candidate, Match
from tournament.bracket import MatchKey, plan_rounds, resolve
from tournament.standings import rank
from tournament.tally import Rules, leader, next_wave, whole_blocks
from tournament.ties import preference

EVEN_FIELDS = 32
POOL = 8192
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Method:
    """The method's settings, with the usual N, K, G, V, T.

    Attributes:
        early_stop: stop a match once its winner cannot change.
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

    @property
    def fresh(self) -> int:
        """Number of a later heat's rollouts that get no refinement context."""
        return fresh_rollouts(self.rollouts, self.fresh_share)


@dataclass(frozen=True, slots=True)
class World:
    """What is known about a model on a kind of task.

    Attributes:
        mean: share of fresh rollouts that pass.
        concentration: alpha + beta of the tasks' beta distribution; small values mean polarised tasks.
        unsolvable: share of tasks that no fresh rollout passes; the beta distribution describes the others.
        misled: share of failing candidates that the judge prefers to passing ones throughout a tournament, such as
            long or confident ones. With it, there is an N beyond which more rollouts hurt. Source: Demystifying
            LLM-as-a-Judge, arXiv:2512.19905.
        accuracy: by heat, share of pairs with one passing candidate that 8 votes decide correctly; the last value
            applies to later heats.
        noise: standard deviation, in logits, of the error that all votes of a match share.
        refined: pass probability of a refined rollout, tabulated at equidistant shares of passing context from 0 to 1.
        refined_concentration: like `concentration`, around the value of `refined`.
        rates: measured pass probabilities to draw tasks from, in place of the beta distribution.
    """

    mean: float
    concentration: float
    accuracy: tuple[float, ...]
    refined: tuple[float, ...]
    noise: float = 2.0
    refined_concentration: float = 0.7
    rates: tuple[float, ...] = ()
    unsolvable: float = 0.0
    misled: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Means over the simulated tasks; shares are between 0 and 1.

    Attributes:
        heats: share of rollouts that pass, by heat.
        oracle: share of tasks with a passing rollout, by heat.
        unanimous: share of tasks with only passing rollouts, by heat.
        selected: share of the K kept candidates that pass, after each heat but the last.
        first: share of tasks on which the choice of RTV alone, after the first heat, passes.
        final: share of tasks on which the final choice passes.
        rollouts, votes: number per task.
        waves: number of sequential waves of votes, per match.
    """

    heats: tuple[float, ...]
    oracle: tuple[float, ...]
    unanimous: tuple[float, ...]
    selected: tuple[float, ...]
    first: float
    final: float
    rollouts: float
    votes: float
    waves: float


@dataclass(slots=True)
class _Sums:
    """Totals over tasks."""

    heats: list[float]
    oracle: list[float]
    unanimous: list[float]
    selected: list[float]
    first: float = 0.0
    final: float = 0.0
    rollouts: int = 0
    votes: float = 0.0


@dataclass(slots=True)
class Simulation:
    """Simulates tasks.

    Args:
        method: the settings.
        world: the model and its tasks.
        seed: seed of all random draws.
    """

    method: Method
    world: World
    seed: int = 0
    _rng: random.Random = field(init=False)
    _field: list[Candidate] = field(init=False)
    _pools: dict[float, list[float]] = field(init=False, default_factory=dict)
    _drawn: Counter[float] = field(init=False, default_factory=Counter)
    _even: dict[tuple[int, int], list[float]] = field(init=False, default_factory=dict)
    _waves: list[int] = field(init=False, default_factory=lambda: [0, 0])
    """Total waves of votes, and number of matches played."""

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        most = self.method.rollouts + self.method.select_k * self.method.iterations
        self._field = [Candidate(id=str(index), summary="") for index in range(most)]

    def run(self, tasks: int) -> Forecast:
        """Simulate this number of tasks."""
        heats = self.method.iterations
        sums = _Sums([0.0] * heats, [0.0] * heats, [0.0] * heats, [0.0] * (heats - 1))
        for chance in self.chances(tasks):
            self._task(chance, sums)
        by_heat = (sums.heats, sums.oracle, sums.unanimous, sums.selected)
        means, oracle, unanimous, selected = (tuple(value / tasks for value in values) for values in by_heat)
        return Forecast(
            heats=means,
            oracle=oracle,
            unanimous=unanimous,
            selected=selected,
            first=sums.first / tasks,
            final=sums.final / tasks,
            rollouts=sums.rollouts / tasks,
            votes=sums.votes / tasks,
            waves=self.waves,
        )

    @property
    def waves(self) -> float:
        """Mean number of sequential waves of votes per match, over the matches played so far."""
        return self._waves[0] / max(self._waves[1], 1)

    def _task(self, chance: float, sums: _Sums) -> None:
        method = self.method
        passed = [self._rng.random() < chance for _ in range(method.rollouts)]
        kept: list[bool] = []
        for heat in range(method.iterations):
            sums.rollouts += len(passed)
            sums.heats[heat] += sum(passed) / len(passed)
            sums.oracle[heat] += any(passed)
            sums.unanimous[heat] += all(passed)
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

    def chances(self, tasks: int) -> list[float]:
        """One probability per task, spread evenly over the distribution, so that few tasks represent it well."""
        world = self.world
        if world.rates:
            ordered = sorted(world.rates)
        else:
            hopeless = round(16 * tasks * world.unsolvable)
            mean = world.mean / (1 - world.unsolvable)
            drawn = [self._beta(mean, world.concentration) for _ in range(16 * tasks - hopeless)]
            ordered = [0.0] * hopeless + sorted(drawn)
        return [ordered[int((task + 0.5) * len(ordered) / tasks)] for task in range(tasks)]

    def _beta(self, mean: float, concentration: float) -> float:
        if not 0 < mean < 1:
            return mean
        return self._rng.betavariate(mean * concentration, (1 - mean) * concentration)

    def _refine(self, context: Sequence[bool], fresh: float) -> list[bool]:
        """The next heat's outcomes."""
        share = sum(context) / len(context)
        self._drawn[share] += 1
        chance = self.refined_chance(share, self._drawn[share] * GOLDEN % 1)
        count = self.method.rollouts
        return [self._rng.random() < (fresh if index < self.method.fresh else chance) for index in range(count)]

    def refined_chance(self, share: float, place: float) -> float:
        """A pass probability of refined rollouts.

        Args:
            share: share of the context that passes.
            place: place in the distribution, from 0 (lowest) to 1.
        """
        pool = self._pools.setdefault(share, [])
        if not pool:
            mean = _between(self.world.refined, share)
            pool += sorted(self._beta(mean, self.world.refined_concentration) for _ in range(POOL))
        return pool[int(place * POOL)]

    def _select(self, passed: Sequence[bool], keep: int, heat: int) -> tuple[list[bool], float]:
        """The outcomes of the kept candidates, and the number of votes it took."""
        kept, votes = self.choose(passed, keep, heat)
        return [passed[place] for place in kept], votes

    def choose(self, passed: Sequence[bool], keep: int, heat: int) -> tuple[list[int], float]:
        """Hold a tournament: the places of the kept candidates, best first, and the number of votes it took.

        If all candidates pass, or none does, only the number of votes is open; the mean over the first such fields is
        reused for the others.

        Args:
            passed: outcomes of the candidates.
            keep: number to keep.
            heat: number of the heat, for the judge's accuracy.
        """
        if any(passed) and not all(passed):
            return self._play(passed, keep, heat)
        counted = self._even.setdefault((len(passed), keep), [])
        if len(counted) < EVEN_FIELDS:
            counted.append(self._play(passed, keep, heat)[1])
        return list(range(min(keep, len(passed)))), sum(counted) / len(counted)

    def _play(self, passed: Sequence[bool], keep: int, heat: int) -> tuple[list[int], int]:
        order = self._rng.sample(range(len(passed)), len(passed))
        slots = [self._field[index] for index in order]
        plan = plan_rounds(len(slots), self.method.group_size, keep)
        accuracy = self.world.accuracy[min(heat, len(self.world.accuracy) - 1)]
        gap = quality_gap(accuracy, self.world.noise)
        worth = [gap * self._appeal(one) for one in passed]
        judged: dict[MatchKey, Match] = {}
        votes = 0
        while (state := resolve(slots, plan, judged, keep)).open:
            for (name, ids), _ in state.ready.items():
                winner, cast = self._match(ids, [worth[int(one)] for one in ids])
                judged[name, ids] = Match(id=name, contestants=ids, winner=winner, decided_by="votes")
                votes += cast
        ranking = rank(slots, state.rounds, preference(slots, self.seed, "ranking"))
        return [int(one) for one in ranking[:keep]], votes

    def _appeal(self, passed: bool) -> float:
        """What a judge sees in a candidate, in gaps between a failing and a passing one."""
        if passed or not self.world.misled:
            return float(passed)
        return 2.0 * (self._rng.random() < self.world.misled)

    def _match(self, ids: tuple[str, ...], worth: list[float]) -> tuple[str, int]:
        """One match: its winner and the votes cast."""
        places = self._rng.sample(range(len(ids)), len(ids))
        odds = [math.exp(worth[place] + self._rng.gauss(0, self.world.noise)) for place in places]
        names, sizes = _names(len(ids)), (len(ids), whole_blocks(self.method.votes, len(ids)))
        choices: tuple[str, ...] = ()
        while wave := _wave(choices, sizes, self.method.early_stop):
            choices += tuple(self._rng.choices(names, odds, k=wave))
            self._waves[0] += 1
        self._waves[1] += 1
        return ids[places[int(_leader(choices, sizes))]], len(choices)


@lru_cache(maxsize=64)
def _names(size: int) -> tuple[str, ...]:
    """Contestants of a match, with the one that wins ties first."""
    return tuple(map(str, range(size)))


@lru_cache(maxsize=1 << 16)
def _wave(choices: tuple[str, ...], sizes: tuple[int, int], early_stop: bool) -> int:
    return next_wave(choices, _rules(sizes), early_stop=early_stop)


@lru_cache(maxsize=1 << 16)
def _leader(choices: tuple[str, ...], sizes: tuple[int, int]) -> str:
    return leader(choices, _rules(sizes))


def _rules(sizes: tuple[int, int]) -> Rules:
    contestants, votes = sizes
    return Rules(_names(contestants), _names(contestants), votes, contestants, by_block=True)


def _between(table: Sequence[float], share: float) -> float:
    """Interpolate in a table given at equidistant points from 0 to 1."""
    place = share * (len(table) - 1)
    low = min(int(place), len(table) - 2)
    return table[low] + (table[low + 1] - table[low]) * (place - low)
