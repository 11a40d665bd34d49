"""The seam of step choosers: a turn to decide in, what can be asked, and what was proposed."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agents.choose.config import CHOOSERS, ChooserConfig
from agents.errors import LimitExceeded, ModelConfigError, ModelError
from agents.llm.base import ChatModel, Completion, Message, Reply, ResponseSchema, Sampling, ToolCall
from agents.llm.ledger import Ledger, Usage
from agents.trajectory import Proposal
from core.sanitize import for_model
from core.text import elide, fill

Choice = tuple[Reply, tuple[Proposal, ...]]
"""The reply to act on, its first completion, with the usage of all requests; and what else was proposed."""
_SHOWN = 3000
"""Characters kept from the beginning and from the end of a proposal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of an agent, before anything is acted on.

    Attributes:
        messages: the conversation so far.
        means: arguments of `ChatModel.complete` that specify how the model expresses its calls.
        model: the rollout's model; `drafter` is a second, cheaper one, if there is one.
        sampling: of this turn's request.
        calls: reads the calls in a completion.
    """

    messages: Sequence[Message]
    means: Mapping[str, Any]
    model: ChatModel
    drafter: ChatModel | None
    ledger: Ledger
    sampling: Sampling
    calls: Callable[[Completion], tuple[ToolCall, ...]]

    async def ask(self, *, n: int = 1, variant: int = 0, model: ChatModel | None = None) -> Reply:
        """Ask for the next message.

        Args:
            n: number of completions.
            variant: another number gives another seed.
            model: who is asked; by default the rollout's model.

        Raises:
            ModelError, LimitExceeded
        """
        seed = self.sampling.seed
        moved = self.sampling if seed is None or not variant else _moved(self.sampling, seed, variant)
        extra: dict[str, Any] = {"n": n} if n > 1 else {}
        asked = model or self.model
        return await asked.complete(self.messages, ledger=self.ledger, sampling=moved, **self.means, **extra)

    async def question(self, text: str, schema: ResponseSchema) -> tuple[Mapping[str, Any] | None, Usage]:
        """Ask the rollout's model about proposals, at the end of the conversation, which keeps its prefix.

        Args:
            text: the question.
            schema: schema of the answer.

        Returns:
            The answer, or None if there is no usable one, or the server or a limit prevents it; and what it cost.

        Raises:
            ModelConfigError
        """
        before = self.ledger.spent
        tools = {"tools": self.means["tools"], "tool_choice": "none"} if self.means.get("tools") else {}
        try:
            reply = await self.model.complete(
                [*self.messages, {"role": "user", "content": text}],
                ledger=self.ledger,
                response_schema=schema,
                sampling=self.sampling.model_copy(update={"temperature": 0.0}),
                **tools,
            )
            answer = json.loads(reply.first.content)
        except ModelConfigError:
            raise
        except (ModelError, LimitExceeded, ValueError, RecursionError):
            return None, self.ledger.spent - before
        return (answer if isinstance(answer, dict) else None), self.ledger.spent - before

    def ask_about(self, template: str, about: Sequence[Completion], **more: Any) -> str:
        """Fill in a question about proposals, which are quoted as material.

        Args:
            template: receives `nonce` and what is in `more`.
            about: the completions that `more` quotes.
            more: further variables.
        """
        texts = [json.dumps([one.content, key_of(self.calls(one))]) for one in about]
        digest = hashlib.sha256("\x1f".join((str(self.sampling.seed), *texts)).encode("utf-8", "replace"))
        return fill(template, nonce=digest.hexdigest()[:12], **more)

    def shown(self, completion: Completion) -> str:
        """A proposal as text for a judge."""
        calls = [f"{call.name} {_readable(call.arguments)}" for call in self.calls(completion)]
        return elide(for_model("\n".join([completion.content.strip(), *calls]).strip()), _SHOWN, _SHOWN)[0]


class StepChooser(Protocol):
    """Decides which message an agent acts on.

    Example:
        >>> class Second:
        ...     def __init__(self, config: ChooserConfig) -> None: ...
        ...     async def choose(self, turn: Turn) -> Choice:
        ...         first, second = await turn.ask(), await turn.ask(variant=1)
        ...         return second, (proposal_of(turn, first.first),)
    """

    async def choose(self, turn: Turn) -> Choice:
        """Return the reply to act on, with the usage of all requests, and the other proposals for the record.

        Args:
            turn: what the conversation is, and how to ask.

        Raises:
            ModelError, LimitExceeded
        """
        ...


def open_chooser(config: ChooserConfig) -> StepChooser:
    """Construct the chooser that a configuration names.

    Raises:
        UnknownPart, InvalidOptions
    """
    chooser: StepChooser = CHOOSERS.open(config.name, config, options=config.options, key="agent.chooser.options")
    return chooser


def proposal_of(turn: Turn, completion: Completion, **more: Any) -> Proposal:
    """A completion for the record.

    Args:
        turn: the turn it was proposed in.
        completion: the completion.
        more: further fields.
    """
    return Proposal(content=completion.content, tool_calls=turn.calls(completion), **more)


def key_of(calls: Sequence[ToolCall]) -> str:
    """What proposals that do the same have in common."""
    return json.dumps([(call.name, _readable(call.arguments)) for call in calls])


def with_usage(reply: Reply, *more: Usage) -> Reply:
    """The reply with the usage of further requests added."""
    return reply.model_copy(update={"usage": sum(more, reply.usage)})


def _readable(arguments: str) -> str:
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, dict) and list(value) == ["command"]:
        return str(value["command"]).strip()
    return json.dumps(value, sort_keys=True)


def _moved(sampling: Sampling, seed: int, variant: int) -> Sampling:
    return sampling.model_copy(update={"seed": (seed + variant * 0xC2B2AE35) % 2**31})
