"""Measure how much a judge's choices follow presentation order, using the votes already cast.

Source: position consistency and preference fairness of arXiv:2406.07791, simplified.
"""

import math
from collections import Counter

from core.record import Record
from tournament.base import Bracket, Match


class PositionReport(Record):
    """A judge's position bias over a complete tournament.

    Attributes:
        compared: pairs judged in both orders with a clear choice in each.
        consistent: pairs among them with the same choice in both orders.
        first: inconsistent pairs in which the candidate shown first was chosen both times.
        first_votes: votes for the candidate shown first.
        votes: all votes that name a candidate.
        abstentions: votes that name none.
        sensitive: votes that change when the patches' comments are shown, if that was tried.
        unheard: matches in which no vote could be read.
        one_sided: matches in which votes could be read in some orders but not in others.
    """

    compared: int
    consistent: int
    first: int
    first_votes: int
    votes: int
    abstentions: int
    sensitive: int = 0
    unheard: int = 0
    one_sided: int = 0

    @property
    def consistency(self) -> float | None:
        """Fraction of pairs whose winner does not depend on the order; None if there are none."""
        return self.consistent / self.compared if self.compared else None

    @property
    def p_value(self) -> float:
        """Probability of a split at least this lopsided if the judge has no position bias (two-sided, exact)."""
        flipped = self.compared - self.consistent
        extreme = max(self.first, flipped - self.first)
        tail = sum(math.comb(flipped, count) for count in range(extreme, flipped + 1)) * 0.5**flipped
        return min(1.0, 2 * tail)


def orders_disagree(match: Match) -> bool:
    """Return whether a pair was judged in both orders and the majority of each order names a different winner."""
    return len(set(_by_order(match).values())) == 2


def position_report(bracket: Bracket) -> PositionReport:
    """Count over all judged matches of a bracket; groups larger than two contribute only to the vote counts."""
    compared = consistent = first = first_votes = votes = abstentions = sensitive = one_sided = 0
    for match in bracket.matches:
        named = [vote for vote in match.votes if vote.choice is not None]
        votes += len(named)
        abstentions += len(match.votes) - len(named)
        sensitive += sum(vote.presentation_sensitive for vote in match.votes)
        first_votes += sum(vote.choice == vote.order[0] for vote in named)
        one_sided += 0 < len({vote.order for vote in named}) < len({vote.order for vote in match.votes})
        chosen = _by_order(match)
        if len(chosen) == 2:
            compared += 1
            consistent += not orders_disagree(match)
            first += all(order[0] == choice for order, choice in chosen.items())
    return PositionReport(
        compared=compared,
        consistent=consistent,
        first=first,
        first_votes=first_votes,
        votes=votes,
        abstentions=abstentions,
        sensitive=sensitive,
        unheard=sum(match.decided_by == "unheard" for match in bracket.matches),
        one_sided=one_sided,
    )


def _by_order(match: Match) -> dict[tuple[str, ...], str]:
    """Majority choice in each order in which a pair was shown; ties are omitted."""
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for vote in match.votes:
        if vote.choice is not None and len(vote.order) == 2:
            counts.setdefault(vote.order, Counter())[vote.choice] += 1
    best = {order: count.most_common() for order, count in counts.items()}
    return {order: top[0][0] for order, top in best.items() if len(top) == 1 or top[0][1] > top[1][1]}
