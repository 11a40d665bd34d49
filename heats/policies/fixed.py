"""`fixed`: N attempts in each of T heats, whatever happens."""

from collections.abc import Iterator, Sequence

from heats.policies.base import Action, Event, TaskState, next_heat, start


class Fixed:
    """Starts all attempts at once, and plays every heat. Source: arXiv:2604.16529 (RTV and PDR)."""

    whole_heats = True

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        yield next_heat() if event.kind == "bracket" else start(task.open)
