"""`first-verified`, and the base class of policies that start a few attempts at a time and stop at a verified one."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from core.record import Config
from heats.policies.base import Action, Event, TaskState, end_task, next_heat, start


class Sequential:
    """Keeps a few attempts running until one is verified, or `enough` says so.

    Subclasses override `enough` (when to stop early), `width` (how many attempts run at once), `arm` (on which model
    the next one runs) or `after_heat`.
    """

    judges_without_tests = False
    """Whether `enough` may end a task that has no tests."""

    class Options(Config):
        """Settings.

        Attributes:
            at_once: attempts of a task that run at the same time. Fewer save more attempts, and take longer.
        """

        at_once: int = Field(2, ge=1)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        verified = task.verified()
        if verified is not None:
            yield end_task(f"{verified.rollout} is verified")
        elif event.kind == "bracket":
            yield from self.after_heat(task, sweep)
        elif (stop := self.enough(event, task, sweep)) is not None:
            yield stop
        else:
            room = self.width(task, sweep) - len(task.running())
            yield start(min(room, task.open), self.arm(task, sweep))

    def enough(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Action | None:
        """The action that ends the heat or the task before an attempt is verified, or None to continue.

        Args:
            event: what happened.
            task: the task.
            sweep: all tasks of the run.
        """
        return None

    def width(self, task: TaskState, sweep: Sequence[TaskState]) -> int:
        """Attempts to run at the same time: all, if waiting saves nothing or time is short."""
        if task.timed or not (task.verifiable or self.judges_without_tests):
            return task.rollouts
        return self.options.at_once

    def arm(self, task: TaskState, sweep: Sequence[TaskState]) -> int | None:
        """Index of the model to start the next attempts on; None leaves it to the weights of the mix."""
        return None

    def after_heat(self, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """What to do after a tournament without a verified attempt."""
        yield next_heat()


class FirstVerified(Sequential):
    """Stops at the first attempt whose tests pass and are confirmed; without a test command, plays every heat in full.

    Source: First Finish Search, arXiv:2505.18149, but it waits for the evidence instead of the submission.
    """

    def whole_heats(self, task: TaskState) -> bool:
        """Without tests there is nothing to wait for."""
        return not task.verifiable
