"""A small model for summaries and votes, as long as it agrees with the large one: settings, and when to switch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from core.record import Config

RoutedKind = Literal["votes", "summaries"]

_Z = 1.959964
"""Quantile of the normal distribution for intervals of 95 %."""


class RoutingConfig(Config):
    """A small model for votes and summaries whose agreement with the large one, `model`, is measured.

    Attributes:
        votes: `judge_model` is the small model for votes; the unit is a match.
        summaries: `summarizer_model` is the small model for summaries; the unit is a rollout's summary.
        warm_up: the first matches and the first summaries of the run that both models answer.
        sample: share of the later ones that both answer, drawn by seed.
        agreement: required agreement. The large model takes over for the rest of the run as soon as the upper end of
            the 95 % interval of the measured agreement is below it.
        window: number of the latest comparisons that this interval is computed from.
    """

    votes: bool = False
    summaries: bool = False
    warm_up: int = Field(10, ge=1)
    sample: float = Field(0.2, gt=0, le=1)
    agreement: float = Field(0.8, gt=0, lt=1)
    window: int = Field(20, ge=5)

    def on(self, kind: RoutedKind) -> bool:
        """Whether this kind of work is routed."""
        return self.votes if kind == "votes" else self.summaries

    def too_low(self, agreed: Sequence[bool]) -> "AgreementShare | None":
        """Return the latest agreement if it is too low, else None.

        Args:
            agreed: all comparisons so far, in the order in which they were made.
        """
        latest = AgreementShare.of(agreed[-self.window :])
        return latest if len(agreed) >= self.warm_up and latest.high < self.agreement else None


@dataclass(frozen=True, slots=True)
class AgreementShare:
    """A share of comparisons that agreed, with its 95 % interval."""

    agreed: int
    compared: int
    low: float
    high: float

    @classmethod
    def of(cls, agreed: Sequence[bool]) -> "AgreementShare":
        """Compute the share and its interval. Source of the interval: Wilson, JASA 22 (1927)."""
        count, hits = len(agreed), sum(agreed)
        if not count:
            return cls(0, 0, 0.0, 1.0)
        share, square = hits / count, _Z * _Z
        middle = (share + square / (2 * count)) / (1 + square / count)
        half = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
        return cls(hits, count, max(0.0, middle - half), min(1.0, middle + half))

    def __str__(self) -> str:
        if not self.compared:
            return "not measured"
        return f"{self.agreed / self.compared:.2f} ({self.low:.2f} to {self.high:.2f})"
