"""Present candidates to a model as data, and parse its answer as data.

Rules appear only in the system message. All untrusted text is inside a JSON string in the single user message.
Candidates get labels that are drawn per question and occur in none of the texts shown, so no text can refer to one.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agents.errors import (
    ContextOverflow,
    ModelConfigError,
    ModelError,
    ModelRefused,
    ReplyInvalid,
    RequestRejected,
)
from agents.llm.base import ChatModel, Completion, Message, ResponseSchema, Sampling, Session
from agents.llm.ledger import Ledger
from agents.llm.session import session_id
from core.sanitize import for_model
from core.text import cut, fill, smaller
from tournament.base import Candidate, Failure
from tournament.config import JudgeConfig
from tournament.slots import seeded_hash
from tournament.view import FIELDS, view_of

Answer = TypeVar("Answer", bound=BaseModel)

_LETTERS, _DIGITS = "BCDFGHJKLMNPQRSTVWXZ", "23456789"
_SMALLEST_VIEW = 500


@dataclass(frozen=True, slots=True)
class Question:
    """A question about candidates.

    Attributes:
        system: Jinja2 template of the rules; receives `shown`, the field names that each candidate has, and
            `output_chars` of the view `probe`.
        user: Jinja2 template; receives `data` (JSON text) and `labels`.
        schema: builds the reply's schema from the labels.
        alternatives: log probabilities to request per token; None for none.
    """

    system: str
    user: str
    schema: Callable[[Sequence[str]], ResponseSchema]
    alternatives: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The result of one request.

    Attributes:
        labels: labels in candidate order.
        replies: completions; None for a missing one.
        failure: why unusable replies are unusable.
        said: the same for people, in the server's words if it gave any.
    """

    labels: tuple[str, ...]
    replies: tuple[Completion | None, ...]
    failure: Failure = "unreadable"
    said: str = "no usable reply"

    @property
    def texts(self) -> tuple[str, ...]:
        """Contents of the replies; empty for missing ones."""
        return tuple(reply.content if reply else "" for reply in self.replies)


