"""Selection by a learned critic, alone or together with a judge's votes; both come after evidence.

The critic gives each candidate a probability of being right, without seeing the others. In a match, the odds of the
contestants are compared. With `votes`, the judge votes as in `rtv`, and the log-odds of votes and critic are added.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field

from agents.errors import ModelUnavailable
from agents.llm.base import ChatModel, ResponseSchema
from agents.llm.scorer import HttpScorer, ScorerConfig
from core.record import Config, Record
from core.registry import read_options
from core.sanitize import for_model
from core.text import cut
from tournament.base import Bracket, Candidate, Case, Decision, Judge, Match, PendingCandidates, Vote
from tournament.config import TournamentConfig
from tournament.heard import keep_votes
from tournament.label_shares import label_shares
from tournament.match_votes import MatchVotes
from tournament.probe_judge import open_judge
from tournament.prompt_judge import Asker, Question, object_schema, read, session_of
from tournament.rtv import RTVSelector
from tournament.slots import seeded_hash
from tournament.tally import Rules, weighed
from tournament.view import view_of

_KEY = "critic"
_ALTERNATIVES = 20
_LEAST = 1e-3
"""Probabilities are clipped to be no more extreme than this."""


class CriticOptions(Config):
    """Settings of the selector `critic`, in `tournament.options`.

    Attributes:
        scorer: a classifier, a cross-encoder or another HTTP service. Without it the judge's model is asked whether the
            candidate is right, and the probability of "yes" is taken from its log probabilities, or else from
            `tournament.scoring.samples` replies.
        votes: let the judge vote as well.
        weight: weight of the critic's log-odds; that of the votes is 1.
    """

    scorer: ScorerConfig | None = None
    votes: bool = False
    weight: float = Field(1.0, gt=0)


class YesReply(Record):
    """Whether a candidate is right."""

    choice: Literal["yes", "no"]


def yes_schema(labels: Sequence[str]) -> ResponseSchema:
    """Schema of a yes or no."""
    return object_schema("critic", {"choice": {"type": "string", "enum": ["yes", "no"]}})


class CriticSelector(RTVSelector):
    """The knock-out bracket of `rtv`, decided by a critic."""

    name = "critic"
    routes_votes = False  # the critic itself is asked with the judge's model
    Options = CriticOptions

    def __init__(self, config: TournamentConfig, judge: Judge, model: ChatModel, options: CriticOptions) -> None:
        super().__init__(config, judge)
        self.options = options
        self.asker = Asker(config.judge, model)
        self.question = Question(config.scoring.critic_system, config.scoring.user, yes_schema, _ALTERNATIVES)
        self.scorer: HttpScorer | None = None

    @classmethod
    def open(cls, config: TournamentConfig, model: ChatModel, *, options: CriticOptions | None = None) -> Self:
        """Construct the selector; the model judges, and is the critic unless the options name a scorer."""
        return cls(config, open_judge(config, model), model, options or CriticOptions())

    @classmethod
    def asks_model(cls, config: TournamentConfig) -> bool:
        """Whether the selector asks the judge's model; a scorer alone does not."""
        options = read_options(cls, config.options, "tournament.options")
        assert isinstance(options, CriticOptions)
        return options.scorer is None or options.votes

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Select as `rtv` does; the bracket has the critic's scores.

        Args:
            candidates: pending candidates by ID.
            k: number to select.
            case: the problem, and the resources to judge it with.

        Raises:
            NoCandidates: no rollout produced a candidate.
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the critic or the judge can succeed.
        """
        scorer = HttpScorer(self.options.scorer) if self.options.scorer is not None else None
        critic = Critic(self, case, scorer)
        try:
            bracket = await self.play(candidates, k, case, CriticVotes(self.config, self.judge, case, critic))
        finally:
            if scorer is not None:
                await scorer.close()
        return bracket.model_copy(update={"scores": critic.scores})


class Critic:
    """Scores candidates, each once, and keeps the scores in the journal.

    Attributes:
        scores: by candidate ID.
    """

    def __init__(self, selector: CriticSelector, case: Case, scorer: HttpScorer | None) -> None:
        self.selector, self.case, self.scorer = selector, case, scorer
        self.scores: dict[str, float] = {}

    async def score(self, candidate: Candidate) -> float | None:
        """Return a candidate's score; None if the critic gives none.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the critic can succeed.
            ModelUnavailable: the critic does not answer, and there are no votes to decide in its place.
        """
        ids = (candidate.id,)
        known = self.case.journal.votes(_KEY, ids)
        if not known:
            (shown,) = await self.case.described([candidate])
            vote = await (self._asked(shown) if self.scorer is None else self._scored(shown, self.scorer))
            keep_votes(self.case.journal, _KEY, ids, [vote])
            known = (vote,)
        if known[0].failure == "unavailable" and not self.selector.options.votes:
            raise ModelUnavailable(known[0].reason)
        if known[0].choice is None:
            return None
        self.scores[candidate.id] = float(known[0].labels[0])
        return self.scores[candidate.id]

    async def _scored(self, shown: Candidate, scorer: HttpScorer) -> Vote:
        judge = self.selector.config.judge
        fields = view_of(shown, judge, judge.candidate_chars)
        text = "\n\n".join(f"{name}:\n{value}" for name, value in fields.items())
        query = cut(for_model(self.case.problem), judge.problem_chars)
        try:
            return _vote(shown.id, await scorer.score(query, text, ledger=self.case.ledger))
        except ModelUnavailable as error:
            return Vote(order=(shown.id,), labels=("",), choice=None, reason=str(error), failure="unavailable")

    async def _asked(self, shown: Candidate) -> Vote:
        """Take the probability of "yes" from log probabilities, else the share of it among several replies."""
        case, selector = self.case, self.selector
        seed = seeded_hash(case.seed, _KEY, shown.id)
        question, count, texts = selector.question, 1, list[str]()
        for _ in range(2):
            asked = await selector.asker.ask(
                question, case.problem, [shown], n=count, seed=seed + len(texts), ledger=case.ledger,
                session=session_of(case.ledger, seed),
            )  # fmt: skip
            texts += [text for text in asked.texts if text]
            reply = asked.replies[0]
            found = label_shares(reply.logprobs, ("yes", "no")) if reply else None
            if found is not None and not (reply and (reply.reasoning or "").strip()):
                return _vote(shown.id, found.shares[0])
            if not texts:
                return Vote(order=(shown.id,), labels=("",), choice=None, reason=asked.said, failure=asked.failure)
            question, count = Question(question.system, question.user, yes_schema), selector.config.scoring.samples - 1
            if not count:
                break
        answers = [answer.choice for text in texts if (answer := read(text, YesReply))]
        if not answers:
            return Vote(order=(shown.id,), labels=("",), choice=None, reason="no readable reply", failure="unreadable")
        return _vote(shown.id, (answers.count("yes") + 0.5) / (len(answers) + 1))


class CriticVotes(MatchVotes):
    """Decides matches by the critic's odds, and by votes if they are asked for."""

    def __init__(self, config: TournamentConfig, judge: Judge, case: Case, critic: Critic) -> None:
        super().__init__(config, judge, case)
        self.critic = critic

    async def decide(self, match_id: str, contestants: tuple[Candidate, ...]) -> Match:
        """Score the contestants, collect votes if configured, and add the log-odds.

        Args:
            match_id: ID of the match.
            contestants: the candidates to compare, in slot order.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the critic or the judge can succeed.
            ModelUnavailable: the critic does not answer, and there are no votes to decide in its place.
        """
        options, rules = self.critic.selector.options, self.rules(match_id, contestants, self.most)
        scores = [await self.critic.score(one) for one in contestants]
        odds = {one.id: _log_odds(score) for one, score in zip(contestants, scores, strict=True) if score is not None}
        votes = await self.votes(match_id, contestants, rules) if options.votes else ()
        if len(odds) < len(scores):
            odds = {}
        worth = _of_votes(votes, rules)
        for name, value in odds.items():
            worth[name] += options.weight * value
        unheard = bool(votes) and not odds and not any(vote.choice for vote in votes)
        order = rules.random_order if unheard else rules.preference
        winner = max(order, key=lambda name: round(worth[name], 9))
        clear = [round(value, 9) for value in worth.values()].count(round(worth[winner], 9)) == 1
        how: Decision = "unheard" if unheard else "tie-break"
        if clear:
            how = "votes" if votes else "critic"
        ids = tuple(one.id for one in contestants)
        return Match(id=match_id, contestants=ids, votes=votes, winner=winner, decided_by=how)


def _of_votes(votes: tuple[Vote, ...], rules: Rules) -> dict[str, float]:
    """Return each contestant's log share of the votes; smoothed by half a vote each."""
    names = rules.preference
    if shares := weighed(votes, rules.block):
        return {name: math.log(max(shares[name], _LEAST)) for name in names}
    choices = [vote.choice for vote in votes if vote.choice is not None]
    if not choices:
        return dict.fromkeys(names, 0.0)
    return {name: math.log((choices.count(name) + 0.5) / (len(choices) + len(names) / 2)) for name in names}


def _log_odds(score: float) -> float:
    share = min(max(score, _LEAST), 1 - _LEAST)
    return math.log(share / (1 - share))


def _vote(name: str, score: float) -> Vote:
    """Store a score as a vote on a single candidate."""
    return Vote(order=(name,), labels=(f"{score:.6f}",), choice=name)
