"""Puts candidates before a model as data, and reads its answer as data.

Rules stand in the system message only. Everything that somebody else wrote is a JSON string in the one user message;
candidates have labels that are drawn for each question and occur in no text shown, so that no text can name one.
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
    """What is asked about candidates.

    Attributes:
        system: Jinja2 template of the rules; gets `shown`, the names of the fields that each candidate has.
        user: Jinja2 template; gets `data` (JSON text) and `labels`.
        schema: makes the reply's schema from the labels.
        alternatives: log probabilities to ask for at every token; None for none.
    """

    system: str
    user: str
    schema: Callable[[Sequence[str]], ResponseSchema]
    alternatives: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What came back of one request.

    Attributes:
        labels: in the order of the candidates.
        replies: completions; None for one that is missing.
        failure: why replies that cannot be read cannot be.
        said: the same for a person: the server's words where it gave any.
    """

    labels: tuple[str, ...]
    replies: tuple[Completion | None, ...]
    failure: Failure = "unreadable"
    said: str = "no usable reply"

    @property
    def texts(self) -> tuple[str, ...]:
        """The replies' contents; missing ones are empty."""
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
        """Get `n` replies of one request. A model that fails gives none, and the failure is told.

        A request that does not fit the model's context is asked again with less of every candidate: as much less as
        the tokens say that somebody counted, else half.

        Args:
            seed: of the sampling.
            label_seed: of the labels, `seed` if not given. Requests that share it share their whole prompt.
            session: that the request belongs to.

        Raises:
            ModelConfigError, LimitExceeded.
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
        """Characters of the request with this budget."""
        _, messages = self.messages(question, problem, shown, seed=seed, budget=budget)
        return sum(len(message["content"]) for message in messages)

    def messages(
        self, question: Question, problem: str, shown: Sequence[Candidate], *, seed: int, budget: int
    ) -> tuple[tuple[str, ...], list[Message]]:
        """The labels drawn and the request's messages."""
        view = [view_of(candidate, self.config, budget) for candidate in shown]
        statement = cut(for_model(problem), self.config.problem_chars)
        labels = draw_labels(len(shown), random.Random(seed), json.dumps([statement, view], ensure_ascii=False))
        # A label is drawn anew for each question: behind the text, it leaves the text before it to the prefix cache.
        entries = [{**fields, "label": label} for label, fields in zip(labels, view, strict=True)]
        data = json.dumps({"problem": statement, "candidates": entries}, ensure_ascii=False)
        return labels, [
            {"role": "system", "content": fill(question.system, shown=FIELDS[self.config.view])},
            {"role": "user", "content": fill(question.user, data=data, labels=labels)},
        ]


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
    """Draw labels such as `K7Q` that occur nowhere in the text, whatever the case of its letters.

    They begin with different letters as long as there are enough, so that a reply's first token tells them apart.
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
    """A reply as what it must be, or None. Nothing but the JSON object itself is looked at."""
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError:
        return None


def object_schema(name: str, properties: dict[str, Any]) -> ResponseSchema:
    """A closed object with all properties required, in this order."""
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
    """The seed of the request that carries this vote number."""
    return seeded_hash(seed, "request", number)
