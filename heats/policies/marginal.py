"""`marginal`: stop when the next attempt is not worth its cost."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from pydantic import Field

from heats.policies.base import Action, Event, TaskState, end_task, next_heat
from heats.policies.chances import Prior, prior_of
from heats.policies.sequential import Sequential


class Marginal(Sequential):
    """Stops at a verified attempt, or when the chance that the next one passes falls below what it costs.

    Source: Scaling over Scaling (TTSPM), arXiv:2505.20522, and Large Language Monkeys, arXiv:2407.21787: the gain of
    attempt n + 1 falls with n, and spending ends where it is too small.
    """

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            least: smallest chance of success for which a further attempt is made.
            value_usd: what a solved task is worth; if attempts cost money, `least` becomes their mean cost divided by
                this.
            mean, concentration: the beta distribution assumed while fewer than five tasks have attempts.
        """

        least: float = Field(0.05, gt=0, lt=1)
        value_usd: float | None = Field(None, gt=0)
        mean: float = Field(0.5, gt=0, lt=1)
        concentration: float = Field(0.5, gt=0)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.least, self.value_usd = options.least, options.value_usd
        self.usual = Prior(options.mean * options.concentration, (1 - options.mean) * options.concentration)

    def enough(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Action | None:
        """See `Sequential.enough`."""
        return self._too_dear(task, sweep)

    def after_heat(self, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `Sequential.after_heat`."""
        yield self._too_dear(task, sweep) or next_heat()

    def _too_dear(self, task: TaskState, sweep: Sequence[TaskState]) -> Action | None:
        ended = task.ended()
        if not task.verifiable or not ended:
            return None
        chance = prior_of(sweep, self.usual).some(1, failed=len(ended))
        cost = fmean(one.cost_usd for one in ended)
        least = cost / self.value_usd if self.value_usd is not None and cost else self.least
        if chance >= least:
            return None
        return end_task(f"after {len(ended)} failures the next attempt passes with {chance:.1%}, less than {least:.1%}")