class Asker:
    """Asks one model about candidates.

    Args:
        config: view, budgets and sampling.
        model: any chat model.
    """

    def __init__(self, config: JudgeConfig, model: ChatModel) -> None:
        self.config = config
        self.model = model

    async def ask(
        self,
        question: Question,
        problem: str,
        shown: Sequence[Candidate],
        *,
        n: int,
        seed: int,
        ledger: Ledger,
        label_seed: int | None = None,
        session: Session | None = None,
    ) -> Asked:
        """Get `n` replies to one request. If the model fails, there are none and the failure is reported.

        A request that exceeds the model's context is repeated with less text per candidate: reduced in proportion to
        the token count if that is known, else by half.

        Args:
            question: what to ask.
            problem: the task's statement.
            shown: the candidates, in presentation order.
            n: number of replies.
            seed: sampling seed.
            ledger: accounts for the model's tokens and enforces limits.
            label_seed: seed of the labels; defaults to `seed`. Requests with the same one share their complete prompt.
            session: the session that the request belongs to.

        Returns:
            The labels and replies.

        Raises:
            ModelConfigError: no request to the model can succeed.
            LimitExceeded: a limit of the ledger is reached.
        """
        budget, drawn = self.config.candidate_chars, seed if label_seed is None else label_seed
        sampling = Sampling(
            temperature=self.config.temperature,
            max_tokens=self.config.max_tokens,
            seed=seed % 2**31,
            logprobs=question.alternatives,
            session=session,
        )
        while True:
            labels, messages = self.messages(question, problem, shown, seed=drawn, budget=budget)
            try:
                reply = await self.model.complete(
                    messages, ledger=ledger, n=n, response_schema=question.schema(labels), sampling=sampling
                )
            except ModelConfigError:
                raise
            except ContextOverflow as error:
                size = partial(self._size, question, problem, shown, drawn)
                budget = smaller(budget, size, error.fitting_share, least=_SMALLEST_VIEW)
                if not budget:
                    return Asked(labels, (None,) * n, "too-long", str(error))
                continue
            except ModelError as error:
                return Asked(labels, (None,) * n, _failure(error), str(error))
            return Asked(labels, tuple([*reply.completions, *[None] * n][:n]))

    def _size(self, question: Question, problem: str, shown: Sequence[Candidate], seed: int, budget: int) -> int:
        """Size of the request in characters with this budget."""
        _, messages = self.messages(question, problem, shown, seed=seed, budget=budget)
        return sum(len(message["content"]) for message in messages)

    def messages(
        self, question: Question, problem: str, shown: Sequence[Candidate], *, seed: int, budget: int
    ) -> tuple[tuple[str, ...], list[Message]]:
        """Render the request.

        Args:
            question: what to ask.
            problem: the task's statement.
            shown: the candidates, in presentation order.
            seed: seed of the labels.
            budget: characters per candidate.

        Returns:
            The labels, in the order of `shown`, and the messages.
        """
        labels, data = self.data(problem, shown, seed=seed, budget=budget)
        return labels, [
            {
                "role": "system",
                "content": fill(
                    question.system, shown=FIELDS[self.config.view], output_chars=self.config.probe.output_chars
                ),
            },
            {"role": "user", "content": fill(question.user, data=data, labels=labels)},
        ]

    def data(self, problem: str, shown: Sequence[Candidate], *, seed: int, budget: int) -> tuple[tuple[str, ...], str]:
        """Draw labels and render the problem and the candidates as JSON text.

        Args:
            problem: the task's statement.
            shown: the candidates, in presentation order.
            seed: seed of the labels.
            budget: characters per candidate.

        Returns:
            The labels, in the order of `shown`, and the text.
        """
        view = [view_of(candidate, self.config, budget) for candidate in shown]
        statement = cut(for_model(problem), self.config.problem_chars)
        labels = draw_labels(len(shown), random.Random(seed), json.dumps([statement, view], ensure_ascii=False))
        # Labels are drawn per question. Placed after the text, they leave the text before them to the prefix cache.
        entries = [{**fields, "label": label} for label, fields in zip(labels, view, strict=True)]
        return labels, json.dumps({"problem": statement, "candidates": entries}, ensure_ascii=False)


def _failure(error: ModelError) -> Failure:
    match error:
        case RequestRejected():
            return "rejected"
        case ModelRefused():
            return "refused"
        case ReplyInvalid():
            return "unreadable"
    return "unavailable"


def draw_labels(count: int, rng: random.Random, text: str) -> tuple[str, ...]:
    """Draw labels such as `K7Q` that do not occur in the text, ignoring case.

    Labels start with different letters as long as there are enough, so that a reply's first token distinguishes them.

    Args:
        count: number of labels.
        rng: source of randomness.
        text: everything shown beside the labels.
    """
    found: list[str] = []
    haystack, length = text.upper(), 3
    while len(found) < count:
        for _ in range(200):
            label = "".join(rng.choice(_DIGITS if index % 2 else _LETTERS) for index in range(length))
            taken = label in found or (count <= len(_LETTERS) and label[0] in [one[0] for one in found])
            if label not in haystack and not taken:
                found.append(label)
                break
        else:
            length += 1
    return tuple(found)


def read(text: str, kind: type[Answer]) -> Answer | None:
    """Parse a reply as the given model, or return None. It must be the bare JSON object."""
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError:
        return None


def object_schema(name: str, properties: dict[str, Any]) -> ResponseSchema:
    """Build the schema of a closed object that requires all properties, in this order."""
    return ResponseSchema(
        name=name,
        json_schema={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    )


def session_of(ledger: Ledger, seed: int) -> Session:
    """The session of all requests about the same candidates.

    Args:
        ledger: of the tournament; its scope tells tasks and heats apart.
        seed: of the match.
    """
    return Session(id=session_id("votes", ledger.scope, seed))


def request_seed(seed: int, number: int) -> int:
    """Seed of the request that contains the given vote number."""
    return seeded_hash(seed, "request", number)
