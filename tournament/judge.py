"""A judge backed by a chat model: G candidates per request, one choice per reply."""

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

REASON_CHARS = 1500
_ALTERNATIVES = 20
"""Log probabilities requested per token, the maximum that servers offer."""
_PREAMBLE_CHARS = 120
"""A choice later in the reply follows reasoning, so its probability reflects only one sampled line of thought."""
_TRIAL_PROBLEM = "The function must return the sum of its two arguments; it returns their difference."
_TRIAL = tuple(
    Candidate(id=name, summary=text, patch=f"+    {text}", trajectory=text, evidence=text)
    for name, text in (("plus", "return a + b"), ("times", "return a * b"))
)


class VoteReply(Record):
    """Reply to a vote; `choice` is a label."""

    reason: str
    choice: str


def vote_schema(labels: Sequence[str]) -> ResponseSchema:
    """Schema of a vote in which the reason precedes the choice."""
    return object_schema("vote", {"reason": {"type": "string"}, "choice": {"type": "string", "enum": list(labels)}})


def choice_schema(labels: Sequence[str]) -> ResponseSchema:
    """Schema of a vote in which the choice comes first, so that its probability does not depend on a sampled reason."""
    properties = vote_schema(labels).json_schema["properties"]
    return object_schema("vote", {name: properties[name] for name in ("choice", "reason")})


class ModelJudge:
    """Compares candidates with a chat model.

    Votes in the same presentation order share one request (`n`); different orders are requested concurrently.

    Args:
        config: what is shown (`config.judge`), and how the model is asked.
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
        """Cast votes number `first` to `first + count - 1`; see `tournament.base.Judge`.

        Args:
            problem: the task's statement.
            contestants: the G candidates to compare, in slot order.
            count: number of votes to cast.
            first: number of the first vote, which determines its presentation order.
            seed: seed of the match.
            ledger: accounts for the model's tokens and enforces limits.

        Returns:
            `count` votes, in the order of their numbers.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
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
        """Return whether the model provides probabilities, determined once with a small trial question.

        The way matches are judged therefore depends neither on which match comes first nor on whether a tournament is
        resumed.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
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
        """Cast one vote per presentation order, by probabilities; see `tournament.base.WeighingJudge`.

        Args:
            problem: the task's statement.
            contestants: the G candidates to compare, in slot order.
            seed: seed of the match.
            ledger: accounts for the model's tokens and enforces limits.

        Returns:
            G votes, one per presentation order.

        Raises:
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
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
                # One seed per order, so that later votes in that order find the whole prompt in the prefix cache.
                label_seed=request_seed(seed, numbers[0] % len(contestants)),
                session=session_of(ledger, seed),
            )
            for asker, one in asked
        )
        votes, *again = [self._votes(one, shown) for one in replies]
        return [_compared(vote, other) for vote, other in zip(votes, again[0], strict=True)] if again else votes

    def _differ(self, shown: Sequence[Candidate]) -> bool:
        """Whether the second view shows anything that the first does not."""
        assert self.second is not None
        one, other = self.asker.config, self.second.config
        return any(view_of(c, one, one.candidate_chars) != view_of(c, other, one.candidate_chars) for c in shown)

    def _votes(self, asked: Asked, shown: Sequence[Candidate]) -> list[Vote]:
        ids = {label: candidate.id for label, candidate in zip(asked.labels, shown, strict=True)}
        return [self._vote(reply, asked, ids) for reply in asked.replies]

    def _vote(self, reply: Completion | None, asked: Asked, ids: dict[str, str]) -> Vote:
        """Convert a reply to a vote; anything but exactly what was asked for is an abstention."""
        order, labels = tuple(ids.values()), tuple(ids)
        parsed = read(reply.content, VoteReply) if reply else None
        if reply is None or parsed is None or parsed.choice not in ids:
            return Vote(order=order, labels=labels, choice=None, reason=asked.said, failure=asked.failure)
        reason = cut(for_model(parsed.reason), REASON_CHARS)
        shares = self._shares(reply, labels)
        return Vote(order=order, labels=labels, choice=ids[parsed.choice], reason=reason, shares=shares)

    def _shares(self, reply: Completion, labels: tuple[str, ...]) -> tuple[float, ...]:
        """The labels' probabilities, if known and not conditioned on one line of thought."""
        found = label_shares(reply.logprobs, labels)
        thought = bool((reply.reasoning or "").strip()) or (found is not None and found.preceded_by > _PREAMBLE_CHARS)
        if found is None or (thought and self.asker.config.votes_from == "auto"):
            return ()
        return found.shares


def _compared(vote: Vote, other: Vote) -> Vote:
    flipped = None not in (vote.choice, other.choice) and vote.choice != other.choice
    return vote.model_copy(update={"presentation_sensitive": flipped})
