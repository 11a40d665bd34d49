"""Collect the votes of one match: those in the journal first, then the judge's, in waves, until it is decided."""

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Self

from core.aio import together
from tournament.base import (
    Candidate,
    Case,
    Decision,
    EndingJudge,
    Journal,
    Judge,
    Match,
    Ran,
    Vote,
    VoteRouting,
    WeighingJudge,
)
from tournament.config import TournamentConfig
from tournament.heard import keep_votes
from tournament.probe import Executed, with_scripts
from tournament.probe_judge import ProbingJudge, with_outputs
from tournament.slots import seeded_hash
from tournament.tally import Rules, leader, needed, next_wave, next_wave_by_margin, weighed, whole_blocks
from tournament.ties import BY_VOTES, before_votes, preference, random_order
from tournament.view import shown_copies


class MatchVotes:
    """Judges single matches: replays the journal's votes, then asks in waves until the match is decided."""

    def __init__(self, config: TournamentConfig, judge: Judge, case: Case) -> None:
        self.config, self.judge, self.case = config, judge, case

    @property
    def most(self) -> int:
        """Maximum number of votes in one match."""
        return self.config.votes

    def wave(self, choices: Sequence[str | None], rules: Rules) -> int:
        """Number of votes to ask for next; 0 ends the match."""
        return next_wave(choices, rules, early_stop=self.config.early_stop != "never")

    async def decide(self, match_id: str, contestants: tuple[Candidate, ...]) -> Match:
        """Collect votes until the match is decided.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        rules = self.rules(match_id, contestants, self.most)
        votes = await self.votes(match_id, contestants, rules)
        return decided_match(match_id, contestants, rules, votes)

    async def votes(self, match_id: str, contestants: tuple[Candidate, ...], rules: Rules) -> tuple[Vote, ...]:
        """Collect the match's votes: one per order if the judge provides probabilities, else as many as it takes.

        With `Case.routing`, they are those of the judge that the match is routed to.

        Args:
            match_id: ID of the match.
            contestants: the candidates to compare, in slot order.
            rules: from `rules`.

        Returns:
            The votes that count, in the order they were cast.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        if self.case.routing is not None:
            return await self._routed(self.case.routing, match_id, contestants, rules)
        try:
            return await self._votes(match_id, contestants, rules)
        finally:
            if isinstance(self.judge, EndingJudge):
                self.judge.ended(seeded_hash(self.case.seed, match_id), self.case.ledger)

    async def _routed(
        self, routing: VoteRouting, match_id: str, contestants: tuple[Candidate, ...], rules: Rules
    ) -> tuple[Vote, ...]:
        """Have the match judged by the small judge, the large one, or both; of both, the large one's votes count."""
        ids, journal = tuple(one.id for one in contestants), self.case.journal
        route = routing.route(match_id, ids)
        large = self._asking(routing.large, journal)
        if route != "both":
            asked = large if route == "large" else self._asking(self.judge, journal)
            return await asked.votes(match_id, contestants, rules)
        small = self._asking(self.judge, routing.journal)
        tried, counted = await together(one.votes(match_id, contestants, rules) for one in (small, large))
        of_small, of_large = (decided_match(match_id, contestants, rules, votes) for votes in (tried, counted))
        if of_large.decided_by != "unheard":
            agree = of_small.decided_by != "unheard" and of_small.winner == of_large.winner
            routing.compared(match_id, ids, agree=agree)
        return counted

    def _asking(self, judge: Judge, journal: Journal) -> Self:
        """The same way of collecting votes with another judge and journal, and without routing."""
        other = copy(self)
        other.judge, other.case = judge, replace(self.case, journal=journal, routing=None)
        return other

    async def _votes(self, match_id: str, contestants: tuple[Candidate, ...], rules: Rules) -> tuple[Vote, ...]:
        ran = await self._executed(match_id, contestants)
        if ran is not None and not any(one.tells_apart for one in ran):
            votes = await self._inquire(match_id, contestants, ran)
            if _is_clear(votes):
                return votes
        votes = self._known(match_id, contestants, "script" if ran else "")
        if not votes:
            votes = tuple(await self._weigh(match_id, contestants, ran or ()))
        if weighed(votes[: rules.block], rules.block) is not None:
            return votes[: rules.block]

        def wave(choices: Sequence[str | None]) -> int:
            return self.wave(choices, rules)

        votes = needed(votes, wave)
        while count := wave([vote.choice for vote in votes]):
            votes = (*votes, *await self._ask(match_id, contestants, ran or (), count, len(votes)))
        return needed(votes, wave)

    def _known(self, match_id: str, contestants: tuple[Candidate, ...], ran: Ran) -> tuple[Vote, ...]:
        """Return the journal's votes that were cast on what is shown now."""
        copies = shown_copies(self.config.judge, contestants)
        known = self.case.journal.votes(match_id, tuple(one.id for one in contestants))
        return tuple(vote for vote in known if vote.copies == copies and vote.ran == ran)

    async def _executed(self, match_id: str, contestants: tuple[Candidate, ...]) -> tuple[Executed, ...] | None:
        """Have scripts run that should tell the contestants apart; None if the judge executes nothing."""
        if self.case.probe is None or not isinstance(self.judge, ProbingJudge):
            return None
        return await self.judge.executed(match_id, await self.case.described(contestants), self.case)

    async def _inquire(
        self, match_id: str, contestants: tuple[Candidate, ...], ran: tuple[Executed, ...]
    ) -> tuple[Vote, ...]:
        """Let the judge examine the contestants, once per order; those orders that the journal has are not repeated."""
        if not isinstance(self.judge, ProbingJudge) or self.config.judge.probe.steps == 0:
            return ()
        known = self._known(match_id, contestants, "sandbox")
        if len(known) >= len(contestants):
            return known[: len(contestants)]
        shown = await self.case.described(contestants)
        cast = await self.judge.inquire(match_id, shown, ran, self.case)
        return tuple(self._keep(match_id, contestants, cast, len(contestants), "sandbox"))

    def _shown(self, contestants: Sequence[Candidate], ran: Sequence[Executed]) -> tuple[str, list[Candidate]]:
        """Return the problem and the contestants as votes are shown them."""
        judge = self.config.judge
        if not ran:
            return self.case.problem, list(contestants)
        problem = with_scripts(self.case.problem, ran, judge.probe.output_chars, judge.problem_chars)
        return problem, [with_outputs(one, ran, judge.probe.output_chars) for one in contestants]

    def rules(self, match_id: str, contestants: tuple[Candidate, ...], votes: int) -> Rules:
        """Fix the rules of a match before its first vote.

        Args:
            match_id: ID of the match.
            contestants: the candidates to compare, in slot order.
            votes: V; raised to a multiple of the number of contestants.
        """
        ties, seed = self.config.ties, self.case.seed
        return Rules(
            preference=preference(contestants, seed, match_id, ties),
            random_order=random_order(contestants, seed, match_id),
            votes=whole_blocks(votes, len(contestants)),
            block=len(contestants),
            before=before_votes(contestants, ties),
            by_block=BY_VOTES in ties,
        )

    async def _weigh(self, match_id: str, contestants: tuple[Candidate, ...], ran: Sequence[Executed]) -> list[Vote]:
        """Cast one vote per order with a judge that knows probabilities; none with any other judge."""
        judge = self.judge
        if not (isinstance(judge, WeighingJudge) and await judge.weighs(self.case.ledger)):
            return []
        seed = seeded_hash(self.case.seed, match_id)
        problem, shown = self._shown(await self.case.described(contestants), ran)
        cast = await judge.weigh(problem, shown, seed=seed, ledger=self.case.ledger)
        return self._keep(match_id, contestants, cast, len(contestants), "script" if ran else "")

    async def _ask(
        self, match_id: str, contestants: tuple[Candidate, ...], ran: Sequence[Executed], count: int, first: int
    ) -> list[Vote]:
        """Ask the judge for `count` votes."""
        seed = seeded_hash(self.case.seed, match_id)
        problem, shown = self._shown(await self.case.described(contestants), ran)
        cast = await self.judge.vote(problem, shown, count=count, first=first, seed=seed, ledger=self.case.ledger)
        return self._keep(match_id, contestants, cast, count, "script" if ran else "")

    def _keep(
        self, match_id: str, contestants: tuple[Candidate, ...], cast: Sequence[Vote], count: int, ran: Ran
    ) -> list[Vote]:
        """Store votes in the journal. Missing votes, and choices of candidates that do not play, become abstentions."""
        ids = tuple(one.id for one in contestants)
        blank = Vote(order=ids, labels=(), choice=None, reason="the judge returned no vote", failure="unreadable")
        known = [vote if vote.choice in (*ids, None) else vote.model_copy(update={"choice": None}) for vote in cast]
        copies = shown_copies(self.config.judge, contestants)
        votes = [vote.model_copy(update={"copies": copies, "ran": ran}) for vote in [*known, *[blank] * count][:count]]
        keep_votes(self.case.journal, match_id, ids, votes)
        return votes


