"""Probes which features a server supports for a model, and reports the fallback for each missing one.

Replies are parsed as by the agents, which distinguishes well-formed calls from those that only heats understands.
Requests are short, and a fixed time limit covers all of them, regardless of the model's speed.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from agents.llm.chat_http import HttpFailed, StatusError
from agents.llm.config import ModelConfig
from agents.llm.replies import InBandError, Question, UnusableReply, completions_of, decode, usage_of
from agents.llm.retry import classify
from agents.llm.server import Server
from agents.llm.structured import extract
from agents.tools import BASH, command_of
from core.record import Record

_ASK_TOOL = "Call the tool `bash` once, with the command `true`. Say nothing else."
_ASK_JSON = 'Answer with the JSON object {"answer": "yes"} and nothing else.'
_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {**BASH.model_dump(), "strict": True}}
_TEXT = "-c model.text_protocol=true asks for fenced blocks"
_SERVE = "start vLLM with --enable-auto-tool-choice --tool-call-parser NAME (heats serve does)"
_SHORT, _TOOL_TOKENS, _JSON_TOKENS = 4, 256, 128
_LIMIT_S = 20.0
"""Time limit of all probe requests together, in seconds."""


class Finding(Record):
    """One feature of a server.

    Attributes:
        works: None if undetermined or doubtful.
        instead: the fallback used by heats, or how to enable the feature; empty if it works.
    """

    feature: str
    works: bool | None
    detail: str
    instead: str = ""


class ProbeReport(Record):
    """The features that a server supports for one model."""

    model: str
    version: str | None
    context: int | None
    kv_tokens: int | None
    findings: tuple[Finding, ...]


async def probe(config: ModelConfig, *, limit_s: float = _LIMIT_S) -> ProbeReport:
    """Probe every server feature that heats can use, with about eight short requests outside any ledger.

    Args:
        config: the model and its server.
        limit_s: time limit of all requests in seconds; unanswered ones remain undetermined.

    Raises:
        ModelConfigError, ModelUnavailable: the server does not respond even to a plain request.
    """
    base_url = next(iter(config.base_urls), None) or os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get(config.api_key_env) or "none"
    server = Server(config.model_copy(update={"base_url": base_url}), key)
    asker = _Asker(config, server, time.monotonic() + limit_s)
    try:
        return await asker.report()
    except (HttpFailed, UnusableReply, InBandError, TimeoutError) as error:
        raise type(found := classify(error).error)(str(found).replace(key, "<key>")) from error
    finally:
        await server.close()


class _Asker:
    def __init__(self, config: ModelConfig, server: Server, deadline: float) -> None:
        self.config, self.server, self.deadline = config, server, deadline

    async def report(self) -> ProbeReport:
        async with asyncio.timeout(self.deadline - time.monotonic()):
            plain = await self._ask("Say OK.", max_tokens=_SHORT)
            limits = await self.server.limits(self.config.name)
        questions = {
            "tools": self._tools(),
            "json_schema": self._schema(),
            "n": self._n(),
            "logprobs": self._logprobs(),
            "/metrics": self._metrics(),
            "/tokenize": self._tokenize(),
        }
        findings = list(await asyncio.gather(*(self._in_time(name, asked) for name, asked in questions.items())))
        findings[3:3] = [_cached(plain), _context(limits.context)]
        return ProbeReport(
            model=self.config.name,
            version=limits.version,
            context=limits.context,
            kv_tokens=limits.kv_tokens,
            findings=tuple(findings),
        )

    async def _in_time(self, feature: str, asked: Awaitable[Finding]) -> Finding:
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.monotonic())):
                return await asked
        except TimeoutError:
            detail = "the model is too slow for this check"
            return Finding(feature=feature, works=None, detail=detail, instead="the run will find out")
        except UnusableReply as error:
            return Finding(feature=feature, works=False, detail=f"the reply cannot be used: {error}")

    async def _ask(self, text: str, **more: Any) -> dict[str, Any]:
        body = {"model": self.config.name, "messages": [{"role": "user", "content": text}], **more}
        try:
            return decode(await self.server.chat(body))
        except StatusError as error:
            if "max_tokens" not in body or "max_completion_tokens" not in str(error):
                raise
            body["max_completion_tokens"] = body.pop("max_tokens")
            return decode(await self.server.chat(body))

    async def _try(self, text: str, **more: Any) -> tuple[dict[str, Any], str]:
        """Return the reply, or an empty one and the server's error message."""
        try:
            return await self._ask(text, **more), ""
        except StatusError as error:
            if error.status >= 500 or error.status in (401, 403, 429):
                raise
            return {}, str(classify(error).error)[:200]

    async def _tools(self) -> Finding:
        counted = [await self._counted(tools) for tools in ((), (_TOOL,))]
        if counted[0] and counted[0] == counted[1]:
            return _left_out(counted[0])
        reply, refused = await self._try(_ASK_TOOL, tools=[_TOOL], tool_choice="auto", max_tokens=_TOOL_TOKENS)
        if refused:
            return Finding(feature="tools", works=False, detail=refused, instead=f"{_SERVE}, or {_TEXT}")
        first = completions_of(reply, _WITH_BASH)[0][0]
        if any(not command_of(call)[1] for call in first.tool_calls):
            return _called(reply)
        without = await self._ask(_ASK_TOOL, max_tokens=1)
        tokens = usage_of(reply).prompt_tokens
        if tokens and tokens == usage_of(without).prompt_tokens:
            return _left_out(tokens)
        if first.problems:
            detail = f"the call cannot be used: {'; '.join(first.problems)}"
            return Finding(feature="tools", works=False, detail=detail, instead=f"{_SERVE}, or {_TEXT}")
        reply, refused = await self._try(_ASK_TOOL, tools=[_TOOL], tool_choice="required", max_tokens=_TOOL_TOKENS)
        forced = not refused and bool(completions_of(reply, _WITH_BASH)[0][0].tool_calls)
        detail = "the server accepts tools, but the model called none when asked to"
        instead = f"if rollouts end in format errors, {_TEXT}"
        if forced:
            detail += "; it can be forced to"
            instead = f"-c agent.force_calls=true forces a call in every turn; or {_TEXT}"
        return Finding(feature="tools", works=None, detail=detail, instead=instead)

    async def _counted(self, tools: Sequence[Mapping[str, Any]]) -> int:
        """Return the prompt tokens with the given tools (or none), if the server counts them; else 0."""
        body = {"model": self.config.name, "messages": [{"role": "user", "content": _ASK_TOOL}]}
        counted = await self.server.count_tokens({**body, **({"tools": tools} if tools else {})})
        return counted[0] if counted else 0

    async def _schema(self) -> Finding:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True}}
        reply, refused = await self._try(_ASK_JSON, response_format=form, max_tokens=_JSON_TOKENS)
        instead = "the prompt states the schema; a reply that breaks it gets one repair turn"
        if refused:
            return Finding(feature="json_schema", works=False, detail=refused, instead=instead)
        first = completions_of(reply)[0][0]
        cut = first.finish_reason == "length"
        found, problem = extract(first.content, _SCHEMA, reasoning=first.reasoning, cut=cut)
        if found is None and cut:
            detail = f"no result within {_JSON_TOKENS} tokens: the model thinks or rambles"
            return Finding(
                feature="json_schema", works=None, detail=detail, instead="replies that are cut get more room"
            )
        if found is None:
            return Finding(feature="json_schema", works=False, detail=f"not followed: {problem}", instead=instead)
        return Finding(feature="json_schema", works=True, detail="kept")

    async def _n(self) -> Finding:
        reply, refused = await self._try("Say OK.", n=2, max_tokens=_SHORT)
        choices = 0 if refused else completions_of(reply)[1]
        if choices == 2:
            return Finding(feature="n", works=True, detail="votes of one order are one request")
        detail = refused or f"asked for 2 choices, got {choices}"
        return Finding(feature="n", works=False, detail=detail, instead="single requests, each with its own seed")

    async def _logprobs(self) -> Finding:
        reply, refused = await self._try("Say OK.", logprobs=True, top_logprobs=2, max_tokens=_SHORT)
        choices = reply.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else {}
        if isinstance(first, dict) and first.get("logprobs"):
            return Finding(feature="logprobs", works=True, detail="returned on request")
        return Finding(
            feature="logprobs",
            works=False,
            detail=refused or "not given",
            instead="votes are counted, without their confidence",
        )

    async def _metrics(self) -> Finding:
        counters = await self.server.counters()
        if counters is not None:
            return Finding(feature="/metrics", works=True, detail="prefix-cache hits and throughput go into the report")
        instead = "the ledger only; the report has no server figures"
        return Finding(feature="/metrics", works=False, detail="no vLLM counters", instead=instead)

    async def _tokenize(self) -> Finding:
        body = {"model": self.config.name, "messages": [{"role": "user", "content": "hello"}]}
        counted = await self.server.count_tokens(body)
        if counted:
            detail = "reports prompt lengths, so votes and summaries are cut to fit"
            return Finding(feature="/tokenize", works=True, detail=detail)
        instead = "the server's error for a long prompt; if it names no number, half is cut"
        return Finding(feature="/tokenize", works=False, detail="not there", instead=instead)


