"""Confidence intervals of means over tasks, by the percentile bootstrap (resampling tasks with replacement)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `count` tasks with its interval; the interval is None for fewer than two tasks."""

    mean: float
    low: float | None
    high: float | None
    count: int


def estimate(values: Sequence[float], seed: int = 0) -> Estimate | None:
    """Mean and bootstrap interval of one value per task; None for no values. The same seed gives the same interval."""
    if not values:
        return None
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean, None, None, len(values))
    draw = random.Random(seed)
    count = len(values)
    means = sorted(sum(draw.choices(values, k=count)) / count for _ in range(DRAWS))
    tail = (1 - LEVEL) / 2
    return Estimate(mean, means[int(tail * DRAWS)], means[int((1 - tail) * DRAWS) - 1], count)
