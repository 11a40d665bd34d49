"""Tie-breaks: who wins where votes do not say.

All of them are known or fixed before a match's first vote, except the one that looks at the order of the votes; so a
match can stop early whatever the tie-breaks are. In the end the choice is random.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from core.diff import diff_stats
from tournament.base import Candidate
from tournament.slots import seeded_hash

TieBreak = Literal["more-copies", "earlier-block", "fewer-edits", "smaller-patch"]

USUAL: tuple[TieBreak, ...] = ("earlier-block",)
BY_VOTES: TieBreak = "earlier-block"


def edits(candidate: Candidate) -> int:
    """Lines that a patch adds and removes."""
    stats = diff_stats(candidate.patch.encode("utf-8", "surrogatepass"))
    return stats.added + stats.removed


_BY_CANDIDATE: Mapping[str, Callable[[Candidate], int]] = MappingProxyType(
    {
        "more-copies": lambda one: -one.copies,
        "fewer-edits": edits,
        "smaller-patch": lambda one: len(one.patch),
    }
)


def preference(
    candidates: Sequence[Candidate], seed: int, scope: str, ties: Sequence[TieBreak] = USUAL
) -> tuple[str, ...]:
    """The candidates, who wins a complete tie first.

    Args:
        scope: the match, so that no candidate comes first in all of them.
    """

    def key(one: Candidate) -> tuple[int | str, ...]:
        said = (_BY_CANDIDATE[tie](one) for tie in ties if tie != BY_VOTES)
        return (*said, *_random_key(one, seed, scope))

    return tuple(one.id for one in sorted(candidates, key=key))


def random_order(candidates: Sequence[Candidate], seed: int, scope: str) -> tuple[str, ...]:
    """Return the candidates in an order that depends on the seed alone.

    It says who goes on where no vote could be read: whoever makes judges refuse must not gain by the size of its patch.
    """
    return tuple(one.id for one in sorted(candidates, key=lambda one: _random_key(one, seed, scope)))


def before_votes(candidates: Sequence[Candidate], ties: Sequence[TieBreak]) -> dict[str, tuple[int, ...]]:
    """By id, what is compared before the order of the votes is; smaller is better, equal is equal."""
    at = ties.index(BY_VOTES) if BY_VOTES in ties else 0
    return {one.id: tuple(_BY_CANDIDATE[tie](one) for tie in ties[:at]) for one in candidates}


def _random_key(candidate: Candidate, seed: int, scope: str) -> tuple[int, str]:
    return seeded_hash(seed, "tie", scope, candidate.id), candidate.id
