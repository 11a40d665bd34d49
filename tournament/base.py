"""The tournament contract: candidates in, a ranked selection with its complete bracket out.

Candidates arrive one by one as their rollouts end, and a match starts once its own contestants have arrived. This room
knows nothing about sandboxes or grades.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pydantic import AliasChoices, Field

from agents.llm.ledger import Ledger
from core.record import Record
from tournament.probe import Probe


class Candidate(Record):
    """A rollout that can win, as judges may see it.

    Attributes:
        id: the rollout's ID, `heat-0/rollout-03`.
        summary: rendered summary; may be empty until `Case.described` supplies it.
        patch: the diff as text, for judges that read it.
        trajectory: rendered raw trajectory, for the ablation that judges it.
        evidence: rendered evidence, for judges that read it.
        ran: output of scripts that a judge had executed, set during a match.
        evidence_rank: rank of its executed evidence. A higher rank always wins, equal ranks are judged; 0 for all if
            evidence is disabled.
        patch_key: candidates with the same non-empty key make the same change and enter only once.
        brings_tests: whether its patch contains tests; of equal changes, one with tests plays.
        copies: number of candidates that made this change independently; set by `slots.counted`.
        behaviour: candidates with the same non-empty value end every executed test alike, whatever their changes.
        alike: number of candidates that independently made this change or behave like it; at least `copies`.
        derived: whether an earlier rollout's context already contained this change, so that it does not count as
            another independent copy.
        eligible: False if it has nothing to submit. It is then ranked last, never plays and is never selected.
    """

    id: str
    summary: str
    patch: str = ""
    trajectory: str = ""
    evidence: str = ""
    ran: str = ""
    evidence_rank: int = 0
    patch_key: str = ""
    brings_tests: bool = False
    copies: int = 1
    behaviour: str = ""
    alike: int = 1
    derived: bool = False
    eligible: bool = True


Failure = Literal["", "unreadable", "refused", "rejected", "too-long", "unavailable"]
"""Why a vote names no candidate. `rejected`: the server answered the request with status 400, 415 or 422."""


Ran = Literal["", "script", "sandbox"]
"""What was executed for a vote: a script whose output was shown, or the judge's own commands in a sandbox."""


class Vote(Record):
    """One vote from one judge call. A `choice` of None is an abstention, explained by `failure` and `reason`."""

    order: tuple[str, ...]
    """Candidate IDs in presentation order."""
    labels: tuple[str, ...]
    """The random label of each candidate, in presentation order."""
    choice: str | None
    reason: str = ""
    presentation_sensitive: bool = False
    """Whether the judge chose differently when the patches' comments were shown too (`judge.second_view`)."""
    copies: tuple[int, ...] = ()
    """Number of rollouts that made each contestant's change, if the judge was shown it; else empty."""
    shares: tuple[float, ...] = ()
    """The model's probability for each candidate, in presentation order; empty for a sampled vote."""
    failure: Failure = ""
    ran: Ran = ""

    @property
    def margin(self) -> float | None:
        """Lead of the most likely candidate over the second, from 0 to 1; None for a sampled vote."""
        if not self.shares:
            return None
        first, second = sorted(self.shares, reverse=True)[:2]
        return first - second


Decision = Literal["votes", "critic", "evidence", "bye", "tie-break", "unheard"]
"""How a match was decided. A `bye` is not a win. `unheard`: no vote could be read, so the winner is drawn at random and
the match counts neither as a win nor as a loss."""


class Match(Record):
    """One group of one round, decided."""

    id: str
    """`r0-m3`: round 0, match 3; `p0-m1`: match 1 of the first play-off round."""
    contestants: tuple[str, ...]
    votes: tuple[Vote, ...] = ()
    winner: str
    decided_by: Decision

    @property
    def play_off(self) -> bool:
        """Whether the match was played after the tree, for one of the K places."""
        return self.id.startswith("p")


