"""Numbers that say the same in another way: accuracy as a distance in logits, unsolved tasks as a concentration."""

import math
from bisect import bisect_right
from functools import lru_cache
from statistics import NormalDist


@lru_cache(maxsize=64)
def quality_gap(accuracy: float, noise: float, votes: int = 8) -> float:
    """Logits between a passing and a failing candidate so that `votes` votes on a pair are right this often."""
    errors = [NormalDist().inv_cdf((index + 0.5) / 200) * noise * math.sqrt(2) for index in range(200)]

    def right(gap: float) -> float:
        return sum(_majority(1 / (1 + math.exp(-gap - error)), votes) for error in errors) / len(errors)

    grid = [index / 50 for index in range(501)]
    if accuracy < 0.5:
        return -quality_gap(1 - accuracy, noise, votes)
    return grid[min(bisect_right(grid, accuracy, key=right), len(grid) - 1)]


def _majority(chance: float, votes: int) -> float:
    """Chance that most of the votes are right; a tie counts half."""
    exact = [math.comb(votes, n) * chance**n * (1 - chance) ** (votes - n) for n in range(votes + 1)]
    return sum(exact[n] for n in range(votes + 1) if 2 * n > votes) + (exact[votes // 2] / 2 if votes % 2 == 0 else 0.0)


def concentration_for(mean: float, unsolved: float, rollouts: int = 16) -> float:
    """Concentration of a beta distribution with this mean whose share of tasks without any passing rollout is given.

    Args:
        unsolved: share of tasks of which none of `rollouts` passes.
    """
    low, high = 0.01, 100.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        none = math.prod(((1 - mean) * middle + i) / (middle + i) for i in range(rollouts))
        low, high = (middle, high) if none > unsolved else (low, middle)
    return low
