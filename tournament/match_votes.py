"""The votes of one match: the journal's first, then the judge's, in waves, until the match is decided."""

from collections.abc import Sequence

from tournament.base import Candidate, Case, Judge, Match, Vote
from tournament.bracket import seeded_hash
from tournament.config import TournamentConfig
from tournament.tally import Rules, leader, needed, next_wave, next_wave_by_margin
from tournament.ties import BY_VOTES, before_votes, lots, preference
from tournament.view import shown_copies


class MatchVotes:
    """Judges single matches: takes the journal's votes first, then asks in waves until the match is decided."""

    def __init__(self, config: TournamentConfig, judge: Judge, case: Case) -> None:
        self.config, self.judge, self.case = config, judge, case

    @property
    def most(self) -> int:
        """Votes of one match, at most."""
        return self.config.votes

    def wave(self, choices: Sequence[str | None], rules: Rules) -> int:
        """How many votes to ask for next; 0 ends the match."""
        early = self.config.early_stop
        return next_wave(choices, rules, early_stop=early != "never", balanced=early != "lean")

    async def decide(self, match_id: str, contestants: tuple[Candidate, ...]) -> Match:
        """Ask for votes until the match is decided.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        ids = tuple(one.id for one in contestants)
        rules = self.rules(match_id, contestants, self.most)
        copies = shown_copies(self.config.judge, contestants)
        cast = [vote for vote in self.case.journal.votes(match_id, ids) if vote.copies == copies]
        votes = needed(cast, lambda choices: self.wave(choices, rules))
        while wave := self.wave([vote.choice for vote in votes], rules):
            votes = (*votes, *await self.ask(match_id, contestants, wave, len(votes)))
        choices = [vote.choice for vote in votes]
        winner = leader(choices, rules)
        counts = [choices.count(name) for name in ids]
        clear = counts.count(choices.count(winner)) == 1
        return Match(
            id=match_id, contestants=ids, votes=votes, winner=winner, decided_by="votes" if clear else "tie-break"
        )

    def rules(self, match_id: str, contestants: tuple[Candidate, ...], votes: int) -> Rules:
        """What is fixed before the match's first vote."""
        ties, seed = self.config.ties, self.case.seed
        order = next((tie for tie in ties if tie in BY_VOTES), None)
        return Rules(
            preference=preference(contestants, seed, match_id, ties),
            lots=lots(contestants, seed, match_id),
            votes=votes,
            block=len(contestants),
            before=before_votes(contestants, ties),
            grain={"earlier-block": 0, "earlier-vote": 1, None: votes}[order],
        )

    async def ask(self, match_id: str, contestants: tuple[Candidate, ...], count: int, first: int) -> list[Vote]:
        """Ask the judge for `count` votes and keep them in the journal.

        A choice of somebody who does not play, or a missing vote, is an abstention.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        seed = seeded_hash(self.case.seed, match_id)
        shown = await self.case.described(contestants)
        cast = await self.judge.vote(
            self.case.problem, shown, count=count, first=first, seed=seed, ledger=self.case.ledger
        )
        ids = tuple(one.id for one in contestants)
        blank = Vote(order=ids, labels=(), choice=None, reason="the judge returned no vote")
        known = [vote if vote.choice in (*ids, None) else vote.model_copy(update={"choice": None}) for vote in cast]
        copies = shown_copies(self.config.judge, contestants)
        votes = [vote.model_copy(update={"copies": copies}) for vote in [*known, *[blank] * count][:count]]
        self.case.journal.add_votes(match_id, ids, votes)
        return votes


class MarginVotes(MatchVotes):
    """Judges matches until somebody leads by a margin: few votes where the judge is sure, many where it is not."""

    @property
    def most(self) -> int:
        """Votes of one match, at most."""
        return self.config.adaptive.votes

    def wave(self, choices: Sequence[str | None], rules: Rules) -> int:
        """Whole blocks, until the margin is there."""
        return next_wave_by_margin(choices, rules, self.config.adaptive.margin)
