"""How right a critic's scores are: the share of successful rollouts by score."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from heats.store.reader import Basis, TaskFacts

BINS = 5


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Rollouts with scores in one interval.

    Attributes:
        least, most: the interval; `most` belongs to the next one, except for 1.
        count: scored rollouts whose success is known.
        mean: their mean score.
        share: the share of them that succeeded.
    """

    least: float
    most: float
    count: int
    mean: float
    share: float


@dataclass(frozen=True, slots=True)
class CriticCalibration:
    """A critic's calibration.

    Attributes:
        bins: intervals that contain rollouts, lowest first.
        brier: mean squared difference between score and success; 0.25 is that of a constant 0.5.
        order: chance that a successful rollout of a task has a higher score than a failed one of the same task, ties
            counting half; None without such pairs.
    """

    bins: tuple[ScoreBin, ...]
    brier: float
    order: float | None

    @property
    def count(self) -> int:
        """Scored rollouts whose success is known."""
        return sum(one.count for one in self.bins)


def scored(task: TaskFacts, basis: Basis) -> tuple[tuple[float, bool], ...]:
    """Return score and success of each rollout that a critic scored and whose success is known.

    Args:
        task: the task's records.
        basis: the definition of success.
    """
    scores = {name: score for bracket in task.brackets if bracket is not None for name, score in bracket.scores.items()}
    known = ((one, one.passed(basis)) for one in task.rollouts() if one.id in scores)
    return tuple((scores[one.id], passed) for one, passed in known if passed is not None)


def calibration(tasks: Sequence[Sequence[tuple[float, bool]]]) -> CriticCalibration | None:
    """Compute a critic's calibration from scores and successes by task; None without any."""
    every = [pair for pairs in tasks for pair in pairs]
    if not every:
        return None
    bins = []
    for number in range(BINS):
        inside = [pair for pair in every if min(int(pair[0] * BINS), BINS - 1) == number]
        if inside:
            mean, share = fmean(score for score, _ in inside), fmean(passed for _, passed in inside)
            bins.append(ScoreBin(number / BINS, (number + 1) / BINS, len(inside), mean, share))
    return CriticCalibration(tuple(bins), fmean((score - passed) ** 2 for score, passed in every), _order(tasks))


def _order(tasks: Sequence[Sequence[tuple[float, bool]]]) -> float | None:
    met = [
        1.0 if good > bad else 0.5 if good == bad else 0.0
        for pairs in tasks
        for good in (score for score, passed in pairs if passed)
        for bad in (score for score, passed in pairs if not passed)
    ]
    return fmean(met) if met else None
