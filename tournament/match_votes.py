"""The votes of one match: the journal's first, then the judge's, in waves, until the match is decided."""

from collections.abc import Sequence

from agents.llm.ledger import Ledger
from tournament.base import Candidate, Journal, Judge, Match, Vote
from tournament.bracket import lots, preference, seeded_hash
from tournament.config import TournamentConfig
from tournament.tally import Rules, leader, needed, next_wave, next_wave_by_margin


class MatchVotes:
    """Judges single matches: takes the journal's votes first, then asks in waves until the match is decided."""

    def __init__(
        self, config: TournamentConfig, judge: Judge, problem: str, seed: int, ledger: Ledger, journal: Journal
    ) -> None:
        self.config, self.judge, self.problem = config, judge, problem
        self.seed, self.ledger, self.journal = seed, ledger, journal

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
        ties, draw = preference(contestants, self.seed, match_id), lots(contestants, self.seed, match_id)
        rules = Rules(ties, draw, self.most, len(ids))
        votes = needed(self.journal.votes(match_id, ids), lambda choices: self.wave(choices, rules))
        while wave := self.wave([vote.choice for vote in votes], rules):
            votes = (*votes, *await self.ask(match_id, contestants, wave, len(votes)))
        choices = [vote.choice for vote in votes]
        winner = leader(choices, rules)
        counts = [choices.count(name) for name in ids]
        clear = counts.count(choices.count(winner)) == 1
        return Match(
            id=match_id, contestants=ids, votes=votes, winner=winner, decided_by="votes" if clear else "tie-break"
        )

    async def ask(self, match_id: str, contestants: tuple[Candidate, ...], count: int, first: int) -> list[Vote]:
        """Ask the judge for `count` votes and keep them in the journal.

        A choice of somebody who does not play, or a missing vote, is an abstention.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        cast = await self.judge.vote(
            self.problem,
            contestants,
            count=count,
            first=first,
            seed=seeded_hash(self.seed, match_id),
            ledger=self.ledger,
        )
        ids = tuple(one.id for one in contestants)
        blank = Vote(order=ids, labels=(), choice=None, reason="the judge returned no vote")
        known = [vote if vote.choice in (*ids, None) else vote.model_copy(update={"choice": None}) for vote in cast]
        votes = [*known, *[blank] * count][:count]
        self.journal.add_votes(match_id, ids, votes)
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
