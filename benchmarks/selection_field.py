"""The field on which selectors are measured: 16 candidates of which 6 pass, and judges of a known accuracy."""

import math
import random
import statistics
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import configs
from agents.llm.ledger import Ledger
from tournament.base import Bracket, Candidate, Case, Selector
from tournament.config import TournamentConfig
from tournament.journal import MemoryJournal

N, PASSING = 16, 6
IDS = tuple(f"r{index:02}" for index in range(N))
FIELD = tuple(Candidate(id=name, summary=name) for name in IDS)


@cache
def settings(**changes: Any) -> TournamentConfig:
    """The shipped configuration with changes."""
    text = (Path(configs.__file__).parent / "default.yaml").read_text("utf-8")
    return TournamentConfig(**{**yaml.safe_load(text)["tournament"], **changes})


async def _there(candidate: Candidate) -> Candidate | None:
    return candidate


async def choose(selector: Selector, seed: int, candidates: Sequence[Candidate] = FIELD, keep: int = 1) -> Bracket:
    """Make one selection.

    Args:
        selector: the selector.
        seed: seed of the selection.
        candidates: the candidates.
        keep: number of candidates to keep.
    """
    waiting = {one.id: _there(one) for one in candidates}
    return await selector.select(waiting, keep, Case("", seed, Ledger("bench"), MemoryJournal()))


def passing(seed: int) -> frozenset[str]:
    """Ids of the passing candidates."""
    return frozenset(random.Random(seed).sample(IDS, PASSING))


@cache
def gap_for(accuracy: float, noise: float) -> float:
    """Quality gap in logits that gives this accuracy in one vote, averaged over the judge's errors."""
    draws = [statistics.NormalDist().inv_cdf((i + 0.5) / 400) * noise * math.sqrt(2) for i in range(400)]
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = sum(1 / (1 + math.exp(-middle - draw)) for draw in draws) / len(draws)
        low, high = (middle, high) if mean < accuracy else (low, middle)
    return low
