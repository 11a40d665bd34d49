"""Tie-breaks: who wins if the votes do not decide.

All of them are fixed before a match's first vote, except the one based on the order of votes, so a match can stop early
under any tie-breaks. Remaining ties are decided at random.
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
    """Number of lines that a patch adds and removes."""
    stats = diff_stats(candidate.patch.encode("utf-8", "surrogatepass"))
    return stats.added + stats.removed


_BY_CANDIDATE: Mapping[str, Callable[[Candidate], int]] = MappingProxyType(
    {
        "more-copies": lambda one: -max(one.copies, one.alike),
        "fewer-edits": edits,
        "smaller-patch": lambda one: len(one.patch),
    }
)


def preference(
    candidates: Sequence[Candidate], seed: int, scope: str, ties: Sequence[TieBreak] = USUAL
) -> tuple[str, ...]:
    """Order the candidates, winner of a complete tie first.

    Args:
        candidates: the candidates to order.
        seed: seed of the selection.
        scope: usually the match ID, so that random draws differ between matches.
        ties: the tie-breaks, tried in order.

    Returns:
        Candidate IDs.
    """

    def key(one: Candidate) -> tuple[int | str, ...]:
        values = (_BY_CANDIDATE[tie](one) for tie in ties if tie != BY_VOTES)
        return (*values, *_random_key(one, seed, scope))

    return tuple(one.id for one in sorted(candidates, key=key))


def random_order(candidates: Sequence[Candidate], seed: int, scope: str) -> tuple[str, ...]:
    """Order the candidates purely at random, for matches in which no vote could be read.

    Patch sizes and the like are ignored: a candidate that makes judges refuse must not profit from them.

    Args:
        candidates: the candidates to order.
        seed: seed of the selection.
        scope: usually the match ID, so that draws differ between matches.

    Returns:
        Candidate IDs.
    """
    return tuple(one.id for one in sorted(candidates, key=lambda one: _random_key(one, seed, scope)))


def before_votes(candidates: Sequence[Candidate], ties: Sequence[TieBreak]) -> dict[str, tuple[int, ...]]:
    """Tie-break values compared before the order of votes, by candidate ID; smaller is better."""
    at = ties.index(BY_VOTES) if BY_VOTES in ties else 0
    return {one.id: tuple(_BY_CANDIDATE[tie](one) for tie in ties[:at]) for one in candidates}


def _random_key(candidate: Candidate, seed: int, scope: str) -> tuple[int, str]:
    return seeded_hash(seed, "tie", scope, candidate.id), candidate.id
