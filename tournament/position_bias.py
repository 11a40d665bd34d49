"""How much a judge's choices follow the order it was shown, measured on the votes that were cast anyway.

Source: position consistency and preference fairness of arXiv:2406.07791, simplified.
"""

import math
from collections import Counter

from core.record import Record
from tournament.base import Bracket, Match


class PositionReport(Record):
    """A judge's habits over a whole tournament.

    Attributes:
        compared: pairs that were judged in both orders with a clear choice in each.
        consistent: those of them with the same choice in both.
        first: of the others, those in which whoever was shown first was chosen both times.
        first_votes, votes: votes for whoever was shown first, and all that name somebody.
        abstentions: votes that name nobody.
        sensitive: votes that name another when the patches' comments are shown; only where that was asked.
        unheard: matches of which no vote could be read.
        one_sided: matches of which votes in some orders could be read, and none in another.
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
        """Share of pairs whose winner does not depend on the order; None without any."""
        return self.consistent / self.compared if self.compared else None

    @property
    def p_value(self) -> float:
        """Chance of flipped pairs as lopsided as these if the judge had no favourite place (two-sided, exact)."""
        flipped = self.compared - self.consistent
        extreme = max(self.first, flipped - self.first)
        tail = sum(math.comb(flipped, count) for count in range(extreme, flipped + 1)) * 0.5**flipped
        return min(1.0, 2 * tail)


def orders_disagree(match: Match) -> bool:
    """Whether a pair was judged in both orders and most votes of each name another."""
    return len(set(_by_order(match).values())) == 2


def position_report(bracket: Bracket) -> PositionReport:
    """Count over all judged matches of a bracket; groups larger than two count for the votes alone."""
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
    """For each order of a pair that was shown, the choice of most of its votes; ties are left out."""
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for vote in match.votes:
        if vote.choice is not None and len(vote.order) == 2:
            counts.setdefault(vote.order, Counter())[vote.choice] += 1
    best = {order: count.most_common() for order, count in counts.items()}
    return {order: top[0][0] for order, top in best.items() if len(top) == 1 or top[0][1] > top[1][1]}
