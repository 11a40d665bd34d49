"""Context rules that search over partial attempts: after each slice they decide which to continue.

Values come from executed tests first (`Earlier.value`). `frontier.py` has what the rules share.
"""

import random
from collections.abc import Mapping, Sequence

from pydantic import Field

from heats.context_rules.base import Before, Choice, Earlier
from heats.context_rules.frontier import (
    InSlices,
    SliceOptions,
    extended,
    nothing_left,
    path_of,
    paused,
    resampled,
    softmax,
)


class Particles(InSlices):
    """Continue the paused attempts of the heat before, each about as often as its value says.

    Source: particle Monte Carlo, arXiv:2502.01618. With `anneal`, a few attempts that are far ahead early do not take
    over at once: the temperature rises to N / ESS x (1 - t / T) times its own while the effective sample size is low
    (entropic particle filtering, arXiv:2510.05825, without its look one step ahead).
    """

    class Options(SliceOptions):
        """Settings.

        Attributes:
            temperature: of the softmax over values, which go from 0 to 1; 0 continues the best alone.
            anneal: raise the temperature while the effective sample size is low.
            low: share of the attempts below which the effective sample size is low.
        """

        temperature: float = Field(0.1, ge=0)
        anneal: bool = False
        low: float = Field(0.5, ge=0, le=1)

    options: Options

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        nodes = paused(before.attempts)
        if not nodes:
            return nothing_left(before)
        weights = self._weights([one.value for one in nodes.values()], before.heat / max(before.heats, 1))
        drawn = resampled(weights, max(before.rollouts, before.index + 1), before.heat_seed)
        return extended(before, [*nodes][drawn[before.index]])

    def _weights(self, values: list[float], played: float) -> list[float]:
        temperature = self.options.temperature
        weights = softmax(values, temperature)
        effective = 1 / sum(weight * weight for weight in weights) / len(weights)
        if not self.options.anneal or effective >= self.options.low:
            return weights
        return softmax(values, temperature * max(1.0, (1 - played) / effective))


class BestFirst(InSlices):
    """Continue the best paused attempts of all heats that were not continued yet, each with several rollouts.

    The order is by value minus the cost of the turns so far. Source: A*-Decoding, arXiv:2505.13672, with evidence in
    place of a process reward model.
    """

    looks_back = True

    class Options(SliceOptions):
        """Settings.

        Attributes:
            children: rollouts that continue each attempt.
            cost: price of a turn, in units of value, which goes from 0 to 1.
        """

        children: int = Field(2, ge=1)
        cost: float = Field(0.0, ge=0)

    options: Options

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        everything = {**before.older, **before.attempts}
        continued = {parent for one in everything.values() for parent in one.parents}
        nodes = {name: one for name, one in paused(everything).items() if name not in continued}
        if not nodes:
            return nothing_left(before)
        rng = random.Random(before.heat_seed)
        chance = {name: rng.random() for name in nodes}
        order = sorted(nodes, key=lambda name: (-self._priority(nodes[name]), chance[name]))
        return extended(before, order[before.index // self.options.children % len(order)])

    def _priority(self, one: Earlier) -> float:
        return one.value - self.options.cost * len(one.turns)


class Coverage(InSlices):
    """Continue a set of the paused attempts that is good, shares its history, and differs in what it did.

    A set is worth its share of all weight, minus `price` times its share of all turns, plus `bonus` times its share of
    all states; the set grows by the best next attempt until none adds anything. A state is a change or, before there is
    one, the files that were named. Rollouts are then given out by weight, at least one to each. Source: ETS,
    arXiv:2502.13575, which solves for the best set; its clusters come from an embedding.
    """

    looks_back = True

    class Options(SliceOptions):
        """Settings.

        Attributes:
            temperature: of the softmax over values that gives weights.
            price: of keeping turns that no other kept attempt shares.
            bonus: for a state that no other kept attempt is in.
        """

        temperature: float = Field(0.1, gt=0)
        price: float = Field(0.5, ge=0)
        bonus: float = Field(1.0, ge=0)

    options: Options

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        nodes = paused(before.attempts)
        if not nodes:
            return nothing_left(before)
        weights = dict(
            zip(nodes, softmax([one.value for one in nodes.values()], self.options.temperature), strict=True)
        )
        paths = {name: path_of(name, {**before.older, **before.attempts}) for name in nodes}
        kept = self._kept(nodes, weights, paths)
        given = dict.fromkeys(kept, 0)
        for _ in range(before.index + 1):
            chosen = min(kept, key=lambda name: (given[name] > 0, -weights[name] / (2 * given[name] + 1)))
            given[chosen] += 1
        return extended(before, chosen)

    def _kept(
        self, nodes: Mapping[str, Earlier], weights: Mapping[str, float], paths: Mapping[str, Mapping[str, int]]
    ) -> list[str]:
        """The best set, grown by one attempt at a time."""
        turns = {step: count for path in paths.values() for step, count in path.items()}
        states = {name: one.candidate.patch_key or one.turns[-1].files for name, one in nodes.items()}
        every = len(set(states.values()))

        def worth(names: Sequence[str]) -> float:
            weight = sum(weights[name] for name in names)
            history = sum(turns[step] for step in {step for name in names for step in paths[name]})
            found = len({states[name] for name in names})
            return weight - self.options.price * history / sum(turns.values()) + self.options.bonus * found / every

        kept: list[str] = []
        while left := [name for name in nodes if name not in kept]:
            best = max(left, key=lambda name: worth([*kept, name]))
            if kept and worth([*kept, best]) < worth(kept):
                break
            kept.append(best)
        return kept