def _is_clear(votes: Sequence[Vote]) -> bool:
    """Whether one contestant has more votes than any other."""
    counts = sorted(Counter(vote.choice for vote in votes if vote.choice is not None).values(), reverse=True)
    return bool(counts) and (len(counts) == 1 or counts[0] > counts[1])


class MarginVotes(MatchVotes):
    """Votes until a candidate leads by a margin: few votes if the judge is sure, many if it is not."""

    @property
    def most(self) -> int:
        """Maximum number of votes in one match."""
        return self.config.adaptive.votes

    def wave(self, choices: Sequence[str | None], rules: Rules) -> int:
        """Ask for whole blocks until the margin is reached."""
        return next_wave_by_margin(choices, rules, self.config.adaptive.margin)


def decided_match(match_id: str, contestants: Sequence[Candidate], rules: Rules, votes: tuple[Vote, ...]) -> Match:
    """Decide a match by its votes.

    Args:
        match_id: ID of the match.
        contestants: the candidates compared, in slot order.
        rules: the match's rules.
        votes: all votes cast.
    """
    shares, choices = weighed(votes, rules.block), [vote.choice for vote in votes]
    worth: dict[str, float] = shares or {name: choices.count(name) for name in rules.preference}
    winner = max(rules.preference, key=worth.__getitem__) if shares else leader(choices, rules)
    clear = list(worth.values()).count(worth[winner]) == 1
    how: Decision = "votes" if clear else "tie-break" if any(choices) else "unheard"
    ids = tuple(one.id for one in contestants)
    return Match(id=match_id, contestants=ids, votes=votes, winner=winner, decided_by=how)
