"""Context rules that only choose which attempts to show: each with its record."""

import random
from collections.abc import Sequence

from pydantic import Field

from core.record import Config
from heats.context_rules.base import Before, Choice


class SelectK:
    """All rollouts read the K attempts that the tournament kept."""

    def parents(self, before: Before) -> Sequence[str]:
        """See `ParentsRule.parents`."""
        return before.kept


class RandomK:
    """Each rollout reads K attempts chosen at random."""

    def parents(self, before: Before) -> Sequence[str]:
        """See `ParentsRule.parents`."""
        eligible = sorted(one for one in before.usable if one not in before.bracket.ineligible)
        return random.Random(before.seed).sample(eligible, min(before.k, len(eligible)))


class Single:
    """Each rollout reads its own predecessor."""

    def parents(self, before: Before) -> Sequence[str]:
        """See `ParentsRule.parents`."""
        return [before.predecessor] if before.predecessor in before.usable else []


class BestWorst:
    """All rollouts read the best attempts and, as a warning, the worst. Source: IAD, arXiv:2504.01931."""

    class Options(Config):
        """Settings.

        Attributes:
            best: number of best attempts; None for K - `worst`, at least 1.
            worst: number of worst attempts.
        """

        best: int | None = Field(None, ge=1)
        worst: int = Field(1, ge=0)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        best = self.options.best or max(1, before.k - self.options.worst)
        changes = before.changes
        rest = changes[best:]
        worst = rest[max(0, len(rest) - self.options.worst) :]
        return Choice(parents=(*changes[:best], *worst), role="best-worst" if worst else "")


class Debate:
    """Each rollout reads all attempts, its predecessor first, and revises that one. Source: arXiv:2505.22960."""

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        own = [before.predecessor] if before.predecessor in before.usable else []
        parents = before.distinct([*own, *before.changes])
        return Choice(parents=tuple(parents), role="debate" if own and len(parents) > 1 else "")


class Fuse:
    """All rollouts read the K best different changes and make one of them. Source: Archon, arXiv:2409.15254."""

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        parents = tuple(before.changes[: before.k])
        return Choice(parents=parents, role="fuse" if len(parents) > 1 else "")
