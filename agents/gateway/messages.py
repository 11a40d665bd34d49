"""Anthropic messages, https://docs.anthropic.com/en/api/messages."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from agents.gateway import wire
from agents.gateway.wire import Answer, Asked, Refused
from agents.llm.base import Message, ToolSpec
from agents.llm.ledger import Usage

_KINDS: Mapping[str, str] = {
    "key": "authentication_error",
    "route": "not_found_error",
    "size": "request_too_large",
    "limit": "permission_error",
    "slow": "timeout_error",
    "unavailable": "api_error",
    "busy": "rate_limit_error",
}
_STOPS: Mapping[str, str] = {"length": "max_tokens", "content_filter": "refusal"}
_THOUGHTS = ("thinking", "redacted_thinking")


class Messages:
    """`POST /v1/messages`; see `Dialect`.

    Thinking that a client sends back is dropped: the gateway puts the model's own message in its place.
    """

    ping = b'event: ping\ndata: {"type": "ping"}\n\n'

    def read(self, body: Mapping[str, Any]) -> Asked:
        """See `Dialect.read`. Tools that Anthropic's servers would run, such as web search, are not offered."""
        system = wire.text_of(body.get("system"))
        opening: list[Message] = [{"role": "system", "content": system}] if system else []
        own = [one for one in wire.tool_items(body) if one.get("type") in (None, "custom")]
        tools = tuple(wire.tool(one.get("name"), one.get("description"), one.get("input_schema")) for one in own)
        conversation = (message for one in wire.items(body, "messages") for message in _messages(one))
        choice, offered = _choice(body.get("tool_choice"), tools)
        return Asked(
            model=wire.name_of(body),
            messages=wire.in_order([*opening, *conversation]),
            tools=offered,
            tool_choice=choice,
            stream=body.get("stream") is True,
            temperature=wire.number(body, "temperature", 0, 10),
            top_p=wire.number(body, "top_p", 1e-6, 1),
            max_tokens=wire.count(body, "max_tokens"),
        )

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """See `Dialect.whole`."""
        usage = {**_read_usage(answer.usage), "output_tokens": answer.usage.completion_tokens}
        return {**_head(answer), "content": list(_blocks(answer)), "stop_reason": _stop(answer), "usage": usage}

    def events(self, answer: Answer) -> Iterator[bytes]:
        """See `Dialect.events`."""
        opened = {**_head(answer), "content": [], "stop_reason": None}
        usage = {**_read_usage(answer.usage), "output_tokens": 0}
        yield _event({"type": "message_start", "message": {**opened, "usage": usage}})
        for index, block in enumerate(_blocks(answer)):
            empty, delta = _opened(block)
            yield _event({"type": "content_block_start", "index": index, "content_block": empty})
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
            yield _event({"type": "content_block_stop", "index": index})
        ended = {"stop_reason": _stop(answer), "stop_sequence": None}
        spent = {**_read_usage(answer.usage), "output_tokens": answer.usage.completion_tokens}
        yield _event({"type": "message_delta", "delta": ended, "usage": spent})
        yield _event({"type": "message_stop"})

    def refusal(self, refused: Refused) -> Mapping[str, Any]:
        """See `Dialect.refusal`. The words for a full context are those that clients look for."""
        kind = _KINDS.get(refused.reason, "invalid_request_error")
        message = f"prompt is too long: {refused}" if refused.reason == "context" else str(refused)
        return {"type": "error", "error": {"type": kind, "message": message}}

    def refusal_event(self, refused: Refused) -> bytes:
        """See `Dialect.refusal_event`."""
        return wire.event(self.refusal(refused), "error")


def _event(data: Mapping[str, Any]) -> bytes:
    return wire.event(data, data["type"])


def _choice(
    value: Any, tools: tuple[ToolSpec, ...]
) -> tuple[Literal["auto", "required", "none"], tuple[ToolSpec, ...]]:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "tool":
        return "required", wire.only(tools, value.get("name"))
    if kind == "any" and tools:
        return "required", tools
    return ("none" if kind == "none" else "auto"), tools


def _messages(one: Mapping[str, Any]) -> Iterator[Message]:
    """Translate one message: results of tools become messages of their own, before the text that comes with them."""
    role, content = one.get("role"), one.get("content")
    if role not in ("user", "assistant", "system"):
        raise Refused("request", f"messages of the role {str(role)[:40]!r} are not supported")
    if isinstance(content, str):
        yield {"role": role, "content": content}
        return
    blocks = wire.items(one, "content")
    texts = [block for block in blocks if block.get("type") not in ("tool_use", "tool_result", *_THOUGHTS)]
    for block in blocks:
        if block.get("type") == "tool_result":
            shown = wire.text_of(block.get("content"))
            yield {"role": "tool", "tool_call_id": str(block.get("tool_use_id")), "content": shown}
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    text = wire.text_of(texts)
    if calls:
        yield {"role": role, "content": text or None, "tool_calls": calls}
    elif texts or role == "assistant":
        yield {"role": role, "content": text}


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
    return wire.call_message(block.get("id"), block.get("name"), arguments)


def _head(answer: Answer) -> dict[str, Any]:
    about = {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "model": answer.asked.model}
    return {**about, "stop_sequence": None}


def _blocks(answer: Answer) -> Iterator[dict[str, Any]]:
    done = answer.completion
    if done.content or not done.tool_calls:
        yield {"type": "text", "text": done.content}
    for call in done.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": wire.arguments_of(call)}


def _opened(block: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a block into its empty beginning and the delta that fills it."""
    if block["type"] == "text":
        return {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    written = json.dumps(block["input"], ensure_ascii=False)
    return {**block, "input": {}}, {"type": "input_json_delta", "partial_json": written}


def _stop(answer: Answer) -> str:
    return "tool_use" if answer.completion.tool_calls else _STOPS.get(answer.completion.finish_reason, "end_turn")


def _read_usage(usage: Usage) -> dict[str, int]:
    fresh = usage.prompt_tokens - usage.cached_tokens
    return {"input_tokens": fresh, "cache_read_input_tokens": usage.cached_tokens, "cache_creation_input_tokens": 0}
