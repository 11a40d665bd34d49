"""The judge that asks a model: G candidates in one request, one choice in every reply."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from agents.llm.base import ChatModel, Completion, ResponseSchema
from agents.llm.ledger import Ledger
from agents.llm.session import sessions_of
from core.aio import together
from core.record import Record
from core.sanitize import for_model
from core.text import cut
from tournament.base import Candidate, Vote
from tournament.config import TournamentConfig
from tournament.label_shares import label_shares
from tournament.presentation_order import shown_order
from tournament.prompt_judge import Asked, Asker, Question, object_schema, read, request_seed, session_of
from tournament.view import view_of

_REASON_CHARS = 1500
_ALTERNATIVES = 20
"""Log probabilities asked for at every token; servers give no more."""
_PREAMBLE_CHARS = 120
"""A choice that comes later in a reply follows thoughts: its probability is that of one train of thought."""
_TRIAL_PROBLEM = "The function must return the sum of its two arguments; it returns their difference."
_TRIAL = tuple(
    Candidate(id=name, summary=text, patch=f"+    {text}", trajectory=text, evidence=text)
    for name, text in (("plus", "return a + b"), ("times", "return a * b"))
)


class VoteReply(Record):
    """A reply to a vote's question; `choice` is a label."""

    reason: str
    choice: str


def vote_schema(labels: Sequence[str]) -> ResponseSchema:
    """The reply's schema: the reason comes before the choice."""
    return object_schema("vote", {"reason": {"type": "string"}, "choice": {"type": "string", "enum": list(labels)}})


def choice_schema(labels: Sequence[str]) -> ResponseSchema:
    """The same with the choice first, so that its probability does not depend on a sampled reason."""
    properties = vote_schema(labels).json_schema["properties"]
    return object_schema("vote", {name: properties[name] for name in ("choice", "reason")})


class ModelJudge:
    """Compares candidates by a chat model.

    Votes of the same order share one request (`n`); the orders are asked for at the same time.

    Args:
        config: what is shown (`config.judge`) and how it is asked.
        model: any chat model.
    """

    def __init__(self, config: TournamentConfig, model: ChatModel) -> None:
        judge = config.judge
        self.asker = Asker(
            judge.model_copy(update={"strip_comments": judge.strip_comments or judge.second_view}), model
        )
        self.second = Asker(judge.model_copy(update={"strip_comments": False}), model) if judge.second_view else None
        self.sample = Question(judge.system, judge.user, vote_schema)
        self.direct = Question(judge.system, f"{judge.user}\n{judge.choice_first}", choice_schema, _ALTERNATIVES)
        self._gives = None if judge.votes_from != "samples" else False
        self._finding_out = asyncio.Lock()

    async def vote(
        self, problem: str, contestants: Sequence[Candidate], *, count: int, first: int, seed: int, ledger: Ledger
    ) -> list[Vote]:
        """Cast votes number `first` to `first + count - 1`. See `tournament.base.Judge`.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        by_order: dict[int, list[int]] = {}
        for number in range(first, first + count):
            by_order.setdefault(number % len(contestants), []).append(number)
        results = await together(
            self._same_order(self.sample, problem, contestants, numbers, seed, ledger) for numbers in by_order.values()
        )
        votes: dict[int, Vote] = {}
        for numbers, result in zip(by_order.values(), results, strict=True):
            votes.update(zip(numbers, result, strict=True))
        return [votes[number] for number in sorted(votes)]

    async def weighs(self, ledger: Ledger) -> bool:
        """Whether the model gives probabilities: found out once, by a small question of its own.

        So how a match is judged depends neither on which match is the first nor on whether a tournament is resumed.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        async with self._finding_out:
            if self._gives is None:
                (vote,) = await self._same_order(self.direct, _TRIAL_PROBLEM, _TRIAL, [0], 0, ledger)
                self.ended(0, ledger)
                if vote.failure == "unavailable":
                    return False
                self._gives = bool(vote.shares)
        return self._gives

    async def weigh(self, problem: str, contestants: Sequence[Candidate], *, seed: int, ledger: Ledger) -> list[Vote]:
        """One vote in each order, by probabilities. See `tournament.base.WeighingJudge`.

        Raises:
            LimitExceeded, ModelConfigError.
        """
        results = await together(
            self._same_order(self.direct, problem, contestants, [number], seed, ledger)
            for number in range(len(contestants))
        )
        return [vote for result in results for vote in result]

    def ended(self, seed: int, ledger: Ledger) -> None:
        """See `tournament.base.EndingJudge`."""
        if (keeper := sessions_of(self.asker.model)) is not None:
            keeper.end(session_of(ledger, seed))

    async def _same_order(
        self,
        question: Question,
        problem: str,
        contestants: Sequence[Candidate],
        numbers: list[int],
        seed: int,
        ledger: Ledger,
    ) -> list[Vote]:
        shown = shown_order(contestants, numbers[0])
        plain = replace(question, alternatives=None)
        asked = [(self.asker, question)]
        if self.second and self._differ(shown):
            asked.append((self.second, plain))
        replies = await together(
            asker.ask(
                one,
                problem,
                shown,
                n=len(numbers),
                seed=request_seed(seed, numbers[0]),
                ledger=ledger,
                # One for each order, so that later votes of it find the whole prompt in the prefix cache.
                label_seed=request_seed(seed, numbers[0] % len(contestants)),
                session=session_of(ledger, seed),
            )
            for asker, one in asked
        )
        votes, *again = [self._votes(one, shown) for one in replies]
        return [_compared(vote, other) for vote, other in zip(votes, again[0], strict=True)] if again else votes

    def _differ(self, shown: Sequence[Candidate]) -> bool:
        """Whether there is anything that only the second view shows."""
        assert self.second is not None
        one, other = self.asker.config, self.second.config
        return any(view_of(c, one, one.candidate_chars) != view_of(c, other, one.candidate_chars) for c in shown)

    def _votes(self, asked: Asked, shown: Sequence[Candidate]) -> list[Vote]:
        ids = {label: candidate.id for label, candidate in zip(asked.labels, shown, strict=True)}
        return [self._vote(reply, asked, ids) for reply in asked.replies]

    def _vote(self, reply: Completion | None, asked: Asked, ids: dict[str, str]) -> Vote:
        """A reply as a vote; one that is not exactly what was asked for is an abstention."""
        order, labels = tuple(ids.values()), tuple(ids)
        said = read(reply.content, VoteReply) if reply else None
        if reply is None or said is None or said.choice not in ids:
            return Vote(order=order, labels=labels, choice=None, reason=asked.said, failure=asked.failure)
        reason = cut(for_model(said.reason), _REASON_CHARS)
        shares = self._shares(reply, labels)
        return Vote(order=order, labels=labels, choice=ids[said.choice], reason=reason, shares=shares)

    def _shares(self, reply: Completion, labels: tuple[str, ...]) -> tuple[float, ...]:
        """The labels' probabilities, where they are known and not those of one train of thought."""
        found = label_shares(reply.logprobs, labels)
        thought = bool((reply.reasoning or "").strip()) or (found is not None and found.preceded_by > _PREAMBLE_CHARS)
        if found is None or (thought and self.asker.config.votes_from == "auto"):
            return ()
        return found.shares


def _compared(vote: Vote, other: Vote) -> Vote:
    flipped = None not in (vote.choice, other.choice) and vote.choice != other.choice
    return vote.model_copy(update={"presentation_sensitive": flipped})
