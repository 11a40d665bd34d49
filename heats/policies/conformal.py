"""`conformal`: end a task early where past tasks say how often that goes wrong."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from core.errors import InvalidOptions, first_problem
from core.record import Config
from heats.policies.base import Action, Event, TaskState, end_task
from heats.policies.wrapper import Wrapper


class PastTask(Config):
    """One task of a calibration file.

    Attributes:
        tested: it had a test command.
        wrong: highest confidence that any wrong attempt had when it ended; None if no attempt with a patch was wrong.
    """

    task: str
    tested: bool
    wrong: float | None = Field(ge=0, allow_inf_nan=False)


class Calibration(Config):
    """A calibration file: what past tasks looked like under the wrapped policy, and under which settings they ran."""

    version: Literal[1] = 1
    models: tuple[str, ...]
    rollouts: int = Field(ge=1)
    iterations: int = Field(ge=1)
    policy: str
    options: dict[str, Any]
    at_once: int = Field(ge=1)
    tasks: tuple[PastTask, ...]

    def scores(self, *, tested: bool) -> list[float]:
        """The confidence in wrong attempts, of the tasks that had some."""
        return [one.wrong for one in self.tasks if one.tested is tested and one.wrong is not None]


def threshold(scores: Sequence[float], error: float) -> float | None:
    """The confidence above which a wrong attempt of a further task lies with a probability of at most `error`.

    That holds for any number of scores and any distribution if the further task and those of the scores are
    exchangeable: it exceeds the k-th smallest of n scores, with k = ceil((n + 1) (1 - error)), with a probability of at
    most 1 - k / (n + 1). Source: split conformal prediction, as in LYNX, arXiv:2512.05325.

    Returns:
        The threshold; None if there are fewer than 1 / error - 1 scores.
    """
    place = math.ceil(round((len(scores) + 1) * (1 - error), 9))
    return sorted(scores)[place - 1] if place <= len(scores) else None


def confidence(event: Event, task: TaskState) -> float | None:
    """How much speaks for the attempt that just ended; None if it changed nothing.

    Its evidence class (0 without evidence) plus the share of attempts that made the same change independently: of one
    more than have ended, so that two of two say more than one of one.
    """
    last = event.attempt
    if last is None or last.state != "ended" or not last.patch:
        return None
    ended = task.ended()
    agree = sum(one.patch == last.patch and not one.derived for one in ended)
    return (last.rank or 0) + agree / (len(ended) + 1)


class Paced(Wrapper):
    """Plays another policy with a few attempts at a time, so that it can be ended between them."""

    class Options(Wrapper.Options):
        """Settings.

        Attributes:
            at_once: attempts of a task that run at the same time.
        """

        at_once: int = Field(2, ge=1)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        self._at_once = options.at_once

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        free = self._at_once - len(task.running())
        for action in self.inner(event, task, sweep):
            if action.do == "start":
                action = action.model_copy(update={"count": min(action.count, free)})
                free -= action.count
            yield action


class Conformal(Paced):
    """Ends a task at an attempt in which the confidence is higher than in almost all wrong ones of past tasks.

    Of the tasks on which some attempt is wrong, at most the share `error` is ended with a wrong one by this policy, on
    average over calibration files. What the wrapped policy ends by itself is not covered.

    Source: LYNX, arXiv:2512.05325, with evidence and agreement in place of its trained probe.
    """

    class Options(Paced.Options):
        """Settings.

        Attributes:
            calibration: the file that `heats calibrate` wrote.
            error: the share of tasks that may be ended with a wrong attempt, of those that have some.
        """

        calibration: Path
        error: float = Field(0.1, gt=0, lt=1)

    def __init__(self, *, options: Options) -> None:
        super().__init__(options=options)
        if self.pauses or hasattr(self._inner, "looks_at"):
            raise InvalidOptions(f"policy.options.policy: {options.policy} cannot be replayed task by task")
        self._file, self._known = options.calibration, read_calibration(options.calibration)
        for name, asked, was in (
            ("policy", options.policy, self._known.policy),
            ("options", options.options, self._known.options),
            ("at_once", options.at_once, self._known.at_once),
        ):
            if asked != was:
                raise self._refused(f"was made with {name} {was}, and policy.options.{name} is {asked}")
        self._least = {one: threshold(self._known.scores(tested=one), options.error) for one in (True, False)}
        if all(least is None for least in self._least.values()):
            most = max(len(self._known.scores(tested=one)) for one in (True, False))
            needed = math.ceil(round(1 / options.error, 9)) - 1
            raise self._refused(
                f"has {most} tasks with a wrong attempt; error {options.error:g} needs {needed}: "
                "calibrate on more tasks, or allow more errors"
            )

    def check(self, tasks: Sequence[TaskState]) -> None:
        """Refuse tasks that are played otherwise than those of the calibration file."""
        super().check(tasks)
        for task in tasks:
            if task.timed:
                raise InvalidOptions("policy conformal does not go with within_timeout, which starts all attempts")
            for name, asked, was in (
                ("rollouts", task.rollouts, self._known.rollouts),
                ("iterations", task.heats, self._known.iterations),
                ("models", _joined(one.model for one in task.arms), _joined(self._known.models)),
            ):
                if asked != was:
                    raise self._refused(f"was made with {name} {was}, and this run has {asked}")

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        least = self._least[task.verifiable]
        found = confidence(event, task)
        if least is None:
            yield from self.inner(event, task, sweep)
        elif event.attempt is not None and found is not None and found > least:
            why = f"confidence {found:.2f} in {event.attempt.rollout} is above {least:.2f}"
            yield end_task(why, event.attempt.rollout)
        else:
            yield from super().decide(event, task, sweep)

    def _refused(self, why: str) -> InvalidOptions:
        return InvalidOptions(f"policy.options.calibration: {self._file} {why}")


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file.

    Raises:
        InvalidOptions: it is missing, unreadable or malformed.
    """
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidOptions(f"policy.options.calibration: cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        problem = first_problem(error)
        raise InvalidOptions(f"policy.options.calibration: {path} is not a calibration file: {problem}") from None


def _joined(models: Iterable[str]) -> str:
    return ", ".join(models)
