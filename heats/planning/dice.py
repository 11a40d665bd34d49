"""Simulated attempts for allocation policies: visible tests that err, equal patches, lengths, and several models.

Pass rates, refinement and judges are those of `simulate.py`. Added is what a policy can see: whether the visible tests
pass, whether two attempts made the same change, how long an attempt took and what it cost.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from heats.planning.plan import Prices
from heats.planning.simulate import Method, Simulation, World
from heats.planning.spending import Chosen, Drawn
from heats.policies.base import Arm, Attempt, TaskState
from tournament.bracket import plan_rounds

_UNTIMED = 1e-9
"""Seconds of a step where none are known: attempts still end in order of their length."""


@dataclass(frozen=True, slots=True)
class SimulatedArm:
    """A model of the mix.

    Attributes:
        shift: difference of its pass rates from the world's, in logits.
        cost: price of its tokens, relative to the world's.
    """

    name: str
    shift: float = 0.0
    cost: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What can be seen of attempts.

    Attributes:
        true_pass: share of right patches that pass the visible tests; `false_pass` of wrong ones. Both None: there are
            no visible tests.
        equal_right: share of right attempts that make the task's usual right change; the others are all different.
        equal_wrong: share of wrong attempts that make the task's usual wrong change.
        idle: share of wrong attempts that change nothing.
        spread: standard deviation of the logarithm of an attempt's length.
        wrong_length: length of wrong attempts, relative to right ones.
    """

    true_pass: float | None = 0.95
    false_pass: float | None = 0.1
    equal_right: float = 0.5
    equal_wrong: float = 0.15
    idle: float = 0.1
    spread: float = 0.4
    wrong_length: float = 1.0


@dataclass(slots=True)
class Dice:
    """A table of simulated tasks.

    Args:
        method: N, K, T and the tournament's settings.
        world: the model and its tasks.
        signals: what can be seen of attempts.
        prices: steps per attempt and their costs.
        arms: the models; one unless several are compared.
        seed: seed of all draws; the same seed draws the same attempts for every policy.
    """

    method: Method
    world: World
    signals: Signals
    prices: Prices
    arms: tuple[SimulatedArm, ...] = ()
    seed: int = 0
    simulation: Simulation = field(init=False)

    def __post_init__(self) -> None:
        self.simulation = Simulation(replace(self.method, rollouts=max(self.method.rollouts, 2)), self.world, self.seed)

    def tasks(self, count: int) -> list[tuple[TaskState, "SimulatedTask"]]:
        """Simulated tasks in random order, so that a sweep does not go from hard to easy."""
        chances = self.simulation.chances(count)
        random.Random(self.seed).shuffle(chances)
        return [(self._state(number), SimulatedTask(self, number, chance)) for number, chance in enumerate(chances)]

    def _state(self, number: int) -> TaskState:
        return TaskState(
            task=f"task-{number}",
            rollouts=self.method.rollouts,
            heats=self.method.iterations,
            verifiable=self.signals.true_pass is not None,
            arms=tuple(Arm(model=arm.name) for arm in self.arms),
        )


@dataclass(frozen=True, slots=True)
class SimulatedTask:
    """One task: a `Source` of attempts."""

    dice: Dice
    number: int
    chance: float

    def attempt(self, heat: int, index: int, arm: int | None, context: Sequence[Drawn]) -> Drawn:
        """See `Source.attempt`: the same attempt whenever it is asked for with the same context."""
        dice, signals = self.dice, self.dice.signals
        shown = sum(one.right for one in context)
        draw = random.Random(f"{dice.seed}/{self.number}/{heat}/{index}/{arm}/{shown}")
        used = dice.arms[index % len(dice.arms) if arm is None else arm] if dice.arms else SimulatedArm("model")
        fresh = heat == 0 or not context or index >= dice.method.rollouts - dice.method.fresh
        right = draw.random() < _shifted(self.chance if fresh else self._refined(context), used.shift)
        steps = dice.prices.steps[0 if fresh else min(heat, len(dice.prices.steps) - 1)]
        length = steps * math.exp(draw.gauss(-(signals.spread**2) / 2, signals.spread))
        length *= 1.0 if right else signals.wrong_length
        patch = self._patch(right, draw)
        passes = draw.random() < ((signals.true_pass if right else signals.false_pass) or 0.0)
        known = signals.true_pass is not None
        attempt = Attempt(
            rollout=f"heat-{heat}/rollout-{index:02}",
            heat=heat,
            state="ended",
            exit="submitted",
            patch=patch,
            derived=any(one.attempt.patch == patch for one in context),
            rank=(3 if passes and patch else 1) if known else None,
            verdict=("no_patch" if not patch else "verified" if passes else "unverified") if known else "",
            steps=round(length),
            tokens=round(length * dice.prices.step.tokens),
            cost_usd=length * dice.prices.step.usd * used.cost,
            seconds=length * (dice.prices.step.seconds or _UNTIMED) + dice.prices.rollout.seconds,
        )
        return Drawn(attempt, right)

    def _refined(self, context: Sequence[Drawn]) -> float:
        share = sum(one.right for one in context) / len(context)
        return self.dice.simulation.refined_chance(share, place=(self.number * 0.618034) % 1)

    def _patch(self, right: bool, draw: random.Random) -> str:
        signals, own = self.dice.signals, f"{draw.random()}"
        if right:
            return "right" if draw.random() < signals.equal_right else own
        if draw.random() < signals.idle:
            return ""
        return "wrong" if draw.random() < signals.equal_wrong else own

    def choose(self, heat: int, field: Sequence[Drawn], k: int) -> Chosen:
        """See `Source.choose`: evidence first, then the simulated judge's tournament."""
        prices, simulation = self.dice.prices, self.dice.simulation
        ordered: list[Drawn] = []
        votes = seconds = 0.0
        for rank in sorted({one.attempt.rank or 0 for one in field}, reverse=True):
            equals = [one for one in field if (one.attempt.rank or 0) == rank]
            left = k - len(ordered)
            if left > 0:
                kept, cast = simulation.choose([one.right for one in equals], left, heat)
                rounds = len(plan_rounds(len(equals), self.dice.method.group_size, left)) if cast else 0
                votes += cast
                seconds += rounds * simulation.waves * prices.vote.seconds
                ordered += [equals[place] for place in kept]
        return Chosen(tuple(ordered[:k]), votes, seconds + (prices.summary.seconds if votes else 0.0))


def _shifted(chance: float, shift: float) -> float:
    """A probability moved by a number of logits."""
    if not shift or not 0 < chance < 1:
        return chance
    odds = chance / (1 - chance) * math.exp(shift)
    return odds / (1 + odds)
