"""Selectors that judge one candidate at a time: pointwise scores, and verification that looks for defects.

Their votes are stored in the journal like any other: `order` contains the single candidate, the label is the score or
verdict, and an abstention has no choice.
"""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from agents.llm.base import ChatModel, ResponseSchema
from agents.llm.session import in_session
from core.aio import together
from core.record import Record
from core.sanitize import for_model
from core.text import cut
from tournament.base import Candidate, Case, Vote
from tournament.config import TournamentConfig
from tournament.heard import Rejections, keep_votes
from tournament.prompt_judge import Asked, Asker, Question, object_schema, read, session_of
from tournament.ranker import Assessment, Key, Ranker
from tournament.slots import equal_changes, seeded_hash
from tournament.ties import preference

_REASON_CHARS = 1500


class ScoreReply(Record):
    """A rating from 0 to 10."""

    reason: str
    score: int = Field(ge=0, le=10)


class VerifyReply(Record):
    """A verdict on one candidate."""

    reason: str
    verdict: Literal["accept", "reject"]


def score_schema(labels: Sequence[str]) -> ResponseSchema:
    """Schema of a reply with a score."""
    return object_schema("score", {"reason": {"type": "string"}, "score": {"type": "integer", "enum": list(range(11))}})


def verify_schema(labels: Sequence[str]) -> ResponseSchema:
    """Schema of a reply with a verdict."""
    verdict = {"type": "string", "enum": ["accept", "reject"]}
    return object_schema("verify", {"reason": {"type": "string"}, "verdict": verdict})


class _Scored(Ranker):
    """Assesses each distinct change `samples` times and ranks by worth."""

    def __init__(self, config: TournamentConfig, model: ChatModel) -> None:
        self.config = config
        self.asker = Asker(config.judge, model)
        self.rejections = Rejections()

    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Assess all candidates; one without any readable answer gets the mean worth.

        Args:
            field: eligible candidates, in slot order.
            k: unused.
            case: the problem, and the resources to judge it with.

        Returns:
            Sort keys by worth.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
        """
        copies = equal_changes(field)
        players = [one for one in field if one.id not in copies]
        results = await together(self._look(one, case) for one in players)
        self.rejections.check([vote for votes in results for vote in votes])
        worth = {one.id: self.worth(votes) for one, votes in zip(players, results, strict=True)}
        known = [value for value in worth.values() if value is not None]
        mean = sum(known) / len(known) if known else 0.0
        keys: dict[str, Key] = {}
        for place, name in enumerate(preference(field, case.seed, self.name, self.config.ties)):
            value = worth[copies.get(name, name)]
            keys[name] = (name in copies, -(mean if value is None else value), place)
        rivals = Counter(one.evidence_rank for one in players)
        unheard = (one.id for one in players if worth[one.id] is None and rivals[one.evidence_rank] > 1)
        return Assessment(keys, unheard=frozenset(unheard))

    async def _look(self, candidate: Candidate, case: Case) -> tuple[Vote, ...]:
        ids = (candidate.id,)
        votes = case.journal.votes(self.name, ids)[: self.config.scoring.samples]
        missing = self.config.scoring.samples - len(votes)
        if not missing:
            return votes
        seed = seeded_hash(case.seed, self.name, candidate.id, len(votes))
        shown, session = await case.described([candidate]), session_of(case.ledger, seed)
        async with in_session(self.asker.model, session):
            asked = await self.asker.ask(
                self.question(), case.problem, shown, n=missing, seed=seed, ledger=case.ledger, session=session
            )
        fresh = [self._vote(candidate.id, text, asked) for text in asked.texts]
        keep_votes(case.journal, self.name, ids, fresh)
        return (*votes, *fresh)

    def _vote(self, name: str, text: str, asked: Asked) -> Vote:
        found = self.parse(text)
        if found is None:
            return Vote(order=(name,), labels=("",), choice=None, reason=asked.said, failure=asked.failure)
        label, reason = found
        return Vote(order=(name,), labels=(label,), choice=name, reason=cut(for_model(reason), _REASON_CHARS))

    @abstractmethod
    def question(self) -> Question:
        """The question to ask about each candidate."""

    @abstractmethod
    def parse(self, text: str) -> tuple[str, str] | None:
        """Parse a reply into label and reason, or None."""

    @abstractmethod
    def worth(self, votes: Sequence[Vote]) -> float | None:
        """A candidate's worth according to its votes; None without any."""


class PointwiseSelector(_Scored):
    """Best of N by mean score from 0 to 10, each given without seeing the other candidates."""

    name = "pointwise"

    def question(self) -> Question:
        """Ask for a score."""
        return Question(self.config.scoring.score_system, self.config.scoring.user, score_schema)

    def parse(self, text: str) -> tuple[str, str] | None:
        """Use the score as the label."""
        reply = read(text, ScoreReply)
        return (str(reply.score), reply.reason) if reply else None

    def worth(self, votes: Sequence[Vote]) -> float | None:
        """The mean score."""
        scores = [int(vote.labels[0]) for vote in votes if vote.choice is not None]
        return sum(scores) / len(scores) if scores else None


class VerifySelector(_Scored):
    """Pessimistic verification: verifiers look for defects, and the candidate most certainly free of them wins.

    Worth is the mean of the acceptance rate under a uniform prior, minus one standard deviation, so a few verdicts
    count for less than many that agree.
    """

    name = "verify"

    def question(self) -> Question:
        """Ask for a verdict."""
        return Question(self.config.scoring.verify_system, self.config.scoring.user, verify_schema)

    def parse(self, text: str) -> tuple[str, str] | None:
        """Use the verdict as the label."""
        reply = read(text, VerifyReply)
        return (reply.verdict, reply.reason) if reply else None

    def worth(self, votes: Sequence[Vote]) -> float | None:
        """Lower bound of the acceptance rate."""
        verdicts = [vote.labels[0] for vote in votes if vote.choice is not None]
        if not verdicts:
            return None
        good, total = 1 + verdicts.count("accept"), 2 + len(verdicts)
        share = good / total
        return share - math.sqrt(share * (1 - share) / (total + 1))