_WITH_BASH = Question(tools=(BASH,))


def _left_out(tokens: int) -> Finding:
    detail = f"the chat template leaves them out ({tokens} prompt tokens with and without them)"
    return Finding(feature="tools", works=False, detail=detail, instead="JSON in the text of replies, automatically")


def _called(reply: Mapping[str, Any]) -> Finding:
    """Check for a runnable call; a malformed one indicates the wrong tool parser."""
    message = reply["choices"][0].get("message") or {}
    calls = message.get("tool_calls") or ()
    function = (calls[0].get("function") or {}) if calls else {}
    name, arguments = function.get("name"), function.get("arguments")
    odd = ""
    if not calls:
        odd = "it came as text"
    elif name != BASH.name:
        odd = f"its name came as {str(name)[:40]!r}"
    elif not _is_object(arguments):
        odd = f"its arguments came as {str(arguments)[:40]!r}"
    if not odd:
        return Finding(feature="tools", works=True, detail="called when asked to")
    detail = f"called when asked to, but {odd}: heats can read it, other programs cannot"
    return Finding(
        feature="tools", works=None, detail=detail, instead="the server's tool parser may not match the model"
    )


def _is_object(arguments: object) -> bool:
    try:
        return isinstance(arguments, str) and isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _cached(reply: Mapping[str, Any]) -> Finding:
    usage = reply.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
        detail = f"reported ({usage_of(reply).cached_tokens} of this prompt)"
        return Finding(feature="cached tokens", works=True, detail=detail)
    instead = "all prompt tokens count as fresh; vllm serve --enable-prompt-tokens-details reports them"
    return Finding(feature="cached tokens", works=False, detail="not told", instead=instead)


def _context(context: int | None) -> Finding:
    if context is not None:
        return Finding(feature="context length", works=True, detail=f"{context} tokens")
    instead = "a long prompt is detected when the server rejects it"
    return Finding(feature="context length", works=False, detail="not told", instead=instead)
