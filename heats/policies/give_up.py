"""`give-up`: stop a task on which nothing ever happens."""

from collections.abc import Sequence

from pydantic import Field

from heats.policies.base import Action, Event, TaskState, end_task
from heats.policies.sequential import Sequential


class GiveUp(Sequential):
    """Stops at a verified attempt, and after several attempts that all declined or changed nothing.

    Source: Adaptive Inference-Time Compute, arXiv:2410.02725 (stop where a restart would not help).
    """

    judges_without_tests = True

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            after: attempts that must have ended without a change.
        """

        after: int = Field(3, ge=1)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.after = options.after

    def enough(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Action | None:
        """See `Sequential.enough`."""
        ended = task.ended()
        if len(ended) < self.after or any(one.patch for one in ended):
            return None
        declined = all(one.exit == "declined" for one in ended)
        return end_task(f"all {len(ended)} attempts {'declined' if declined else 'changed nothing'}")
