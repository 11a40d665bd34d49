"""The ranking of a tournament over imported attempts, with reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.sanitize import one_line
from heats.formatting import aligned, columns
from heats.store.store import TaskStore

MOST_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One attempt's place.

    Attributes:
        rollout: the id that it plays under in the run directory.
        won, played: number of matches won and played, of those decided by votes or evidence.
        votes: number of votes for it, out of `of_votes` cast in its matches.
        verdict: verdict of its evidence; empty if nothing was executed.
        same_as: the attempt with the same change that played in its place.
        remarks: why it has no patch, what was dropped from its patch, and what was repaired in reading it.
    """

    place: int
    rollout: str
    source: str
    kept: bool
    won: int = 0
    played: int = 0
    votes: int = 0
    of_votes: int = 0
    verdict: str = ""
    patch_bytes: int = 0
    same_as: str = ""
    remarks: tuple[str, ...] = ()


def ranking(task: TaskStore, sources: Mapping[str, str]) -> list[Place]:
    """All ranked attempts of a task's only heat, best first; empty while its tournament is not finished.

    Args:
        task: the task's store.
        sources: where each attempt came from, by rollout id.
    """
    bracket = task.bracket(0)
    if bracket is None:
        return []
    leaders = {later: first for first, others in bracket.merged.items() for later in others}
    matches = [match for match in bracket.matches if match.decided_by not in ("bye", "unheard")]
    places = []
    for number, rollout in enumerate(bracket.ranking, start=1):
        own = [match for match in matches if rollout in match.contestants]
        votes = [vote for match in own for vote in match.votes]
        files = task.rollout(rollout)
        evidence, outcome = files.evidence(), files.outcome()
        places.append(
            Place(
                place=number,
                rollout=rollout,
                source=sources.get(rollout, rollout),
                kept=rollout in bracket.selected,
                won=sum(match.winner == rollout for match in own),
                played=len(own),
                votes=sum(vote.choice == rollout for vote in votes),
                of_votes=len(votes),
                verdict=evidence.verdict if evidence else "",
                patch_bytes=outcome.patch_bytes if outcome else 0,
                same_as=sources.get(leaders[rollout], leaders[rollout]) if rollout in leaders else "",
                remarks=outcome.remarks if outcome else (),
            )
        )
    return places


def ranking_text(places: list[Place], width: int | None = None) -> str:
    """A table with one row per attempt, aligned by spaces.

    Args:
        places: the ranking.
        width: maximum line length in characters; None for the terminal's width, or 120.
    """
    rows = [["", "attempt", "kept", "won", "votes", "patch", "tests"]]
    for place in places[:MOST_ROWS]:
        same = f" (same change as {one_line(place.same_as, 60)})" if place.same_as else ""
        rows.append(
            [
                str(place.place),
                one_line(place.source, 80) + same,
                "kept" if place.kept else "",
                f"{place.won}/{place.played}" if place.played else "",
                f"{place.votes}/{place.of_votes}" if place.of_votes else "",
                f"{place.patch_bytes} B" if place.patch_bytes else "none",
                place.verdict.replace("_", " "),
            ]
        )
    lines = aligned(rows, width or columns(), cut=(1,), middle=(1,), drop=("patch",))
    more = len(places) - MOST_ROWS
    told = [f"{one_line(place.source, 80)}: {one_line(text, 300)}" for place in places for text in place.remarks]
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else []), *told[:MOST_ROWS]])
