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
        bounds = [
            self._bound(attempts, total, relative)
            for attempts, relative in zip(played, _relative_costs(played), strict=True)
        ]
        return bounds.index(max(bounds))

    def _bound(self, attempts: Sequence[Attempt], total: int, relative: float) -> float:
        reward = sum(one.verified for one in attempts) / max(1, sum(one.state == "ended" for one in attempts))
        bound = reward + self.exploration * sqrt(2 * log(total) / len(attempts))
        return float(bound / relative**self.cost_weight)


def _relative_costs(played: Sequence[Sequence[Attempt]]) -> list[float]:
    """Mean cost of each model's ended attempts, relative to the dearest model: in dollars, or in tokens if none costs
    any. A model none of whose attempts has ended counts as the dearest.
    """
    ended = [[one for one in attempts if one.state == "ended"] for attempts in played]
    paid = any(one.cost_usd for attempts in ended for one in attempts)
    costs = [
        fmean(one.cost_usd if paid else one.tokens for one in attempts) if attempts else None for attempts in ended
    ]
    dearest = max((cost for cost in costs if cost is not None), default=0.0) or 1.0
    return [1.0 if cost is None else max(cost / dearest, 1e-3) for cost in costs]
