"""Estimate candidates' strengths from pairwise results: a Bradley-Terry model with a prior and uncertainty."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PRIOR_SD = 1.5
_PASSES = 30


@dataclass(frozen=True, slots=True)
class Strength:
    """A candidate's strength in logits: posterior mode and standard deviation."""

    mean: float
    sd: float

    def draw(self, rng: random.Random) -> float:
        """Draw one plausible value."""
        return rng.gauss(self.mean, self.sd)


def strengths(names: Sequence[str], wins: Mapping[tuple[str, str], float]) -> dict[str, Strength]:
    """Fit strengths to votes.

    Args:
        names: all candidates, including those without votes.
        wins: (winner, loser) -> number of votes, or sum of the probabilities given to the winner.
    """
    mean = dict.fromkeys(names, 0.0)
    curve = dict.fromkeys(names, 1 / _PRIOR_SD**2)
    met: dict[str, list[tuple[str, float, float]]] = {name: [] for name in names}
    for one, other in {(min(pair), max(pair)) for pair in wins}:
        won, lost = wins.get((one, other), 0.0), wins.get((other, one), 0.0)
        met[one].append((other, won, won + lost))
        met[other].append((one, lost, won + lost))
    for _ in range(_PASSES):
        for name in names:
            slope, curve[name] = -mean[name] / _PRIOR_SD**2, 1 / _PRIOR_SD**2
            for rival, won, votes in met[name]:
                odds = 1 / (1 + math.exp(mean[rival] - mean[name]))
                slope += won - votes * odds
                curve[name] += votes * odds * (1 - odds)
            mean[name] += slope / curve[name]
    return {name: Strength(mean[name], 1 / math.sqrt(curve[name])) for name in names}
