"""Requests to a model for one JSON object, with untrusted material between marks that its authors cannot know."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agents.errors import ContextOverflow, ModelRefused, ReplyInvalid
from agents.llm.base import ChatModel, Message, ResponseSchema, Sampling, Session
from agents.llm.ledger import Ledger
from core.sanitize import for_model
from core.text import cut, fill
from heats.bank.config import BankConfig
from heats.bank.entry import Entry

Draft = TypeVar("Draft", bound=BaseModel)


class NoAnswer(Exception):
    """The model refused, or gave no reply of the requested form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who is asked, and at whose expense.

    Attributes:
        seed: of all requests.
        session: the session that they belong to.
    """

    model: ChatModel
    ledger: Ledger
    config: BankConfig
    seed: int
    session: Session | None = None

    async def ask(self, name: str, system: str, user: str, answer: type[Draft], schema: dict[str, Any]) -> Draft:
        """Ask for a JSON object, with a repair turn after each reply that does not match.

        Args:
            name: kind of reply, such as `bank-behaviour`.
            system: the rules.
            user: the material.
            answer: model of the reply.
            schema: its JSON schema, as sent.

        Raises:
            NoAnswer: no reply matches.
            ModelError, LimitExceeded
        """
        messages: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        config, problem = self.config, ""
        for turn in range(config.repairs + 1):
            sampling = Sampling(
                temperature=config.temperature,
                max_tokens=config.max_tokens,
                seed=self.seed % 2**31,
                turn=turn,
                session=self.session,
            )
            wanted = ResponseSchema(name=name, json_schema=schema)
            try:
                reply = await self.model.complete(
                    messages, ledger=self.ledger, response_schema=wanted, sampling=sampling
                )
                return answer.model_validate(json.loads(reply.first.content))
            except (ReplyInvalid, ModelRefused, ContextOverflow) as error:
                raise NoAnswer(str(error)) from error
            except (ValidationError, ValueError, RecursionError) as error:
                problem = " ".join(str(error).split())[:300]
            fix = fill(config.repair, error=for_model(problem))
            messages = [*messages, reply.first.message, {"role": "user", "content": fix}]
        raise NoAnswer(f"no reply of {self.model.name} fits: {problem}")


def nonce_of(seed: int, *texts: str) -> str:
    """A mark for quoted material, which its authors cannot know."""
    return hashlib.sha256("\x1f".join((str(seed), *texts)).encode("utf-8", "replace")).hexdigest()[:12]


def listed(entries: Sequence[Entry], chars: int = 2000) -> list[dict[str, str]]:
    """Entries as a prompt lists them: id, kind, name, cues and text, sanitized.

    Args:
        entries: the entries.
        chars: maximum characters of a text; cues have half as many. The default is the most that a writer can write: it
            is to change entries, so it has to see them whole.
    """
    return [
        {
            "id": entry.id,
            "kind": _line(entry.kind),
            "name": _line(entry.name),
            "cues": cut(_line("; ".join(entry.cues)), chars // 2),
            "text": cut(for_model(entry.text).strip(), chars),
            "commit": entry.scope.commit[:12],
        }
        for entry in entries
    ]


def _line(text: str) -> str:
    return " ".join(for_model(text).split())
