"""Context rules: which attempts of one heat a rollout of the next one reads. Found by name, `refine.context`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.registry import Registry
from tournament.base import Bracket


@dataclass(frozen=True, slots=True)
class Before:
    """What a context rule chooses from.

    Attributes:
        bracket: the tournament of the heat before.
        usable: ids of that heat's rollouts that did something, best first.
        predecessor: id of the rollout with the same number in that heat.
        k: K, the number of attempts to choose if the rule has no other.
        seed: seed for random choices; the same when a resumed run plans the heat again.
    """

    bracket: Bracket
    usable: tuple[str, ...]
    predecessor: str
    k: int
    seed: int


class ContextRule(Protocol):
    """Chooses the attempts that one rollout of a later heat reads.

    Example:
        >>> class Best:
        ...     def parents(self, before: Before) -> Sequence[str]:
        ...         return before.usable[:1]
    """

    def parents(self, before: Before) -> Sequence[str]:
        """Return ids of rollouts of the heat before, best first.

        Must be pure: a resumed run calls it again and expects the same ids. Ids without a candidate are dropped, and so
        are further copies of the same change.
        """
        ...


class SelectK:
    """All rollouts read the K attempts that the tournament kept."""

    def parents(self, before: Before) -> Sequence[str]:
        """See `ContextRule.parents`."""
        return [one for one in before.bracket.selected if one in before.usable]


class RandomK:
    """Each rollout reads K attempts chosen at random."""

    def parents(self, before: Before) -> Sequence[str]:
        """See `ContextRule.parents`."""
        eligible = sorted(one for one in before.usable if one not in before.bracket.ineligible)
        return random.Random(before.seed).sample(eligible, min(before.k, len(eligible)))


class Single:
    """Each rollout reads its own predecessor."""

    def parents(self, before: Before) -> Sequence[str]:
        """See `ContextRule.parents`."""
        return [before.predecessor] if before.predecessor in before.usable else []


CONTEXT_RULES = Registry(
    "context rule",
    {
        "select-k": "heats.context_rules:SelectK",
        "random-k": "heats.context_rules:RandomK",
        "single": "heats.context_rules:Single",
    },
)


def open_context_rule(name: str) -> ContextRule:
    """Return the context rule that `refine.context` names.

    Raises:
        UnknownPart: there is no such name, module or class.
    """
    rule: ContextRule = CONTEXT_RULES.open(name)
    return rule
