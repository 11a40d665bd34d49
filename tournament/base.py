"""What a tournament is: candidates in, a ranked selection and its whole bracket out.

Candidates arrive one by one as their rollouts end; a match starts when its own contestants are there. Nothing here
knows sandboxes, and grades do not exist in this room.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from agents.llm.ledger import Ledger
from core.record import Record


class Candidate(Record):
    """A rollout that can win, as judges may see it.

    Attributes:
        id: the rollout's id, `heat-0/rollout-03`.
        summary: rendered summary; may be empty until `Case.described` gives it.
        patch: the diff as text, for judges that read it.
        trajectory: rendered raw trajectory, for the ablation that judges it.
        evidence: rendered evidence, for judges that are told.
        evidence_rank: class of its executed evidence; higher always wins, equal is judged; 0 for all when it is off.
        patch_key: candidates with the same non-empty key make the same change and enter once.
        brings_tests: its patch holds tests; of equal changes, one with tests plays.
        copies: how many candidates make this change by themselves; `slots.counted` says.
        derived: its rollout was told of this very change by an earlier one, and is no further voice for it.
        eligible: False when there is nothing to hand over. It is ranked last, never plays and is never selected.
    """

    id: str
    summary: str
    patch: str = ""
    trajectory: str = ""
    evidence: str = ""
    evidence_rank: int = 0
    patch_key: str = ""
    brings_tests: bool = False
    copies: int = 1
    derived: bool = False
    eligible: bool = True


Failure = Literal["", "unreadable", "refused", "rejected", "too-long", "unavailable"]
"""Why a vote names nobody. `rejected`: the server answers 400, 415 or 422 to the request itself."""


class Vote(Record):
    """One vote of one judge call. `choice` None is an abstention; `failure` and `reason` say why."""

    order: tuple[str, ...]
    """Candidate ids in the order shown."""
    labels: tuple[str, ...]
    """The random label each was shown under, in the same order."""
    choice: str | None
    reason: str = ""
    presentation_sensitive: bool = False
    """Asked again with the comments of the patches shown, the judge named somebody else (`judge.second_view`)."""
    copies: tuple[int, ...] = ()
    """How many attempts had made each contestant's change, where the judge was shown that; else empty."""
    shares: tuple[float, ...] = ()
    """The model's probability for each candidate, in the order shown; empty for a vote that is a plain sample."""
    failure: Failure = ""

    @property
    def margin(self) -> float | None:
        """How far the likeliest candidate is ahead of the next, between 0 and 1; None for a plain sample."""
        if not self.shares:
            return None
        first, second = sorted(self.shares, reverse=True)[:2]
        return first - second


Decision = Literal["votes", "evidence", "bye", "tie-break", "unheard"]
"""How a match was decided. A `bye` is no win. `unheard`: votes were asked for and none could be read, so a lot says
who goes on; nobody has won or lost."""


class Match(Record):
    """One group of one round, decided."""

    id: str
    """`r0-m3`: round 0, match 3; `p0-m1`: match 1 of the first round of play-offs."""
    contestants: tuple[str, ...]
    votes: tuple[Vote, ...] = ()
    winner: str
    decided_by: Decision

    @property
    def play_off(self) -> bool:
        """Whether the match was played after the tree, for a place among the K."""
        return self.id.startswith("p")


class Bracket(Record):
    """The whole tournament.

    Attributes:
        votes_per_match: V, raised to a multiple of G so that every order can be shown equally often.
        rounds: the tree's, then those of play-offs.
        merged: candidate id -> ids of candidates that make the same change and did not play.
        ranking: all candidates, best first; the first `k` eligible ones are the selection.
        selected: empty when nobody was eligible.
        ineligible: the end of the ranking: candidates without anything to hand over.
        by_lot: the selected ones that owe their place to a lot because no vote on them could be read.
    """

    selector: str
    seed: int
    group_size: int
    votes_per_match: int
    rounds: tuple[tuple[Match, ...], ...] = ()
    merged: Mapping[str, tuple[str, ...]] = {}
    ranking: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()
    ineligible: tuple[str, ...] = ()
    by_lot: tuple[str, ...] = ()

    @property
    def matches(self) -> tuple[Match, ...]:
        """All matches, in the order of the rounds."""
        return tuple(match for matches in self.rounds for match in matches)


class Journal(Protocol):
    """Where votes and decided matches are kept as they come, so that a resumed tournament repeats none."""

    def votes(self, match_id: str, contestants: tuple[str, ...]) -> tuple[Vote, ...]:
        """Votes already cast in a match of exactly these contestants, in the order they were cast."""
        ...

    def add_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Keep votes as soon as they are parsed; durable when it returns."""
        ...

    def lose_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Announce votes that the server did not answer. They are not kept: a resumed tournament asks again."""
        ...

    def add_match(self, match: Match) -> None:
        """Announce a decided match, for progress displays."""
        ...

    def drop_match(self, match: Match) -> None:
        """Take an announced match back: a late candidate makes the same change as one that played in it."""
        ...


class Judge(Protocol):
    """Casts votes in one match."""

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Cast votes number `first` to `first + count - 1` of a match.

        Orders are balanced over the numbers: any G consecutive votes show every contestant once in every place.
        Model failures are abstentions.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        ...


@runtime_checkable
class WeighingJudge(Judge, Protocol):
    """A judge that may know the probabilities of its choices."""

    async def weighs(self, ledger: Ledger) -> bool:
        """Whether probabilities are wanted and the model gives them.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        ...

    async def weigh(self, problem: str, contestants: Sequence[Candidate], *, seed: int, ledger: Ledger) -> list[Vote]:
        """Cast one vote in each of the G orders, with `shares`.

        Votes that come without are plain samples, the first of the match.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        ...


@runtime_checkable
class EndingJudge(Judge, Protocol):
    """A judge that is told when a match needs no further votes, to release what it holds for the match."""

    def ended(self, seed: int, ledger: Ledger) -> None:
        """No further votes are asked for with this seed."""
        ...


PendingCandidates = Mapping[str, Awaitable[Candidate | None]]
"""Candidates by id, each as soon as its rollout ends. None means: no candidate came of it."""


Describe = Callable[[Candidate], Awaitable[Candidate]]
"""Gives a candidate its summary, which costs a model call where it is not there yet."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a selection is about and works with: the problem, and everything that must be the same when it resumes.

    Attributes:
        describe: None where candidates come with all that judges read.
    """

    problem: str
    seed: int
    ledger: Ledger
    journal: Journal
    describe: Describe | None = None

    async def described(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with everything that a judge reads; to be called right before one does.

        Raises:
            LimitExceeded, ModelConfigError, ModelUnavailable.
        """
        if self.describe is None:
            return list(candidates)
        return list(await asyncio.gather(*map(self.describe, candidates)))


class Selector(Protocol):
    """Chooses the best k of the candidates."""

    name: str

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Select; every awaitable may take as long as its rollout does.

        Raises:
            NoCandidates, LimitExceeded.
        """
        ...
