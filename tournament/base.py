"""What a tournament is: candidates in, a ranked selection and its whole bracket out.

Candidates arrive one by one as their rollouts end; a match starts when its own contestants are there. Nothing here
knows sandboxes, and grades do not exist in this room.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from agents.llm.ledger import Ledger
from core.record import Record


class Candidate(Record):
    """A rollout that can win, as judges may see it.

    Attributes:
        id: the rollout's id, `heat-0/rollout-03`.
        summary: rendered summary.
        patch: the diff as text, for judges that read it.
        trajectory: rendered raw trajectory, for the ablation that judges it.
        evidence: rendered evidence, for judges that are told.
        evidence_rank: class of its executed evidence; higher always wins, equal is judged; 0 for all when it is off.
        patch_key: candidates with the same non-empty key are equal and enter once.
        copies: how many candidates made this patch; `bracket.counted` says.
    """

    id: str
    summary: str
    patch: str = ""
    trajectory: str = ""
    evidence: str = ""
    evidence_rank: int = 0
    patch_key: str = ""
    copies: int = 1


class Vote(Record):
    """One vote of one judge call. `choice` None is an abstention: refused, unparsable or failed."""

    order: tuple[str, ...]
    """Candidate ids in the order shown."""
    labels: tuple[str, ...]
    """The random label each was shown under, in the same order."""
    choice: str | None
    reason: str = ""
    presentation_sensitive: bool = False
    """Asked again with the comments of the patches shown, the judge named somebody else (`judge.second_view`)."""


class Match(Record):
    """One group of one round, decided."""

    id: str
    """`r0-m3`: round 0, match 3."""
    contestants: tuple[str, ...]
    votes: tuple[Vote, ...] = ()
    winner: str
    decided_by: Literal["votes", "evidence", "bye", "tie-break"]


class Bracket(Record):
    """The whole tournament.

    Attributes:
        merged: candidate id -> ids of later candidates with the same patch, which did not play.
        ranking: all candidates, best first; the first `k` are the selection.
    """

    selector: str
    seed: int
    group_size: int
    votes_per_match: int
    rounds: tuple[tuple[Match, ...], ...] = ()
    merged: Mapping[str, tuple[str, ...]] = {}
    ranking: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()


class Journal(Protocol):
    """Where votes and decided matches are kept as they come, so that a resumed tournament repeats none."""

    def votes(self, match_id: str, contestants: tuple[str, ...]) -> tuple[Vote, ...]:
        """Votes already cast in a match of exactly these contestants, in the order they were cast."""
        ...

    def add_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Keep votes as soon as they are parsed; durable when it returns."""
        ...

    def add_match(self, match: Match) -> None:
        """Announce a decided match, for progress displays."""
        ...


class Judge(Protocol):
    """Casts votes in one match."""

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Cast votes number `first` to `first + count - 1` of a match.

        Orders are balanced over the numbers: any 2 x G consecutive votes that start at a multiple of G show every
        contestant equally often in every place. Model failures are abstentions.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        ...


PendingCandidates = Mapping[str, Awaitable[Candidate | None]]
"""Candidates by id, each as soon as its rollout ends. None means: no candidate came of it."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a selection is about and works with: the problem, and everything that must be the same when it resumes."""

    problem: str
    seed: int
    ledger: Ledger
    journal: Journal


class Selector(Protocol):
    """Chooses the best k of the candidates."""

    name: str

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Select; every awaitable may take as long as its rollout does.

        Raises:
            NoCandidates, LimitExceeded.
        """
        ...
