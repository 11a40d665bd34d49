"""Reading a chat completion that may be anything: every field is checked before it is believed."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from agents.llm.base import Completion, FinishReason, Message, TokenLogprob, ToolCall
from agents.llm.ledger import Usage

_FINISH: frozenset[str] = frozenset(get_args(FinishReason))
_OTHER_NAMES = {
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "repetition": "length",
}
"""What other servers, and vLLM where it detects repetition, call the same ends of a reply."""
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_MOST_TOKENS = 1 << 32


class UnusableReply(Exception):
    """A reply that arrived whole but cannot be used; asking again may help."""


class InBandError(Exception):
    """An error object where a reply should have been; `code` is its HTTP-like code, if it has one."""

    def __init__(self, message: str, code: int | str | None) -> None:
        self.code = code
        super().__init__(message)


def without_surrogates(value: Any) -> Any:
    """A JSON value in which lone surrogates, which no UTF-8 encoder takes, are replaced by U+FFFD."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    return value


def decode(text: str) -> dict[str, Any]:
    """The JSON object of a 200 reply.

    Raises:
        UnusableReply: it is not one.
        InBandError: it is an error object.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableReply(f"not JSON: {text[:80]!r}") from None
    if not isinstance(body, dict):
        raise UnusableReply(f"not an object: {text[:80]!r}")
    if "\\ud" in text.lower():
        body = dict(without_surrogates(body))
    error = body.get("error")
    if error:
        fields = error if isinstance(error, dict) else {"message": error}
        raise InBandError(str(fields.get("message"))[:500], fields.get("code"))
    return body


def usage_of(body: Mapping[str, Any]) -> Usage:
    """Tokens that the server says one request took; what it does not say is 0."""
    usage = body.get("usage")
    prompt = _count(usage, "prompt_tokens")
    return Usage(
        calls=1,
        prompt_tokens=prompt,
        cached_tokens=min(prompt, _count(_item(usage, "prompt_tokens_details"), "cached_tokens")),
        completion_tokens=_count(usage, "completion_tokens"),
        reasoning_tokens=_count(_item(usage, "completion_tokens_details"), "reasoning_tokens"),
    )


def _item(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _count(value: object, key: str) -> int:
    count = _item(value, key)
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < _MOST_TOKENS else 0


def completions_of(body: Mapping[str, Any], *, send_reasoning: bool = True) -> tuple[list[Completion], int]:
    """The usable choices of a reply, and how many choices it had.

    A refused choice is usable: its finish reason is `content_filter` and its content is empty.

    Raises:
        UnusableReply: none is usable.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UnusableReply("no choices")
    usable, problem = [], ""
    for choice in choices:
        try:
            usable.append(_completion(choice, send_reasoning))
        except UnusableReply as error:
            problem = str(error)
    if not usable:
        raise UnusableReply(problem)
    return usable, len(choices)


def _completion(choice: object, send_reasoning: bool) -> Completion:
    message = _item(choice, "message")
    if not isinstance(message, dict):
        raise UnusableReply("a choice without a message")
    finish = _item(choice, "finish_reason")
    finish = _OTHER_NAMES.get(finish, finish) if isinstance(finish, str) else finish
    if not isinstance(finish, str) or finish not in _FINISH:
        raise UnusableReply(f"finish_reason {finish!r}")
    refused = bool(message.get("refusal")) or finish == "content_filter"
    content = "" if refused else _content(message.get("content"))
    calls = () if refused else _tool_calls(message.get("tool_calls"))
    key = next((key for key in ("reasoning", "reasoning_content") if isinstance(message.get(key), str)), None)
    reasoning = message[key] if key else None
    kept: Message = {"role": "assistant", "content": content if content or not calls else None}
    if calls:
        kept["tool_calls"] = [_as_sent(call) for call in calls]
    if key and send_reasoning and reasoning:
        kept[key] = reasoning
    return Completion(
        message=kept,
        content=content,
        tool_calls=calls,
        reasoning=reasoning or None,
        finish_reason="content_filter" if refused else finish,
        logprobs=_logprobs(_item(_item(choice, "logprobs"), "content")),
    )


def _logprobs(tokens: object) -> tuple[TokenLogprob, ...]:
    """Log probabilities, or nothing where the server's are not in OpenAI's shape: no reply fails for them."""
    if not isinstance(tokens, list):
        return ()
    try:
        return tuple(
            TokenLogprob(
                token=token["token"],
                logprob=token["logprob"],
                top=[(one["token"], one["logprob"]) for one in token.get("top_logprobs") or ()],
            )
            for token in tokens
        )
    except (KeyError, TypeError, AttributeError, ValidationError):
        return ()


def _content(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(text for text in texts if isinstance(text, str))
    raise UnusableReply(f"content of type {type(content).__name__}")


def _tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Tool calls with non-empty ids, unique within the message."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UnusableReply("tool_calls is not a list")
    made: list[ToolCall] = []
    taken: set[str] = set()
    for index, call in enumerate(value):
        function = _item(call, "function")
        name, arguments, given = _item(function, "name"), _item(function, "arguments"), _item(call, "id")
        if not isinstance(name, str):
            raise UnusableReply("a tool call without a name")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments or {})
        identity = given if isinstance(given, str) and given and given not in taken else f"call_{index}_{len(taken)}"
        taken.add(identity)
        made.append(ToolCall(id=identity, name=name, arguments=arguments))
    return tuple(made)


def _as_sent(call: ToolCall) -> dict[str, Any]:
    """The call as it goes back to the server: vLLM parses past arguments and rejects a history with broken ones."""
    try:
        sound = isinstance(json.loads(call.arguments), dict)
    except (ValueError, RecursionError):
        sound = False
    function = {"name": call.name, "arguments": call.arguments if sound else "{}"}
    return {"id": call.id, "type": "function", "function": function}
