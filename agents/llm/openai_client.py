"""The client for OpenAI-compatible servers, vLLM first.

One call is one or more HTTP requests: retries by `retry.py`, `n` asked at once or one by one, a repair turn for a
reply that breaks its schema. Each request passes the endpoint's circuit breaker and concurrency limit, is checked
against the ledger before it is sent and charged before its reply is read.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

from agents.errors import (
    ContextOverflow,
    ModelConfigError,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    ReplyInvalid,
)
from agents.llm.base import Completion, Message, Reply, ResponseSchema, Sampling, ToolSpec
from agents.llm.chat_http import ConnectError, StatusError
from agents.llm.config import ModelConfig
from agents.llm.counters import Counters
from agents.llm.endpoint import AdaptiveLimit, BusyTime, CircuitBreaker
from agents.llm.ledger import Ledger, Usage
from agents.llm.overflow import made_to_fit
from agents.llm.quirks import Quirks
from agents.llm.replies import completions_of, decode, usage_of
from agents.llm.requests import Call
from agents.llm.retry import RequestFailed, RetryDecision, classify, persist, retrying
from agents.llm.server import Server
from agents.llm.structured import ask_again, extract
from core.aio import together

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_BACKOFF_BASE_S = 0.5


class _AskDifferently(Exception):
    """The server rejected a feature; the request can be built without it."""


class OpenAIModel:
    """A `ChatModel` behind an OpenAI-compatible server.

    Args:
        config: the model and its server.
        api_key: sent as bearer token; kept in memory only.

    Raises:
        ModelConfigError: there is no base URL.
    """

    def __init__(self, config: ModelConfig, *, api_key: str | None = None) -> None:
        self.config = config
        self.name = config.name
        self.text_protocol = config.text_protocol
        self.limit = AdaptiveLimit(config.max_concurrency)
        self.busy = BusyTime()
        self.breaker = CircuitBreaker(cap_s=config.backoff_cap_s)
        self.quirks = Quirks()
        self._api_key = api_key or "none"
        self._proven = False  # that the model works as configured: one request was answered
        self.server = Server(config, self._api_key)

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        ledger: Ledger,
        tools: Sequence[ToolSpec] = (),
        tool_choice: Literal["auto", "required", "none"] = "auto",
        n: int = 1,
        response_schema: ResponseSchema | None = None,
        sampling: Sampling | None = None,
    ) -> Reply:
        """Ask for `n` completions; see `ChatModel.complete`.

        With a `response_schema`, content that satisfies it is the bare JSON text. A completion that breaks it even
        after a repair turn stays as it is when others are sound, so callers validate; if none is: `ReplyInvalid`.
        """
        deadline = time.monotonic() + self.config.call_deadline_s
        call = Call(
            messages=messages,
            tools=tools,
            tool_choice=tool_choice,
            response_schema=response_schema,
            sampling=sampling or Sampling(),
            deadline=deadline,
        )
        spent = ledger.child(ledger.scope)  # so that the charge tells whose it is
        try:
            async with asyncio.timeout(self.config.call_deadline_s):
                completions = await self._sample(call, spent, n)
                if all(completion.finish_reason == "content_filter" for completion in completions):
                    raise ModelRefused("the model or its server refused to answer")
                if response_schema is not None:
                    completions = await self._made_valid(call, response_schema, completions, spent)
        except TimeoutError:
            why = call.problems[-1] if call.problems else "the server is slow or busy"
            raise ModelUnavailable(f"no usable reply within {self.config.call_deadline_s:g} s: {why}") from None
        return Reply(completions=tuple(completions), usage=spent.spent, model=self.name)

    async def _sample(self, call: Call, ledger: Ledger, n: int) -> list[Completion]:
        """`n` completions: at once where the server takes `n`, the missing ones one by one."""
        done: list[Completion] = []
        if n > 1 and self.quirks.takes_n:
            done = await self._ask_adapting(call, ledger, n)
        if len(done) == 1 < n:
            self.quirks.takes_n = False
        missing = [self._ask_adapting(call.with_seed_offset(at), ledger, 1) for at in range(len(done), n)]
        for more in await together(missing):
            done += more
        return done[:n]

    async def _ask_adapting(self, call: Call, ledger: Ledger, n: int) -> list[Completion]:
        while True:
            try:
                return await self._ask(call, n, ledger)
            except _AskDifferently:
                if not self.quirks.takes_n:
                    n = 1
            except ContextOverflow as error:
                call = await made_to_fit(call, error, self.server, self.quirks)

    async def _ask(self, call: Call, n: int, ledger: Ledger) -> list[Completion]:
        """One request with its retries."""

        def notice(decision: RetryDecision) -> None:
            call.problems.append(str(decision.error))
            _log.info("asking %s again: %s", self.name, decision.error)

        policy = partial(
            retrying,
            max_attempts=self.config.max_attempts,
            deadline=call.deadline,
            base_s=min(_BACKOFF_BASE_S, self.config.backoff_cap_s),
            cap_s=self.config.backoff_cap_s,
            notice=notice,
        )
        body = call.body(n, self.config, self.quirks)
        try:
            return await persist(lambda: self._attempt(body, ledger), policy)
        except RequestFailed as failed:
            raise failed.decision.error from failed.__cause__

    async def _attempt(self, body: dict[str, Any], ledger: Ledger) -> list[Completion]:
        probe = await self.breaker.admit()
        try:
            async with self.limit.hold():
                ledger.check()
                completions = await self._exchange(body, ledger)
            self._answered()
            self._proven = True
            return completions
        except _AskDifferently:
            self._answered()
            raise
        except Exception as error:
            decision = self._without_key(classify(error))
            if decision.request_only and self._proven:
                decision = replace(decision, error=ModelRefused(str(decision.error)))
            self._account(decision)
            raise RequestFailed(decision) from error
        finally:
            if probe:
                self.breaker.release()

    def _answered(self) -> None:
        self.limit.succeeded()
        self.breaker.succeeded()

    def _account(self, decision: RetryDecision) -> None:
        if decision.server_down:
            self.breaker.failed()
            return
        if decision.sent:
            self.breaker.succeeded()
        if decision.kind == "rate_limit":
            self.limit.throttled()

    def _without_key(self, decision: RetryDecision) -> RetryDecision:
        text = str(decision.error)
        if self._api_key == "none" or self._api_key not in text:
            return decision
        return replace(decision, error=type(decision.error)(text.replace(self._api_key, "<key>")))

    async def _exchange(self, body: dict[str, Any], ledger: Ledger) -> list[Completion]:
        """One HTTP request; its tokens are charged whether or not its reply is of use."""
        usage, since = Usage(calls=1), self.busy.enter()
        try:
            payload = decode(await self.server.chat(body))
            usage = usage_of(payload)
        except ConnectError:
            usage = Usage()
            raise
        except StatusError as error:
            if error.status in (400, 422) and self.quirks.learn(str(error.body or error), body):
                raise _AskDifferently from error
            raise
        finally:
            ledger.charge(self._priced(usage, self.busy.leave(since)))
        completions, _ = completions_of(payload, send_reasoning=self.config.send_reasoning)
        return completions

    def _priced(self, usage: Usage, server_s: float) -> Usage:
        prices = self.config.prices
        return usage if prices is None else usage.model_copy(update={"cost_usd": prices.cost(usage, server_s)})

    async def _made_valid(
        self, call: Call, schema: ResponseSchema, completions: list[Completion], ledger: Ledger
    ) -> list[Completion]:
        checked = await together([self._repaired(call, schema, one, ledger) for one in completions])
        if not any(sound for _, sound in checked):
            raise ReplyInvalid(f"no reply satisfied the {schema.name} schema, not even after a repair turn")
        return [completion for completion, _ in checked]

    async def _repaired(
        self, call: Call, schema: ResponseSchema, completion: Completion, ledger: Ledger
    ) -> tuple[Completion, bool]:
        """The completion with bare JSON content, after one repair turn if need be; and whether it is sound."""
        found, problem = extract(completion.content, schema.json_schema)
        if found is not None:
            return completion.model_copy(update={"content": found}), True
        if completion.finish_reason == "content_filter":
            return completion, False
        if completion.finish_reason == "length":
            problem = "it was cut at the token limit, so write less"
        again = replace(call, messages=ask_again(call.messages, completion.message, problem))
        try:
            (second,) = await self._ask_adapting(again, ledger, 1)
        except (ModelUnavailable, ModelConfigError):
            raise
        except ModelError:
            return completion, False
        found, _ = extract(second.content, schema.json_schema)
        return (completion, False) if found is None else (second.model_copy(update={"content": found}), True)

    async def preflight(self) -> Mapping[str, Any]:
        """Check that the server answers and serves the model; see `ChatModel.preflight`."""
        try:
            models = await self.server.models()
        except Exception as error:
            decision = self._without_key(classify(error))
            raise _preflight_error(decision.error, self.config, self.server.base_url) from error
        if models and self.name not in models:
            raise ModelConfigError(
                f"{self.server.base_url} does not serve {self.name!r}; it serves {', '.join(models)}"
            )
        facts = {"context_length": models.get(self.name, {}).get("max_model_len"), "vllm": await self.server.version()}
        return {"model": self.name, **{name: value for name, value in facts.items() if value is not None}}

    @property
    def place(self) -> str:
        """See `Metered`."""
        return self.server.root

    async def counters(self) -> Counters | None:
        """What the server counts itself; see `Metered.counters`."""
        return await self.server.counters()

    def join(self, other: "OpenAIModel") -> None:
        """Share what belongs to the server with another model of it; the smaller concurrency holds for both."""
        other.limit.lower(self.limit.ceiling)
        self.limit, self.busy, self.breaker = other.limit, other.busy, other.breaker

    async def close(self) -> None:
        """Release connections."""
        await self.server.close()


def _preflight_error(error: Exception, config: ModelConfig, place: str) -> Exception:
    if isinstance(error, ModelConfigError):
        hint = f" (the key is read from {config.api_key_env})" if "answered 401" in str(error) else ""
        return ModelConfigError(f"{place}: {error}{hint}")
    if isinstance(error, ModelError):
        return ModelUnavailable(f"cannot use the model server at {place}: {error}")
    return error


def open_endpoint(config: ModelConfig) -> OpenAIModel:
    """A client for a configuration; key and default base URL come from the environment, by name."""
    base_url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    return OpenAIModel(config.model_copy(update={"base_url": base_url}), api_key=os.environ.get(config.api_key_env))
