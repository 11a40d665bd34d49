"""An in-memory journal, for tests and for tournaments that need not survive their process."""

from collections.abc import Sequence

from tournament.base import Match, Vote
from tournament.bracket import MatchKey


class MemoryJournal:
    """A `Journal` that keeps everything in memory.

    Attributes:
        cast: votes by match ID and contestants.
        lost: votes that the server did not answer.
        matches: announced matches, in order.
        dropped: retracted matches.
    """

    def __init__(self) -> None:
        self.cast: dict[MatchKey, tuple[Vote, ...]] = {}
        self.lost: list[Vote] = []
        self.matches: list[Match] = []
        self.dropped: list[Match] = []

    def votes(self, match_id: str, contestants: tuple[str, ...]) -> tuple[Vote, ...]:
        """See `Journal.votes`."""
        return self.cast.get((match_id, contestants), ())

    def add_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Append votes to a match.

        Args:
            match_id: ID of the match.
            contestants: candidate IDs of the match.
            votes: the new votes, in the order they were cast.
        """
        self.cast[match_id, contestants] = (*self.votes(match_id, contestants), *votes)

    def lose_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Record votes that will be asked for again.

        Args:
            match_id: ID of the match.
            contestants: candidate IDs of the match.
            votes: the unanswered votes.
        """
        self.lost.extend(votes)

    def add_match(self, match: Match) -> None:
        """Record a decided match."""
        self.matches.append(match)

    def drop_match(self, match: Match) -> None:
        """Record a retracted match."""
        self.dropped.append(match)