class Bracket(Record):
    """The complete tournament.

    Attributes:
        votes_per_match: V, raised to a multiple of G so that every presentation order is equally frequent.
        rounds: the rounds of the tree, followed by play-off rounds.
        merged: candidate ID -> IDs of candidates with the same change, which did not play.
        ranking: all candidates, best first; the first `k` eligible ones are selected.
        selected: empty if no candidate was eligible.
        ineligible: the end of the ranking: candidates with nothing to submit.
        by_chance: selected candidates drawn at random because no vote on them could be read.
        scores: a critic's probability that a candidate is right, by candidate ID; empty without a critic.
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
    by_chance: tuple[str, ...] = Field(default=(), validation_alias=AliasChoices("by_chance", "by_lot"))
    scores: Mapping[str, float] = {}

    @property
    def matches(self) -> tuple[Match, ...]:
        """All matches, in round order."""
        return tuple(match for matches in self.rounds for match in matches)


class Journal(Protocol):
    """Records votes and decided matches as they come, so that a resumed tournament repeats none.

    Example:
        `tournament.journal.MemoryJournal` is a complete implementation in a few lines:

        >>> from tournament.journal import MemoryJournal
        >>> journal, pair = MemoryJournal(), ("heat-0/rollout-00", "heat-0/rollout-01")
        >>> journal.add_votes("r0-m0", pair, [Vote(order=pair, labels=("K7Q", "B3X"), choice=pair[1])])
        >>> [vote.choice for vote in journal.votes("r0-m0", pair)]
        ['heat-0/rollout-01']
    """

    def votes(self, match_id: str, contestants: tuple[str, ...]) -> tuple[Vote, ...]:
        """Return the votes already cast in a match of exactly these contestants, in the order they were cast."""
        ...

    def add_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Store votes as soon as they are parsed. They are durable once this returns.

        Args:
            match_id: ID of the match, such as `r0-m3`.
            contestants: candidate IDs of the match.
            votes: the new votes, in the order they were cast.
        """
        ...

    def lose_votes(self, match_id: str, contestants: tuple[str, ...], votes: Sequence[Vote]) -> None:
        """Report votes that the server did not answer. They are not stored, so a resumed tournament asks for them
        again.

        Args:
            match_id: ID of the match, such as `r0-m3`.
            contestants: candidate IDs of the match.
            votes: the unanswered votes.
        """
        ...

    def add_match(self, match: Match) -> None:
        """Announce a decided match, for progress displays."""
        ...

    def drop_match(self, match: Match) -> None:
        """Retract an announced match, because a late candidate makes the same change as one of its contestants."""
        ...


class Judge(Protocol):
    """Casts votes in one match.

    Example:
        >>> import asyncio
        >>> from agents.llm.ledger import Ledger
        >>> from tournament.presentation_order import shown_order
        >>> class ShortestPatch:
        ...     async def vote(self, problem, contestants, *, count, first, seed, ledger):
        ...         choice = min(contestants, key=lambda one: len(one.patch)).id
        ...         orders = [shown_order(contestants, number) for number in range(first, first + count)]
        ...         ids = [tuple(one.id for one in order) for order in orders]
        ...         return [Vote(order=order, labels=order, choice=choice) for order in ids]
        >>> pair = [Candidate(id="a", summary="", patch="+ long"), Candidate(id="b", summary="", patch="+")]
        >>> votes = ShortestPatch().vote("...", pair, count=2, first=0, seed=1, ledger=Ledger("example"))
        >>> [vote.choice for vote in asyncio.run(votes)]
        ['b', 'b']
    """

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Cast votes number `first` to `first + count - 1` of a match.

        Presentation orders are balanced: any G consecutive votes show each contestant once in every position. Model
        failures become abstentions.

        Args:
            problem: the task's statement.
            contestants: the G candidates to compare, in slot order.
            count: number of votes to cast.
            first: number of the first vote, which determines its presentation order.
            seed: seed of the match, the same for all of its votes.
            ledger: accounts for the judge's tokens and enforces limits.

        Returns:
            `count` votes, in the order of their numbers.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        ...


@runtime_checkable
class WeighingJudge(Judge, Protocol):
    """A judge that may know the probabilities of its choices.

    Example:
        >>> import asyncio
        >>> from agents.llm.ledger import Ledger
        >>> class Sure(Judge):
        ...     async def weighs(self, ledger):
        ...         return True
        ...     async def weigh(self, problem, contestants, *, seed, ledger):
        ...         one, other = (candidate.id for candidate in contestants)
        ...         first = Vote(order=(one, other), labels=("K7Q", "B3X"), choice=one, shares=(0.9, 0.1))
        ...         return [first, first.model_copy(update={"order": (other, one), "shares": (0.1, 0.9)})]
        >>> pair = [Candidate(id=name, summary="") for name in ("a", "b")]
        >>> [vote.margin for vote in asyncio.run(Sure().weigh("...", pair, seed=1, ledger=Ledger("example")))]
        [0.8, 0.8]
    """

    async def weighs(self, ledger: Ledger) -> bool:
        """Return whether probabilities are wanted and the model provides them.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        ...

    async def weigh(self, problem: str, contestants: Sequence[Candidate], *, seed: int, ledger: Ledger) -> list[Vote]:
        """Cast one vote in each of the G presentation orders, with `shares`.

        Votes returned without shares count as sampled votes, the first of the match.

        Args:
            problem: the task's statement.
            contestants: the G candidates to compare, in slot order.
            seed: seed of the match.
            ledger: accounts for the judge's tokens and enforces limits.

        Returns:
            G votes, one per presentation order.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        ...


