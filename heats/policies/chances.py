"""How likely further attempts are to succeed, from the attempts of a whole sweep.

The pass rates of tasks follow a beta distribution. An attempt that stopped a task early adds the same factor to the
likelihood as any other, so the fit is not biased by policies that stop at the first success, unlike the share of
attempts that passed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma

from heats.policies.base import TaskState

FEWEST_TASKS = 5
_MEANS = [place / 20 for place in range(1, 20)]
_CONCENTRATIONS = [exp(place / 2) for place in range(-4, 7)]


@dataclass(frozen=True, slots=True)
class Prior:
    """A beta distribution of pass rates."""

    a: float = 0.25
    b: float = 0.25

    def some(self, more: int, failed: int = 0) -> float:
        """Probability that at least one of `more` further attempts passes after `failed` that did not."""
        b = self.b + failed
        return 1 - exp(log_beta(self.a, b + more) - log_beta(self.a, b))


def log_beta(a: float, b: float) -> float:
    """Logarithm of the beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def fit(counts: Iterable[tuple[int, int]]) -> Prior:
    """The most likely prior, on a grid of means and concentrations.

    Args:
        counts: passed and known attempts of each task, whatever rule ended the task.
    """
    return _fit(tuple(sorted(Counter(counts).items())))


@lru_cache(maxsize=256)
def _fit(counts: tuple[tuple[tuple[int, int], int], ...]) -> Prior:
    grid = [(mean, size) for mean in _MEANS for size in _CONCENTRATIONS]

    def likelihood(point: tuple[float, float]) -> float:
        a, b = point[0] * point[1], (1 - point[0]) * point[1]
        base = log_beta(a, b)
        return sum(times * (log_beta(a + passed, b + known - passed) - base) for (passed, known), times in counts)

    mean, size = max(grid, key=likelihood)
    return Prior(mean * size, (1 - mean) * size)


def counted(sweep: Sequence[TaskState]) -> list[tuple[int, int]]:
    """Verified and ended attempts of the first heat of every verifiable task that has some."""
    first = [[one for one in task.ended() if one.heat == 0] for task in sweep if task.verifiable]
    return [(sum(one.verified for one in ended), len(ended)) for ended in first if ended]


def prior_of(sweep: Sequence[TaskState], usual: Prior) -> Prior:
    """The prior fitted to the sweep so far, or the usual one while too few tasks have attempts."""
    counts = counted(sweep)
    return fit(counts) if len(counts) >= FEWEST_TASKS else usual
