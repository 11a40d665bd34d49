"""Make the calibration file of the policy `conformal` from attempts whose grades are known."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heats.errors import UsageError
from heats.planning.spending import AttemptSource, Chosen, Drawn, play_policy
from heats.policies.base import Action, Event, TaskState
from heats.policies.conformal import Calibration, Paced, PastTask, confidence


class _Listening(Paced):
    """Never ends a task, and notes how confident `conformal` would have been in each attempt."""

    def __init__(self, *, options: Paced.Options) -> None:
        super().__init__(options=options)
        self.heard: dict[str, list[tuple[str, float]]] = defaultdict(list)

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        found = confidence(event, task)
        if event.attempt is not None and found is not None:
            self.heard[task.task].append((event.attempt.rollout, found))
        yield from super().decide(event, task, sweep)


def calibrated(
    tasks: Sequence[tuple[TaskState, AttemptSource]], policy: str, options: Mapping[str, Any], at_once: int
) -> Calibration:
    """Play tasks under a policy and note, for each, the highest confidence in a wrong attempt.

    A task that occurs several times counts once, with the highest confidence of all: its runs are not independent.

    Args:
        tasks: tasks in their initial state, with their attempts.
        policy: the policy that `conformal` is to wrap.
        options: its settings.
        at_once: attempts of a task that run at the same time.

    Raises:
        UsageError: there is no task, or they differ in models, N or T.
    """
    settings = {(one.rollouts, one.heats, tuple(arm.model for arm in one.arms)) for one, _ in tasks}
    if len(settings) != 1:
        raise UsageError(
            "the runs differ in models, rollouts or iterations: make one calibration file for each"
            if settings
            else "no finished task to calibrate on"
        )
    ((rollouts, iterations, models),) = settings
    found: dict[tuple[str, bool], float | None] = {}
    for state, source in tasks:
        key = state.task, state.verifiable
        found[key] = _higher(found.get(key), _wrong(state, source, policy, options, at_once))
    return Calibration(
        models=models,
        rollouts=rollouts,
        iterations=iterations,
        policy=policy,
        options=dict(options),
        at_once=at_once,
        tasks=tuple(PastTask(task=task, tested=tested, wrong=wrong) for (task, tested), wrong in found.items()),
    )


def _wrong(
    state: TaskState, source: AttemptSource, policy: str, options: Mapping[str, Any], at_once: int
) -> float | None:
    listening = _Listening(options=Paced.Options(policy=policy, options=dict(options), at_once=at_once))
    right: dict[str, bool] = {}
    play_policy(listening, [(state, _Graded(source, right))])
    return max((heard for name, heard in listening.heard[state.task] if not right[name]), default=None)


@dataclass(frozen=True, slots=True)
class _Graded:
    """A source that notes which of its attempts are right."""

    source: AttemptSource
    right: dict[str, bool]

    def attempt(self, heat: int, index: int, arm: int | None, context: Sequence[Drawn]) -> Drawn | None:
        drawn = self.source.attempt(heat, index, arm, context)
        if drawn is not None:
            self.right[drawn.attempt.rollout] = drawn.right
        return drawn

    def choose(self, heat: int, field: Sequence[Drawn], k: int) -> Chosen:
        return self.source.choose(heat, field, k)


def _higher(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
