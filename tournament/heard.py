"""Handle unreadable votes: which are stored, what they decide, and when they end the run."""

from collections.abc import Iterable, Sequence

from agents.errors import ModelConfigError
from tournament.base import Journal, Match, Vote

_SERVER_FAILED = frozenset(("rejected", "too-long", "unavailable"))


def keep_votes(journal: Journal, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
    """Store votes in the journal, unless the server answered none of them; a resumed tournament asks for those again.

    Args:
        journal: receives the votes.
        match_id: ID of the match.
        contestants: candidate IDs of the match.
        votes: the new votes, in the order they were cast.
    """
    if all(vote.failure in _SERVER_FAILED for vote in votes):
        journal.lose_votes(match_id, contestants, votes)
    else:
        journal.add_votes(match_id, contestants, votes)


def chosen_by_chance(selected: Sequence[str], matches: Iterable[Match]) -> tuple[str, ...]:
    """List the selected candidates that played a match in which no vote could be read."""
    unheard = {name for match in matches if match.decided_by == "unheard" for name in match.votes[0].order}
    return tuple(name for name in selected if name in unheard)


class Rejections:
    """Ends a run if the server has rejected every vote request so far, in any match."""

    def __init__(self) -> None:
        self._taken = False

    def check(self, votes: Sequence[Vote]) -> None:
        """Check all votes of a finished selection.

        Raises:
            ModelConfigError: the server rejected these and all earlier votes; quotes the server.
        """
        self._taken = self._taken or any(vote.failure != "rejected" for vote in votes)
        if votes and not self._taken:
            raise ModelConfigError(f"the judge's server rejected every vote: {votes[0].reason}")
