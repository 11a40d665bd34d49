"""`agreement`: stop once several attempts made the same change."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from heats.policies.base import Action, Attempt, Event, TaskState, end_task, next_heat
from heats.policies.sequential import Sequential


class Agreement(Sequential):
    """Stops once enough attempts agree by source, or after a heat by behaviour, and nothing executed contradicts them.

    The change that they made is chosen, without a tournament.

    Source: On the Role of Temperature Sampling in Test-Time Scaling, arXiv:2510.02611: easy questions end early when
    all answers agree.
    """

    judges_without_tests = True

    class Options(Sequential.Options):
        """Settings.

        Attributes:
            agree: independent attempts that must have made the same change.
        """

        agree: int = Field(2, ge=2)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.least = options.agree

    def enough(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Action | None:
        """See `Sequential.enough`."""
        agreed = self._agreed(task, {one.rollout: one.patch for one in task.ended()})
        if not agreed:
            return None
        last = event.attempt.rollout if event.attempt is not None else ""
        return end_task(f"{' and '.join(agreed)} made the same change", last if last in agreed else agreed[0])

    def after_heat(self, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `Sequential.after_heat`."""
        agreed = self._agreed(task, task.behaviours)
        if not agreed:
            yield next_heat()
            return
        chosen = next((one for one in task.selected if one in agreed), agreed[0])
        yield end_task(f"{' and '.join(agreed)} behave alike under all tests", chosen)

    def _agreed(self, task: TaskState, keys: Mapping[str, str]) -> tuple[str, ...]:
        """Rollouts of the largest group with equal keys, if it is large enough and nothing speaks against it."""
        groups: dict[str, list[Attempt]] = defaultdict(list)
        for one in task.ended():
            if one.patch and not one.derived and keys.get(one.rollout):
                groups[keys[one.rollout]].append(one)
        best = max((one.rank for one in task.ended() if one.rank is not None), default=None)
        sound = [group for group in groups.values() if all(one.rank in (None, best) for one in group)]
        largest = max(sound, key=len, default=[])
        contradicted = any(one.rank is not None and one.rank < 2 for one in largest)
        return tuple(one.rollout for one in largest) if len(largest) >= self.least and not contradicted else ()
