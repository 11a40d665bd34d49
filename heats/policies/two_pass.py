"""`two-pass`: a few attempts on every task of a sweep, then the rest of the budget where it can still matter."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush

from pydantic import Field

from heats.policies.base import Action, Event, TaskState, allow, end_task, pause, start
from heats.policies.chances import Prior, prior_of
from heats.policies.sequential import Sequential

_USUAL = Prior()


class TwoPass(Sequential):
    """Gives each task a few attempts, then spends what is left of the sweep's budget by expected gain.

    A task that is settled (verified, or without tests: two attempts made the same change) gets nothing more. The rest
    of the budget goes, attempt by attempt, to the task whose next attempt most likely succeeds, given its failures so
    far and the pass rates of all tasks. What early stops save is shared out again in a further pass. One heat is
    played.

    Sources: Scaling LLM Test-Time Compute Optimally, arXiv:2408.03314; When To Solve, When To Verify, arXiv:2504.01005.
    """

    pauses = True

    judges_without_tests = True

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            first: attempts on every task in the first pass.
            mean: attempts per task that the whole sweep may use, on average; `rollouts` limits those of one task.
        """

        first: int = Field(2, ge=1)
        mean: float = Field(4.0, gt=0)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.first, self.mean = options.first, options.mean

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        quota = max(self.first, task.allowed)
        if event.kind == "bracket" or settled(task):
            yield end_task(_why(task))
            return
        if event.kind == "pass":
            share = self.shares(sweep, event.number).get(task.task, 0)
            if not share:
                yield end_task("further attempts are worth more on other tasks")
                return
            yield allow(share, f"pass {event.number + 1}: {share} more")
            quota = len(task.attempts) + share
        room = min(self.width(task, sweep) - len(task.running()), quota - len(task.attempts), task.open)
        if room > 0:
            yield start(room)
        elif not task.running():
            yield pause() if task.open and self._left(sweep) >= 1 else end_task(_why(task))

    def shares(self, sweep: Sequence[TaskState], number: int) -> dict[str, int]:
        """How many further attempts each task gets, by id; tasks that get none are left out.

        Args:
            sweep: all tasks.
            number: the pass, which the tasks that paused take part in.
        """
        waiting = [task for task in sweep if task.passes == number and task.open and not settled(task)]
        fields = tuple((task.task, len(task.ended()), task.open) for task in waiting)
        return dict(_shared(prior_of(sweep, _USUAL), int(self._left(sweep)), fields))

    def _left(self, sweep: Sequence[TaskState]) -> float:
        """Attempts of the budget that have not been started."""
        return self.mean * len(sweep) - sum(len(task.attempts) for task in sweep)


def settled(task: TaskState) -> bool:
    """Whether further attempts can hardly matter."""
    if task.verifiable:
        return task.verified() is not None
    changes = [one.patch for one in task.ended() if one.patch]
    return len(changes) > len(set(changes))


def _why(task: TaskState) -> str:
    verified = task.verified()
    if verified is not None:
        return f"{verified.rollout} is verified"
    if settled(task):
        return "two attempts made the same change"
    made = len(task.of_heat())
    return f"all {made} attempts are made" if made >= task.rollouts else "the budget of the sweep is spent"


@lru_cache(maxsize=4)
def _shared(prior: Prior, budget: int, waiting: tuple[tuple[str, int, int], ...]) -> tuple[tuple[str, int], ...]:
    """Spend a budget attempt by attempt where the next one most likely succeeds; tasks as id, failures, and room."""
    shares: Counter[str] = Counter()
    queue = [(-prior.some(1, failed), place) for place, (_, failed, _) in enumerate(waiting)]
    heapify(queue)
    while queue and budget:
        _, place = heappop(queue)
        task, failed, room = waiting[place]
        shares[task] += 1
        budget -= 1
        if shares[task] < room:
            heappush(queue, (-prior.some(1, failed + shares[task]), place))
    return tuple(shares.items())
