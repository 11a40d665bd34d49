"""The client for OpenAI-compatible servers, vLLM first.

A call makes one or more HTTP requests: retries (`retry.py`), `n` choices together or one by one, a higher token limit
for a reply truncated before it holds anything useful, a repair turn for a reply that violates its schema. Each request
passes the endpoint's circuit breaker and concurrency limit; the ledger is checked before the request is sent and
charged before the reply is parsed.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any, Literal

from agents.errors import (
    ContextOverflow,
    ModelConfigError,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    ReplyInvalid,
    RequestRejected,
    ToolsNotTaken,
)
from agents.llm.base import Completion, Message, Reply, ResponseSchema, Sampling, Session, ToolSpec
from agents.llm.chat_http import ConnectError, StatusError
from agents.llm.config import ModelConfig
from agents.llm.ledger import Ledger, Usage
from agents.llm.overflow import made_to_fit
from agents.llm.pool import Endpoint, Pool
from agents.llm.quirks import Quirks, without_echo
from agents.llm.replies import CUT, LOOPED, Question, completions_of, decode, usage_of
from agents.llm.requests import Call
from agents.llm.retry import RequestFailed, RetryDecision, classify, persist, retrying
from agents.llm.server import Server, preflight_error
from agents.llm.structured import ask_again, extract
from agents.tools import BASH
from core.aio import together

_log = logging.getLogger(__name__)
_BACKOFF_BASE_S = 0.5
_GROWTH, _MOST_GROWTHS = 4, 3
"""Growth factor of the token limit for a reply truncated before it is useful, and maximum number of increases."""
_MARGIN = 32
"""Safety margin in tokens between a prompt of known length and the context length."""
_EXCHANGE: Sequence[Message] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "goodbye"},
)
"""A conversation that shows how a chat template writes each role."""
_HELLO: Sequence[Message] = ({"role": "user", "content": "hello"},)
_NOT_SERVED = re.compile(r"answered (404|401|403)|model.{0,80}(not (exist|found)|unknown|invalid)", re.IGNORECASE)
_LEAST_CEILING = 128
"""Minimum default for the limit on requests in flight, if not configured."""
_ASKING_S = 60.0
"""Timeout of the preflight request for a model that is missing from the server's list, in seconds."""


class _AskDifferently(Exception):
    """The server rejected a feature; the request can be built without it."""


