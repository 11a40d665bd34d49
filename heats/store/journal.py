"""The votes of one heat's tournament as a file, from which it can be resumed."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heats.store.events import EventKind, EventLog
from heats.store.files import LineLog, read_lines
from heats.store.records import StoredVotes
from tournament.base import Match, Vote


class TournamentJournal:
    """Votes of one heat's tournament, stored as they are cast (`tournament.base.Journal`).

    Args:
        path: the file.
        events: receives announcements; None announces nothing.
        task: ID of the task.
        heat: number of the heat.
    """

    def __init__(self, path: Path, events: EventLog | None, task: str, heat: int) -> None:
        self._events, self._task, self._heat = events, task, heat
        self._votes: dict[tuple[str, tuple[str, ...]], tuple[Vote, ...]] = defaultdict(tuple)
        self._rejections: set[str] = set()
        self._lines = LineLog(path)
        for line in read_lines(path, StoredVotes):
            self._votes[line.match, line.contestants] += line.votes

    def votes(self, match_id: str, contestants: tuple[str, ...]) -> tuple[Vote, ...]:
        """Stored votes of a match with exactly these contestants."""
        return self._votes[match_id, contestants]

    def add_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Store votes, durably, and announce them.

        Args:
            match_id: id of the match.
            contestants: ids of its candidates.
            votes: the new votes.
        """
        self._lines.append(StoredVotes(match=match_id, contestants=contestants, votes=tuple(votes)))
        self._votes[match_id, contestants] += tuple(votes)
        self._tell(match_id, contestants, votes)

    def lose_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Announce votes that are not stored because the server answered none of them.

        Args:
            match_id: id of the match.
            contestants: ids of its candidates.
            votes: the lost votes.
        """
        self._tell(match_id, contestants, votes)

    def add_match(self, match: Match) -> None:
        """Announce a decided match."""
        told = match.model_dump(include={"contestants", "winner", "decided_by"})
        if match.decided_by == "unheard":
            told["detail"] = match.votes[0].reason
        self._emit("match", heat=self._heat, match=match.id, **told)

    def drop_match(self, match: Match) -> None:
        """Announce that an earlier match no longer counts."""
        told = match.model_dump(include={"contestants", "winner"})
        self._emit("match_dropped", heat=self._heat, match=match.id, **told)

    def _tell(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        told: dict[str, Any] = {"contestants": contestants, "choices": [vote.choice for vote in votes]}
        if any(vote.shares for vote in votes):
            told["shares"] = [dict(zip(vote.order, vote.shares, strict=False)) for vote in votes]
        self._emit("votes", heat=self._heat, match=match_id, **told)
        for said in dict.fromkeys(vote.reason for vote in votes if vote.failure == "rejected"):
            if said not in self._rejections:
                self._rejections.add(said)
                self._emit("warning", text=f"heat {self._heat}: a vote was rejected: {said}")

    def _emit(self, kind: EventKind, **told: Any) -> None:
        if self._events is not None:
            self._events.emit(kind, task=self._task, **told)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
