"""Parameter conversions: accuracy to a gap in logits, share of unsolved tasks to a concentration."""

import math
from bisect import bisect_right
from functools import lru_cache
from statistics import NormalDist


@lru_cache(maxsize=64)
def quality_gap(accuracy: float, noise: float, votes: int = 8) -> float:
    """The gap between a passing and a failing candidate at which votes reach a given accuracy.

    Args:
        accuracy: share of pairs that the majority decides correctly.
        noise: standard deviation, in logits, of the error that all votes of a match share.
        votes: votes per match.

    Returns:
        The gap, in logits; negative for an accuracy below 0.5.
    """
    errors = [NormalDist().inv_cdf((index + 0.5) / 200) * noise * math.sqrt(2) for index in range(200)]

    def right(gap: float) -> float:
        return sum(_majority(1 / (1 + math.exp(-gap - error)), votes) for error in errors) / len(errors)

    grid = [index / 50 for index in range(501)]
    if accuracy < 0.5:
        return -quality_gap(1 - accuracy, noise, votes)
    return grid[min(bisect_right(grid, accuracy, key=right), len(grid) - 1)]


def _majority(chance: float, votes: int) -> float:
    """Probability that most of the votes are right; a tie counts half."""
    exact = [math.comb(votes, n) * chance**n * (1 - chance) ** (votes - n) for n in range(votes + 1)]
    return sum(exact[n] for n in range(votes + 1) if 2 * n > votes) + (exact[votes // 2] / 2 if votes % 2 == 0 else 0.0)


def concentration_for(mean: float, unsolved: float, rollouts: int = 16) -> float:
    """The concentration of a beta distribution, given its mean and the share of tasks without a passing rollout.

    Args:
        mean: mean of the distribution.
        unsolved: share of tasks for which none of `rollouts` passes.
        rollouts: rollouts per task.
    """
    low, high = 0.01, 100.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        none = math.prod(((1 - mean) * middle + i) / (middle + i) for i in range(rollouts))
        low, high = (middle, high) if none > unsolved else (low, middle)
    return low