class OpenAIModel:
    """A `ChatModel` behind an OpenAI-compatible server.

    Args:
        config: the model and its server.
        api_key: sent as bearer token; kept in memory only.
        workers: number of concurrent rollouts; determines the limit on requests in flight if none is configured.

    Attributes:
        servers: the servers of the model.
        text_protocol: whether agents use text in place of tool calls, either as configured or because the chat template
            turns out to omit tools.
        drops_tools: whether the chat template omits tools; None if unknown.
        notes: one-time messages to the user about how the model is used.

    Raises:
        ModelConfigError: there is no base URL.
    """

    def __init__(self, config: ModelConfig, *, api_key: str | None = None, workers: int = 0) -> None:
        self.config = config
        self.name = config.name
        self.text_protocol = config.text_protocol
        self.quirks = Quirks()
        self._api_key = api_key or "none"
        self._proven = False  # a request has succeeded, so the configuration works
        self.drops_tools: bool | None = False if config.text_protocol else None
        self.notes: list[str] = []
        self._template = asyncio.Lock()
        self.servers = tuple(Server(config, self._api_key, one) for one in config.base_urls or (None,))
        ceiling = config.max_concurrency or max(_LEAST_CEILING, 2 * workers)
        self.pool = Pool([Endpoint(one, ceiling, config.backoff_cap_s) for one in self.servers], self.notes)

    @property
    def server(self) -> Server:
        """A live server, used to query properties common to all servers."""
        return next((one.server for one in self.pool.endpoints if not one.breaker.open), self.servers[0])

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
        """Request `n` completions; see `ChatModel.complete`.

        With a `response_schema`, valid content is bare JSON text. A completion that is invalid even after a repair turn
        is returned unchanged if others are valid, so callers must validate; if none is valid, `ReplyInvalid` is raised.
        """
        await self.pool.admit(sampling.session if sampling else None)
        deadline = time.monotonic() + self.config.call_deadline_s
        call = Call(
            messages=messages,
            tools=tools,
            tool_choice=tool_choice,
            response_schema=response_schema,
            sampling=sampling or Sampling(),
            deadline=deadline,
        )
        spent = ledger.child(ledger.scope)  # attributes the charge to its scope
        try:
            async with asyncio.timeout(self.config.call_deadline_s):
                completions = await self._sample(call, spent, n)
                if all(completion.finish_reason == "content_filter" for completion in completions):
                    raise ModelRefused("the model or its server refused to answer")
                if response_schema is not None:
                    completions = await self._made_valid(call, response_schema, completions, spent)
                elif tools:
                    completions = await self._with_calls(call, completions, spent)
        except TimeoutError:
            why = call.problems[-1] if call.problems else "the server is slow or busy"
            raise ModelUnavailable(f"no usable reply within {self.config.call_deadline_s:g} s: {why}") from None
        return Reply(completions=tuple(completions), usage=spent.spent, model=self.name)

    async def _sample(self, call: Call, ledger: Ledger, n: int) -> list[Completion]:
        """Return `n` completions: together if the server supports `n`; missing ones are requested singly."""
        done: list[Completion] = []
        if n > 1 and self.quirks.takes_n:
            done = await self._ask_adapting(call, ledger, n)
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
        """Send a request with retries; the seed changes after an unusable reply."""
        useless = 0

        def notice(decision: RetryDecision) -> None:
            nonlocal useless
            useless += isinstance(decision.error, ReplyInvalid)
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
        try:
            return await persist(lambda: self._attempt(call, n, useless, ledger), policy)
        except RequestFailed as failed:
            raise failed.decision.error from failed.__cause__

    async def _attempt(self, call: Call, n: int, retry: int, ledger: Ledger) -> list[Completion]:
        capped = self.config.max_concurrency is not None
        async with self.pool.turn(call.sampling.session, capped=capped) as endpoint:
            try:
                ledger.check()
                async with endpoint.awake():
                    body = call.body(n, self.config, self.quirks, retry)
                    completions = await self._exchange(endpoint, call, body, ledger)
                endpoint.answered()
                self._proven = True
                return completions
            except _AskDifferently:
                endpoint.answered()
                raise
            except Exception as error:
                decision = self._without_key(classify(error))
                if decision.request_only and self._proven:
                    decision = replace(decision, error=RequestRejected(str(decision.error)))
                self.pool.account(endpoint, decision)
                raise RequestFailed(decision) from error

    def _without_key(self, decision: RetryDecision) -> RetryDecision:
        text = str(decision.error)
        if self._api_key == "none" or self._api_key not in text:
            return decision
        return replace(decision, error=type(decision.error)(text.replace(self._api_key, "<key>")))

    async def _exchange(self, endpoint: Endpoint, call: Call, body: dict[str, Any], ledger: Ledger) -> list[Completion]:
        """Send one HTTP request; its tokens are charged whether or not the reply is usable."""
        usage, since = Usage(calls=1), endpoint.busy.enter()
        session = call.sampling.session
        with_field = session is not None and endpoint.server.takes_session_field
        try:
            payload = decode(await endpoint.server.chat(body, session.id if session else ""))
            usage = usage_of(payload)
        except ConnectError:
            usage = Usage()
            raise
        except StatusError as error:
            if error.status not in (400, 422, 500, 501):
                raise
            said = without_echo(str(error.body or error), body)
            if error.status in (400, 422) and with_field and endpoint.server.rejects_session_field(said):
                raise _AskDifferently from error
            if error.status in (400, 422, 500) and self.quirks.learn(said, body):
                raise _AskDifferently from error
            if error.status in (400, 422, 501) and self.quirks.rejects_tools(said, body):
                self._ask_in_text("the server does not accept tools for it")
                raise ToolsNotTaken(f"the model server answered {error.status}: {said[:300]}") from error
            raise
        finally:
            ledger.charge(self._priced(usage, endpoint.busy.leave(since)))
        question = Question(call.tools, call.messages, self.config.send_reasoning)
        usable, choices = completions_of(payload, question)
        if body.get("n", 1) > 1 and choices == 1:
            self.quirks.takes_n = False
        return usable

    def _priced(self, usage: Usage, server_s: float) -> Usage:
        prices = self.config.prices
        return usage if prices is None else usage.model_copy(update={"cost_usd": prices.cost(usage, server_s)})

    async def _made_valid(
        self, call: Call, schema: ResponseSchema, completions: list[Completion], ledger: Ledger
    ) -> list[Completion]:
        calls = map(call.with_seed_offset, range(len(completions)))
        checked = await together(map(self._repaired, calls, repeat(schema), completions, repeat(ledger)))
        if not any(sound for _, sound in checked):
            message = f"no reply satisfied the {schema.name} schema, not even after a repair turn"
            last = Reply(completions=tuple(one for one, _ in checked), usage=ledger.spent, model=self.name)
            raise ReplyInvalid(message, reply=last)
        return [completion for completion, _ in checked]

    async def _repaired(
        self, call: Call, schema: ResponseSchema, completion: Completion, ledger: Ledger
    ) -> tuple[Completion, bool]:
        """Return the completion with bare JSON content, growing or repairing it if needed, and whether it is valid."""

        def read(one: Completion) -> tuple[str | None, str]:
            cut = one.finish_reason == "length"
            return extract(one.content, schema.json_schema, reasoning=one.reasoning, cut=cut)

        call, completion = await self._longer(call, completion, lambda one: read(one)[0] is not None, ledger)
        found, problem = read(completion)
        if found is not None:
            return completion.model_copy(update={"content": found}), True
        if completion.finish_reason == "content_filter":
            return completion, False
        if completion.finish_reason == "length":
            problem = LOOPED if LOOPED in completion.problems else f"{CUT}, so write less"
        again = call.again(messages=ask_again(call.messages, completion.message, problem), grown=False)
        try:
            (second,) = await self._ask_adapting(again, ledger, 1)
        except (ModelUnavailable, ModelConfigError):
            raise
        except ModelError:
            return completion, False
        found, _ = read(second)
        return (completion, False) if found is None else (second.model_copy(update={"content": found}), True)

    async def _longer(
        self, call: Call, completion: Completion, usable: Callable[[Completion], bool], ledger: Ledger
    ) -> tuple[Call, Completion]:
        """Retry with a higher token limit a reply truncated before it was useful; thinking counts towards the limit.

        A looping reply is not retried. Also returns the call as last sent.
        """
        for _ in range(_MOST_GROWTHS if call.sampling.grows else 0):
            wanted = call.reply_tokens(self.config, self.quirks)
            if completion.finish_reason != "length" or LOOPED in completion.problems or usable(completion):
                break
            room = [most for most in (self._room(ledger), self.quirks.most_tokens) if most]
            more = min([_GROWTH * (wanted or 0), *room])
            if wanted is None or more <= wanted:
                break
            call = call.again(grown=True, sampling=call.sampling.model_copy(update={"max_tokens": more}))
            try:
                (completion,) = await self._ask_adapting(call, ledger, 1)
            except (ContextOverflow, ReplyInvalid, ModelRefused):
                break
        return call, completion

    def _room(self, ledger: Ledger) -> int | None:
        """Return the context tokens left by a call's prompt, derived from the charges for its requests."""
        spent = ledger.spent
        prompt = -(-spent.prompt_tokens // spent.calls) if spent.calls else 0
        return self.quirks.context - prompt - _MARGIN if self.quirks.context and prompt else None

    async def _with_calls(self, call: Call, completions: list[Completion], ledger: Ledger) -> list[Completion]:
        """Return the completions of a request with tools, growing any that were truncated before a tool call."""
        calls = map(call.with_seed_offset, range(len(completions)))
        grown = map(self._longer, calls, completions, repeat(lambda one: bool(one.tool_calls)), repeat(ledger))
        completions = [one for _, one in await together(grown)]
        silent = not any(one.tool_calls or one.problems for one in completions)
        if silent and call.sampling.turn and not Question(messages=call.messages).ids():
            await self._look_at_template(call.tools, ledger)  # two turns without a tool call
        return completions

    async def _look_at_template(self, tools: Sequence[ToolSpec], ledger: Ledger | None) -> None:
        """Check once whether the chat template omits tools, i.e. the prompt's token count is the same with and without.

        Args:
            tools: the tools offered.
            ledger: charged for two one-token requests if the server cannot count tokens otherwise; None skips these.
        """
        async with self._template:
            if self.drops_tools is not None:
                return
            pair = [await self._prompt_tokens(given, ledger) for given in ((), tools)]
            if all(pair) or ledger is not None:
                self.drops_tools = pair[0] == pair[1] != 0
            if self.drops_tools:
                self._ask_in_text(f"its chat template leaves tools out ({pair[0]} prompt tokens with and without them)")

    def _ask_in_text(self, why: str) -> None:
        """Switch agents to the text protocol and notify the user once."""
        if not self.text_protocol:
            self.notes.append(f"{self.name}: {why}, so heats asks for JSON in the text of its replies")
        self.drops_tools = self.text_protocol = True

    async def _prompt_tokens(self, tools: Sequence[ToolSpec], ledger: Ledger | None) -> int:
        """Return the token count of a short prompt that offers tools; 0 if it cannot be determined."""
        call = Call(
            messages=_HELLO,
            tools=tools,
            tool_choice="auto",
            response_schema=None,
            sampling=Sampling(max_tokens=1),
            deadline=time.monotonic() + _ASKING_S,
        )
        counted = await self.server.count_tokens(call.body(1, self.config, self.quirks))
        if counted or ledger is None:
            return counted[0] if counted else 0
        spent = ledger.child(ledger.scope)
        with suppress(ModelError):
            await self._ask(call, 1, spent)
        return spent.spent.prompt_tokens if spent.spent.calls == 1 else 0

    async def preflight(self) -> Mapping[str, Any]:
        """Check that the server answers and serves the model; see `ChatModel.preflight`."""
        models = await self._models_served()
        if models and self.name not in models:
            await self._ask_whether_served(models)
        context, version = models.get(self.name, {}).get("max_model_len"), await self.server.version()
        self.quirks.context = context if isinstance(context, int) else None
        self.quirks.detects_loops = version is not None
        await self._look_at_template((BASH,), None)
        facts = {"context_length": context, "vllm": version, "tools": "left out" if self.drops_tools else None}
        if version is not None:
            facts["chat_template"] = await self.server.template_digest({"model": self.name, "messages": _EXCHANGE})
        return {"model": self.name, **{name: value for name, value in facts.items() if value is not None}}

    async def _models_served(self) -> dict[str, dict[str, Any]]:
        """Return the models of the first server that responds; with several servers, unreachable ones are skipped.

        Raises:
            ModelConfigError, ModelUnavailable: no server responds, or one is unusable as configured.
        """
        found: list[dict[str, dict[str, Any]]] = []
        failed: Exception | None = None
        for endpoint in self.pool.endpoints:
            try:
                found.append(await endpoint.server.models())
            except Exception as error:
                decision = self._without_key(classify(error))
                failed = preflight_error(decision.error, self.config, endpoint.server.base_url)
                if not decision.server_down or len(self.servers) == 1:
                    raise failed from error
                endpoint.breaker.failed(at_once=True)
        if failed is not None and not found:
            raise failed
        return found[0]

    async def _ask_whether_served(self, models: Collection[str]) -> None:
        """Request a short reply from a model missing from the server's list, which may use wildcards and aliases.

        Raises:
            ModelConfigError: the server refuses.
            ModelUnavailable: the server does not respond.
        """
        try:
            async with asyncio.timeout(_ASKING_S):
                await self.complete(_HELLO, ledger=Ledger("preflight"), sampling=Sampling(max_tokens=16))
        except ModelConfigError as error:
            if not _NOT_SERVED.search(str(error)):
                return  # the request itself is at fault; the model exists
            raise ModelConfigError(
                f"{self.server.base_url} does not serve {self.name!r}; it serves {', '.join(models)} ({error})"
            ) from error
        except (ModelUnavailable, TimeoutError) as error:
            raise ModelUnavailable(f"{self.server.base_url} does not answer for {self.name!r}: {error}") from error
        except ModelError as error:
            _log.info("%s is served although the server's list does not name it: %s", self.name, error)

    async def begin(self, session: Session) -> None:
        """See `KeepsSessions`."""
        await self.pool.begin(session)

    def end(self, session: Session) -> None:
        """See `KeepsSessions`."""
        self.pool.end(session)

    async def close(self) -> None:
        """Release connections."""
        await self.pool.close()
        for server in self.servers:
            await server.close()


def open_endpoint(config: ModelConfig, workers: int = 0) -> OpenAIModel:
    """Create a client for a configuration; the API key and default base URL come from environment variables."""
    base_url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get(config.api_key_env)
    return OpenAIModel(config.model_copy(update={"base_url": base_url}), api_key=key, workers=workers)
