"""A journal that lives in memory: for tests, and for tournaments that need not survive their process."""

from collections.abc import Sequence

from tournament.base import Match, Vote
from tournament.bracket import MatchKey


class MemoryJournal:
    """Keeps votes and matches in dictionaries.

    Attributes:
        cast: votes by match id and contestants.
        lost: votes that the server did not answer.
        matches: announced matches, in order.
        dropped: those taken back.
    """

    def __init__(self) -> None:
        self.cast: dict[MatchKey, tuple[Vote, ...]] = {}
        self.lost: list[Vote] = []
        self.matches: list[Match] = []
        self.dropped: list[Match] = []

    def votes(self, match_id: str, contestants: tuple[str, ...]) -> tuple[Vote, ...]:
        """Votes already cast in this match, in order."""
        return self.cast.get((match_id, contestants), ())

    def add_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Keep more votes of this match."""
        self.cast[match_id, contestants] = (*self.votes(match_id, contestants), *votes)

    def lose_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Remember votes that will be asked for again."""
        self.lost.extend(votes)

    def add_match(self, match: Match) -> None:
        """Keep a decided match."""
        self.matches.append(match)

    def drop_match(self, match: Match) -> None:
        """Keep a match that no longer counts."""
        self.dropped.append(match)
