"""From a request of the gateway to the rollout's chat model: limits, sampling, unusable replies, and its end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from agents.base import Assignment
from agents.errors import (
    ContextOverflow,
    LimitExceeded,
    ModelConfigError,
    ModelError,
    ModelRefused,
    ReplyInvalid,
    ToolsNotTaken,
)
from agents.gateway.in_text import InText
from agents.gateway.record import Record
from agents.gateway.wire import Answer, Asked, Refused
from agents.llm.base import ChatModel, Completion, Message, Reply, Sampling
from agents.llm.ledger import Ledger, Usage
from agents.trajectory import LIMIT_EXITS, Exit
from core.sanitize import for_model

_TRIES = 3
"""Requests for a reply of whose calls at least one is usable; an agent takes a reply without calls for the end."""
_MOST_TRIES = 3
"""Most requests of an agent for each reply that its step limit allows, since some get none."""


class Asking:
    """The model as one rollout's agent sees it.

    Args:
        model: answers the requests.
        ledger: accounts for the tokens and enforces the rollout's limits.
        assignment: supplies seed, sampling and session.
        step_limit: number of replies after which the rollout ends.
        seen: called after every reply, and with the results of its calls.

    Attributes:
        record: the rollout's trajectory so far.
        replies: number of replies.
        over: set once no further request can succeed; `exit` or `error` then say why.
        exit: how the rollout ends, because of a limit or the model.
        error: no rollout can succeed with the model as configured.
        problem: what was wrong with the latest request, in case the agent gives up because of it.
    """

    def __init__(
        self,
        model: ChatModel,
        ledger: Ledger,
        assignment: Assignment,
        *,
        step_limit: int,
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.ledger, self.assignment = model, ledger, assignment
        self.record = Record()
        self.replies = 0
        self.over = asyncio.Event()
        self.exit: Exit | None = None
        self.error: ModelConfigError | None = None
        self.problem: Exit | None = None
        self._step_limit, self._seen = step_limit, seen
        self._requests = self._in_flight = 0

    async def answer(self, asked: Asked) -> Answer:
        """Ask the model, and record request and reply.

        Raises:
            Refused: there is no answer.
        """
        used = self.replies + self._in_flight
        if used >= self._step_limit or self._requests >= _MOST_TRIES * self._step_limit:
            limit = Exit(kind="step_limit", detail=f"{self._step_limit} steps")
            self._end(limit if used >= self._step_limit else self.problem or limit)
        if self.over.is_set():
            raise Refused(
                "limit", f"this rollout is over: {self.exit.kind if self.exit else 'the model cannot be used'}"
            )
        turn, self._requests = self._requests, self._requests + 1
        asked = replace(asked, messages=self.record.with_known_ids(asked.messages))
        self.record.heard(asked.messages)
        if self.record.steps and self.record.steps[-1].observations:
            self._seen()
        self._in_flight += 1
        try:
            completion, usage, latest = await self._translated(asked, turn)
        finally:
            self._in_flight -= 1
        self.problem, completion = None, self.record.distinct(completion)
        self.record.replied(completion, usage)
        self.replies += 1
        self._seen()
        return Answer(f"{turn:06}", asked, completion, latest, int(time.time()))

    async def _translated(self, asked: Asked, turn: int) -> tuple[Completion, Usage, Usage]:
        """Ask the model, and translate its errors."""
        try:
            return await self._usable(asked, turn)
        except LimitExceeded as error:
            self._end(Exit(kind=LIMIT_EXITS[error.kind], detail=str(error)))
            raise Refused("limit", str(error)) from error
        except ModelConfigError as error:
            if await self._works_otherwise():
                self.problem = Exit(kind="model_error", detail=str(error))
                raise Refused("refused", str(error)) from error
            self.error = error
            self.over.set()
            raise Refused("limit", str(error)) from error
        except ContextOverflow as error:
            self.problem = Exit(kind="context_overflow", detail=str(error))
            raise Refused("context", str(error)) from error
        except ModelRefused as error:
            self.problem = Exit(kind="model_error", detail=str(error))
            raise Refused("refused", str(error)) from error
        except ModelError as error:
            self._end(Exit(kind="model_error", detail=str(error)))
            raise Refused("unavailable", str(error)) from error

    async def _works_otherwise(self) -> bool:
        """Whether a plain request succeeds, so that the agent's request is wrong and not the configuration."""
        hello: list[Message] = [{"role": "user", "content": "hello"}]
        try:
            await self.model.complete(hello, ledger=self.ledger, sampling=Sampling(max_tokens=16, grows=False))
        except Exception:
            return False
        return True

    async def _usable(self, asked: Asked, turn: int) -> tuple[Completion, Usage, Usage]:
        """Ask until a reply has a usable call or contains none, in text if the model takes no tools.

        Returns:
            The reply; the usage of all requests for it, and that of the last, which tells an agent how long its
            conversation is.
        """
        spent = self.ledger.child(self.ledger.scope)
        for attempt in range(_TRIES):
            before = spent.spent
            reply = await self._reply(asked, self._sampling(asked, turn, attempt), spent)
            done = reply.first
            if done.tool_calls or not done.problems:
                break
        else:
            told = "; ".join(done.problems)
            content = f"{done.content}\n\n(That could not be run: {told}.)".strip()
            said = {"content": content, "message": {"role": "assistant", "content": content}}
            done = done.model_copy(update={**said, "finish_reason": "stop"})
        return done, spent.spent, spent.spent - before

    async def _reply(self, asked: Asked, sampling: Sampling, ledger: Ledger) -> Reply:
        messages = [_for_model(message) for message in self.record.restored(asked.messages)]
        if not self._wants_text or not asked.tools:
            try:
                return await self._complete(asked, messages, sampling, ledger)
            except ToolsNotTaken:
                if not self._wants_text:
                    raise
        text = InText(asked.tools)
        reply = await self._complete(asked, text.messages(messages), sampling, ledger, in_text=True)
        return reply.model_copy(update={"completions": (text.completion(reply.first, len(messages)),)})

    async def _complete(
        self, asked: Asked, messages: list[Message], sampling: Sampling, ledger: Ledger, *, in_text: bool = False
    ) -> Reply:
        try:
            return await self.model.complete(
                messages,
                ledger=ledger,
                tools=() if in_text else asked.tools,
                tool_choice="auto" if in_text else asked.tool_choice,
                response_schema=asked.response_schema,
                sampling=sampling,
            )
        except ReplyInvalid as error:
            if isinstance(error.reply, Reply):
                return error.reply
            raise

    @property
    def _wants_text(self) -> bool:
        return bool(getattr(self.model, "text_protocol", False))

    def _sampling(self, asked: Asked, turn: int, attempt: int) -> Sampling:
        """Sampling of one request. What the run's configuration sets goes before what the agent asks for."""
        given, settings = self.assignment.sampling, getattr(self.model, "config", None)
        seed = self.assignment.seed if given.seed is None else given.seed
        update: dict[str, object] = {"seed": seed + attempt, "turn": turn, "logprobs": asked.logprobs}
        for name in ("temperature", "top_p"):
            if getattr(given, name) is None and getattr(settings, name, None) is None:
                update[name] = getattr(asked, name)
        most = given.max_tokens or getattr(settings, "max_tokens", None)
        if asked.max_tokens is not None:
            update["max_tokens"] = min(asked.max_tokens, most) if most else asked.max_tokens
            update["grows"] = False
        return given.model_copy(update=update)

    def _end(self, end: Exit) -> None:
        self.exit = self.exit or end
        self.over.set()


def _for_model(message: Message) -> Message:
    """Break chat markers in what tools printed: most agents send it as it is, and it must not open a turn."""
    content = message.get("content")
    if message["role"] not in ("tool", "user") or not isinstance(content, str):
        return message
    return {**message, "content": for_model(content)}
