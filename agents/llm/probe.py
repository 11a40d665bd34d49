"""What a server can do with a model, found out by asking it, and what is used in place of the rest."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from agents.llm.chat_http import HttpFailed, StatusError
from agents.llm.config import ModelConfig
from agents.llm.replies import InBandError, UnusableReply, completions_of, decode, usage_of
from agents.llm.retry import classify
from agents.llm.server import Server
from agents.llm.structured import extract
from agents.tools import BASH
from core.record import Record

_ASK_TOOL = "Call the tool `bash` once, with the command `true`. Say nothing else."
_ASK_JSON = 'Answer with the JSON object {"answer": "yes"} and nothing else.'
_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
_CALLS_AS_TEXT = ("<tool_call>", "<function=", "[TOOL_CALLS]", '"name": "bash"', "<|tool_call")
_MAX_TOKENS = 1024


class Finding(Record):
    """One feature of a server.

    Attributes:
        works: None where it could not be told.
        instead: what heats does without it, or what would bring it; empty where it works.
    """

    feature: str
    works: bool | None
    detail: str
    instead: str = ""


class ProbeReport(Record):
    """What a server can do with one model."""

    model: str
    version: str | None
    context: int | None
    kv_tokens: int | None
    findings: tuple[Finding, ...]


async def probe(config: ModelConfig) -> ProbeReport:
    """Ask a server for everything that heats can make use of: about eight short requests, not in any ledger.

    Raises:
        ModelConfigError, ModelUnavailable: it does not even answer a plain question.
    """
    base_url = config.base_url or os.environ.get("OPENAI_BASE_URL")
    key = os.environ.get(config.api_key_env) or "none"
    asker = _Asker(config, Server(config.model_copy(update={"base_url": base_url}), key))
    try:
        return await asker.report()
    except (HttpFailed, UnusableReply, InBandError, TimeoutError) as error:
        raise type(found := classify(error).error)(str(found).replace(key, "<key>")) from error
    finally:
        await asker.server.close()


class _Asker:
    def __init__(self, config: ModelConfig, server: Server) -> None:
        self.config, self.server = config, server

    async def report(self) -> ProbeReport:
        plain = await self._ask("Say OK.", max_tokens=16)
        limits = await self.server.limits(self.config.name)
        asked = (self._tools(), self._schema(), self._n(), self._logprobs(), self._metrics(), self._tokenize())
        findings = list(await asyncio.gather(*asked))
        findings[3:3] = [_cached(plain), _context(limits.context)]
        return ProbeReport(
            model=self.config.name,
            version=limits.version,
            context=limits.context,
            kv_tokens=limits.kv_tokens,
            findings=tuple(findings),
        )

    async def _ask(self, text: str, **more: Any) -> dict[str, Any]:
        body = {"model": self.config.name, "messages": [{"role": "user", "content": text}], "max_tokens": _MAX_TOKENS}
        return decode(await self.server.chat({**body, **more}))

    async def _try(self, text: str, **more: Any) -> tuple[dict[str, Any], str]:
        """The reply, or an empty one and the server's words of refusal."""
        try:
            return await self._ask(text, **more), ""
        except StatusError as error:
            if error.status >= 500 or error.status in (401, 403, 429):
                raise
            return {}, str(classify(error).error)[:200]

    async def _tools(self) -> Finding:
        function = {"name": BASH.name, "description": BASH.description, "parameters": BASH.parameters}
        tools = [{"type": "function", "function": {**function, "strict": True}}]
        reply, refused = await self._try(_ASK_TOOL, tools=tools, tool_choice="auto")
        serve = "start vLLM with --enable-auto-tool-choice --tool-call-parser NAME (heats serve does)"
        text = "-c model.text_protocol=true asks for fenced blocks"
        if refused:
            return Finding(feature="tools", works=False, detail=refused, instead=f"{serve}, or {text}")
        first = completions_of(reply)[0][0]
        if first.tool_calls:
            return Finding(feature="tools", works=True, detail="called when asked to")
        if any(mark in first.content for mark in _CALLS_AS_TEXT):
            detail = "the call came as text: the server's tool parser is not the model's"
            return Finding(feature="tools", works=False, detail=detail, instead=f"{serve}, or {text}")
        reply, refused = await self._try(_ASK_TOOL, tools=tools, tool_choice="required")
        forced = not refused and bool(completions_of(reply)[0][0].tool_calls)
        detail = "the server takes tools, the model called none when asked to"
        detail += "; it can be made to (tool_choice required)" if forced else ""
        return Finding(feature="tools", works=None, detail=detail, instead=f"if rollouts end in format errors, {text}")

    async def _schema(self) -> Finding:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA, "strict": True}}
        reply, refused = await self._try(_ASK_JSON, response_format=form)
        instead = "the schema is asked for in words; a reply that breaks it gets one repair turn"
        if refused:
            return Finding(feature="json_schema", works=False, detail=refused, instead=instead)
        problem = extract(completions_of(reply)[0][0].content, _SCHEMA)[1]
        if problem:
            return Finding(feature="json_schema", works=False, detail=f"not kept: {problem}", instead=instead)
        return Finding(feature="json_schema", works=True, detail="kept")

    async def _n(self) -> Finding:
        reply, refused = await self._try("Say OK.", n=2, max_tokens=16)
        choices = 0 if refused else completions_of(reply)[1]
        if choices == 2:
            return Finding(feature="n", works=True, detail="votes of one order are one request")
        detail = refused or f"asked for 2 choices, got {choices}"
        return Finding(feature="n", works=False, detail=detail, instead="single requests, each with its own seed")

    async def _logprobs(self) -> Finding:
        reply, refused = await self._try("Say OK.", logprobs=True, top_logprobs=2, max_tokens=16)
        choices = reply.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else {}
        if isinstance(first, dict) and first.get("logprobs"):
            return Finding(feature="logprobs", works=True, detail="given where they are asked for")
        return Finding(
            feature="logprobs",
            works=False,
            detail=refused or "not given",
            instead="votes are counted, and not how sure each was",
        )

    async def _metrics(self) -> Finding:
        counters = await self.server.counters()
        if counters is not None:
            return Finding(feature="/metrics", works=True, detail="prefix-cache hits and throughput go into the report")
        instead = "the ledger alone; the report has no figures of the server"
        return Finding(feature="/metrics", works=False, detail="no vLLM counters", instead=instead)

    async def _tokenize(self) -> Finding:
        body = {"model": self.config.name, "messages": [{"role": "user", "content": "hello"}]}
        counted = await self.server.count_tokens(body)
        if counted:
            detail = "says by how much a prompt is too long, so that votes and summaries are cut to fit"
            return Finding(feature="/tokenize", works=True, detail=detail)
        instead = "the server's words about a prompt that is too long; where they name no number, half is cut"
        return Finding(feature="/tokenize", works=False, detail="not there", instead=instead)


def _cached(reply: Mapping[str, Any]) -> Finding:
    usage = reply.get("usage")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    if isinstance(details, dict) and isinstance(details.get("cached_tokens"), int):
        detail = f"told ({usage_of(reply).cached_tokens} of this prompt)"
        return Finding(feature="cached tokens", works=True, detail=detail)
    instead = "all prompt tokens count as fresh; vllm serve --enable-prompt-tokens-details tells them"
    return Finding(feature="cached tokens", works=False, detail="not told", instead=instead)


def _context(context: int | None) -> Finding:
    if context is not None:
        return Finding(feature="context length", works=True, detail=f"{context} tokens")
    instead = "a prompt is known to be too long when the server rejects it"
    return Finding(feature="context length", works=False, detail="not told", instead=instead)
