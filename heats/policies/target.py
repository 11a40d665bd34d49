"""`target`: as many attempts as a wanted share of the reachable success needs."""

from collections.abc import Sequence

from pydantic import Field

from heats.policies.base import Action, Event, TaskState, end_heat
from heats.policies.chances import Prior, prior_of
from heats.policies.sequential import Sequential


class Target(Sequential):
    """Stops at a verified attempt, or where n attempts reach most of what N would.

    Source: OptScale, arXiv:2506.22376: the smallest n for which success is likely enough. Here success is a passing
    test run, and pass rates follow a beta distribution fitted to the other tasks of the sweep.
    """

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            alpha: share of the success within reach of N attempts that n attempts must give.
            mean, concentration: the beta distribution assumed while fewer than five tasks have attempts.
        """

        alpha: float = Field(0.95, gt=0, le=1)
        mean: float = Field(0.5, gt=0, lt=1)
        concentration: float = Field(0.5, gt=0)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.alpha = options.alpha
        self.usual = Prior(options.mean * options.concentration, (1 - options.mean) * options.concentration)

    def enough(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Action | None:
        """See `Sequential.enough`."""
        ended = [one for one in task.of_heat() if one.state == "ended"]
        if not task.verifiable or not ended:
            return None
        prior = prior_of(sweep, self.usual)
        reach = prior.some(len(ended)) / prior.some(task.rollouts)
        if reach < self.alpha:
            return None
        return end_heat(f"{len(ended)} attempts reach {reach:.0%} of what {task.rollouts} would")
