"""`cascade`: cheap models first."""

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from heats.policies.base import TaskState
from heats.policies.sequential import Sequential


class Cascade(Sequential):
    """Tries the models of the mix in the order of `models`; the next one only after the one before it has failed.

    Source: ATTS, arXiv:2509.15148, at the level of whole attempts: a draft that fails its check goes to a larger model.
    """

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            tries: attempts on each model but the last, which gets all that remain.
        """

        tries: int = Field(2, ge=1)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.tries = options.tries

    def arm(self, task: TaskState, sweep: Sequence[TaskState]) -> int | None:
        """See `Sequential.arm`."""
        return self._place(task) if task.arms else None

    def width(self, task: TaskState, sweep: Sequence[TaskState]) -> int:
        """See `Sequential.width`; no attempt of the next model starts while one of this model runs."""
        place, at_once = self._place(task), super().width(task, sweep)
        if any(one.arm != place for one in task.running()):
            return 0
        used = sum(one.arm == place for one in task.of_heat() if one.state != "running")
        return at_once if place >= len(task.arms) - 1 else min(at_once, self.tries - used)

    def _place(self, task: TaskState) -> int:
        """The first model with attempts left in this heat."""
        used = Counter(one.arm for one in task.of_heat())
        return next((place for place in range(len(task.arms) - 1) if used[place] < self.tries), len(task.arms) - 1)