@runtime_checkable
class EndingJudge(Judge, Protocol):
    """A judge that learns when a match needs no further votes, to release what it holds for the match.

    Example:
        >>> from agents.llm.ledger import Ledger
        >>> class Holding(Judge):
        ...     held = {7}
        ...     def ended(self, seed, ledger):
        ...         self.held.discard(seed)
        >>> judge = Holding()
        >>> judge.ended(7, Ledger("example"))
        >>> isinstance(judge, EndingJudge), judge.held
        (True, set())
    """

    def ended(self, seed: int, ledger: Ledger) -> None:
        """No further votes are asked for with this seed."""
        ...


Route = Literal["small", "large", "both"]
"""Who judges a match: the selector's own judge (`small`), the large model's, or both."""


class VoteRouting(Protocol):
    """Decides which of two judges casts a match's votes, and measures how often they agree.

    Attributes:
        large: the judge that counts wherever both judge.
        journal: keeps the small judge's votes in matches that both judge; the large judge's are the match's own.

    Example:
        >>> from tournament.journal import MemoryJournal
        >>> class EveryMatchTwice:
        ...     def __init__(self, large):
        ...         self.large, self.journal, self.agreed = large, MemoryJournal(), []
        ...     def route(self, match_id, contestants):
        ...         return "both"
        ...     def compared(self, match_id, contestants, *, agree):
        ...         self.agreed.append(agree)
    """

    large: Judge
    journal: Journal

    def route(self, match_id: str, contestants: tuple[str, ...]) -> Route:
        """Decide who judges a match. The decision is durable once this returns, and the same when asked again.

        Args:
            match_id: ID of the match, such as `r0-m3`.
            contestants: candidate IDs of the match.
        """
        ...

    def compared(self, match_id: str, contestants: tuple[str, ...], *, agree: bool) -> None:
        """Record whether both judges chose the same candidate. Durable once this returns.

        Args:
            match_id: ID of the match.
            contestants: candidate IDs of the match.
            agree: whether they did; a small judge without a readable vote does not agree.
        """
        ...


PendingCandidates = Mapping[str, Awaitable[Candidate | None]]
"""Candidates by ID, each available once its rollout ends; None if the rollout produced no candidate."""


Describe = Callable[[Candidate], Awaitable[Candidate]]
"""Adds the summary to a candidate, which costs a model call unless the summary exists already."""


@dataclass(frozen=True, slots=True)
class Case:
    """The problem to select for, and everything that must stay the same when a selection resumes.

    Attributes:
        problem: the task's statement.
        seed: seed of all random choices.
        ledger: accounts for the judges' tokens and enforces limits.
        journal: stores votes and matches.
        describe: None if candidates arrive complete with everything that judges read.
        probe: executes code for judges that ask for it; None if nothing can be executed.
        routing: chooses between two judges for each match; None if the selector's judge casts all votes.
    """

    problem: str
    seed: int
    ledger: Ledger
    journal: Journal
    describe: Describe | None = None
    probe: Probe | None = None
    routing: VoteRouting | None = None

    async def described(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Complete the candidates with everything that judges read; call this right before judging.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the summarizer's model can succeed.
            ModelUnavailable: its server does not answer.
        """
        if self.describe is None:
            return list(candidates)
        return list(await asyncio.gather(*map(self.describe, candidates)))


class Selector(Protocol):
    """Selects the best k candidates.

    Example:
        >>> import asyncio
        >>> from agents.llm.ledger import Ledger
        >>> from tournament.arrivals import everybody
        >>> from tournament.journal import MemoryJournal
        >>> from tournament.ranker import ranked
        >>> class SmallestPatch:
        ...     name = "smallest-patch"
        ...     needs_model = False
        ...     async def select(self, candidates, k, case):
        ...         present = await everybody(candidates)
        ...         return ranked(self.name, case.seed, sorted(present.values(), key=lambda one: len(one.patch)), k)
        >>> async def candidate(name, patch):
        ...     return Candidate(id=name, summary="", patch=patch)
        >>> case = Case(problem="...", seed=1, ledger=Ledger("example"), journal=MemoryJournal())
        >>> entrants = {"a": candidate("a", "+ long"), "b": candidate("b", "+")}
        >>> asyncio.run(SmallestPatch().select(entrants, 1, case)).selected
        ('b',)
    """

    name: str

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Select the best `k`; each awaitable may take as long as its rollout.

        Args:
            candidates: pending candidates by ID.
            k: number to select; fewer if fewer are eligible.
            case: the problem, and the resources to judge it with.

        Returns:
            The bracket with all candidates ranked.

        Raises:
            NoCandidates: no rollout produced a candidate.
            LimitExceeded: a limit of the ledger is reached.
        """
        ...
