"""The judge that asks a model: G candidates in one request, one choice in every reply."""

from collections.abc import Sequence

from agents.llm.base import ChatModel, ResponseSchema
from agents.llm.ledger import Ledger
from core.aio import together
from core.record import Record
from core.sanitize import for_model
from core.text import cut
from tournament.base import Candidate, Vote
from tournament.config import TournamentConfig
from tournament.presentation_order import shown_order
from tournament.prompt_judge import Asked, Asker, Question, object_schema, read, request_seed, view_of

_REASON_CHARS = 1500


class VoteReply(Record):
    """A reply to a vote's question; `choice` is a label."""

    reason: str
    choice: str


def vote_schema(labels: Sequence[str]) -> ResponseSchema:
    """The reply's schema: the reason comes before the choice."""
    return object_schema("vote", {"reason": {"type": "string"}, "choice": {"type": "string", "enum": list(labels)}})


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
        self.question = Question(config.judge.system, config.judge.user, vote_schema)

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
            self._same_order(problem, contestants, numbers, seed, ledger) for numbers in by_order.values()
        )
        votes: dict[int, Vote] = {}
        for numbers, result in zip(by_order.values(), results, strict=True):
            votes.update(zip(numbers, result, strict=True))
        return [votes[number] for number in sorted(votes)]

    async def _same_order(
        self, problem: str, contestants: Sequence[Candidate], numbers: list[int], seed: int, ledger: Ledger
    ) -> list[Vote]:
        shown = shown_order(contestants, numbers[0])
        askers = [self.asker, self.second] if self.second and self._differ(shown) else [self.asker]
        asked = await together(
            one.ask(
                self.question,
                problem,
                shown,
                n=len(numbers),
                seed=request_seed(seed, numbers[0]),
                ledger=ledger,
                # One for each order, so that later votes of it find the whole prompt in the prefix cache.
                label_seed=request_seed(seed, numbers[0] % len(contestants)),
            )
            for one in askers
        )
        votes, *again = [_votes(one, shown) for one in asked]
        return [_compared(vote, other) for vote, other in zip(votes, again[0], strict=True)] if again else votes

    def _differ(self, shown: Sequence[Candidate]) -> bool:
        """Whether there is anything that only the second view shows."""
        assert self.second is not None
        one, other = self.asker.config, self.second.config
        return any(view_of(c, one, one.candidate_chars) != view_of(c, other, one.candidate_chars) for c in shown)


def _compared(vote: Vote, other: Vote) -> Vote:
    flipped = None not in (vote.choice, other.choice) and vote.choice != other.choice
    return vote.model_copy(update={"presentation_sensitive": flipped})


def _votes(asked: Asked, shown: Sequence[Candidate]) -> list[Vote]:
    ids = {label: candidate.id for label, candidate in zip(asked.labels, shown, strict=True)}
    return [_vote(text, ids) for text in asked.replies]


def _vote(text: str, ids: dict[str, str]) -> Vote:
    """A reply as a vote; one that is not exactly what was asked for is an abstention."""
    reply = read(text, VoteReply)
    choice = ids.get(reply.choice) if reply else None
    reason = cut(for_model(reply.reason), _REASON_CHARS) if reply else "no usable reply"
    return Vote(order=tuple(ids.values()), labels=tuple(ids), choice=choice, reason=reason)
