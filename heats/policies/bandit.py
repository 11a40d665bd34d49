"""`bandit`: learn over a sweep which model of the mix to use."""

from collections.abc import Sequence
from math import log, sqrt
from statistics import fmean

from pydantic import Field

from heats.policies.base import Attempt, TaskState
from heats.policies.sequential import Sequential


class Bandit(Sequential):
    """Starts each attempt on the model with the best upper confidence bound (UCB1) on its share of verified attempts.

    Source: ShinkaEvolve, arXiv:2509.19349, at the level of attempts; attempts of all tasks of the sweep count.
    """

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            exploration: weight of the bound's width; 0 always uses the best model so far.
            cost_weight: exponent of the relative cost that divides the bound: 0 ignores cost, 1 counts successes per
                dollar, or per token if nothing costs money.
        """

        exploration: float = Field(0.5, ge=0)
        cost_weight: float = Field(0.5, ge=0)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.exploration, self.cost_weight = options.exploration, options.cost_weight

    def arm(self, task: TaskState, sweep: Sequence[TaskState]) -> int | None:
        """See `Sequential.arm`."""
        played = [[one for state in sweep for one in state.attempts if one.arm == arm] for arm in range(len(task.arms))]
        if not played:
            return None
        untried = [arm for arm, attempts in enumerate(played) if not attempts]
        if untried:
            return untried[0]
        total = sum(map(len, played))
        dearest = max(map(_cost, played)) or 1.0
        bounds = [self._bound(attempts, total, dearest) for attempts in played]
        return bounds.index(max(bounds))

    def _bound(self, attempts: Sequence[Attempt], total: int, dearest: float) -> float:
        reward = sum(one.verified for one in attempts) / max(1, sum(one.state == "ended" for one in attempts))
        bound = reward + self.exploration * sqrt(2 * log(total) / len(attempts))
        relative = max(_cost(attempts) / dearest, 1e-3)
        return float(bound / relative**self.cost_weight)


def _cost(attempts: Sequence[Attempt]) -> float:
    """Mean cost of ended attempts, in dollars, or in tokens if they cost nothing."""
    ended = [one for one in attempts if one.state == "ended"]
    return fmean(one.cost_usd for one in ended) or fmean(one.tokens for one in ended) if ended else 0.0
