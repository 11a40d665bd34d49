"""Votes that nobody could read: which are kept, what they decided, and when they end the run."""

from collections.abc import Iterable, Sequence

from agents.errors import ModelConfigError
from tournament.base import Journal, Match, Vote

_SERVER_FAILED = frozenset(("rejected", "too-long", "unavailable"))


def keep_votes(journal: Journal, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
    """Keep votes in the journal, unless the server answered none of them: a resumed tournament asks for these again."""
    if all(vote.failure in _SERVER_FAILED for vote in votes):
        journal.lose_votes(match_id, contestants, votes)
    else:
        journal.add_votes(match_id, contestants, votes)


def chosen_by_chance(selected: Sequence[str], matches: Iterable[Match]) -> tuple[str, ...]:
    """Those of the selected on whom votes were asked for in a match of which none could be read."""
    unheard = {name for match in matches if match.decided_by == "unheard" for name in match.votes[0].order}
    return tuple(name for name in selected if name in unheard)


class Rejections:
    """Ends a run whose judge the server does not listen to: no vote request was ever taken, whatever the match."""

    def __init__(self) -> None:
        self._taken = False

    def check(self, votes: Sequence[Vote]) -> None:
        """Look at all votes of a selection that is over.

        Raises:
            ModelConfigError: the server rejected every one of them, and all before; says so in the server's words.
        """
        self._taken = self._taken or any(vote.failure != "rejected" for vote in votes)
        if votes and not self._taken:
            raise ModelConfigError(f"the judge's server rejected every vote: {votes[0].reason}")
