"""`prune`: drop the worst attempts of a heat at half-way."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from heats.policies.base import Action, Attempt, Event, TaskState, drop
from heats.policies.state import acted
from heats.policies.wrapper import Wrapper


class Prune(Wrapper):
    """Plays another policy, and drops attempts that are in the worst quarter of their heat at half-way.

    An attempt is looked at once, after the same number of steps as all others. Those that ended before are no peers.

    Source: Early Rejection with Partial Reward Modeling, arXiv:2508.01969, with `half_way` in place of a reward model.
    """

    class Options(Wrapper.Options):
        """Settings.

        Attributes:
            at: steps after which an attempt is looked at: half of what attempts usually take.
            share: the share of a heat's attempts to drop, of those that came so far.
            peers: attempts that must have come so far before any is dropped.
        """

        at: int = Field(20, ge=1)
        share: float = Field(0.25, gt=0, lt=1)
        peers: int = Field(4, ge=2)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self.looks_at, self._share, self._peers = options.at, options.share, options.peers

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        if event.kind != "half":
            yield from self.inner(event, task, sweep)
            return
        for one in self._worst(task):
            action = drop(one.rollout, f"{one.rollout} is among the worst at half-way ({one.half:.2f})")
            yield action
            task = acted(task, action)
            dropped = next(other for other in task.attempts if other.rollout == one.rollout)
            yield from self.inner(Event(kind="attempt", heat=event.heat, attempt=dropped), task, sweep)

    def _worst(self, task: TaskState) -> Iterator[Attempt]:
        """Attempts to drop now: still running, and worse than all that are not among the worst."""
        ranked = sorted((one.half, place, one) for place, one in enumerate(task.of_heat()) if one.half is not None)
        most = int(len(ranked) * self._share)
        if len(ranked) < self._peers or not most:
            return
        left = most - sum(one.state == "dropped" for *_, one in ranked)
        for half, _, one in ranked[:most]:
            if one.state == "running" and half < ranked[most][0] and left > 0:
                left -= 1
                yield one
