"""The base class of policies that change what another one decides."""

from collections.abc import Iterable, Sequence
from typing import Any

from core.record import Config
from heats.policies.base import Action, Event, TaskState, start
from heats.policies.registry import check_tasks, open_policy, pauses, whole_heats


class Wrapper:
    """Asks another policy. Subclasses override `decide` and call `inner`."""

    class Options(Config):
        """Settings.

        Attributes:
            policy: the policy to wrap, by name.
            options: its settings.
        """

        policy: str = "fixed"
        options: dict[str, Any] = {}

    def __init__(self, *, options: Options) -> None:
        self._inner = open_policy(options.policy, options.options, key="policy.options.options")

    @property
    def pauses(self) -> bool:
        """Whether the wrapped policy does."""
        return pauses(self._inner)

    def check(self, tasks: Sequence[TaskState]) -> None:
        """See `check_tasks`."""
        check_tasks(self._inner, tasks)

    def inner(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterable[Action]:
        """What the wrapped policy decides. One that plays whole heats does not follow attempts, so all are started."""
        if event.kind != "bracket" and whole_heats(self._inner, task):
            return [start(task.open)]
        return self._inner.decide(event, task, sweep)
