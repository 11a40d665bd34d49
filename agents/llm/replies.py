"""Reading a chat completion that may be anything: every field is checked before it is believed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from pydantic import ValidationError

from agents.llm.base import Completion, FinishReason, Message, TokenLogprob, ToolCall, ToolSpec
from agents.llm.calls import Unusable, Written, calls_in_content, read_calls, written_calls
from agents.llm.contents import loop_start
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
LOOPED = "the reply repeated itself until it was stopped"
CUT = "the reply was cut at the token limit"
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_MOST_PROMPT, _MOST_REPLY = 1 << 24, 1 << 21
"""Tokens of one request that a server can have counted; more is a fault of its counting."""
_MOST_CHARS = 2_000_000
"""Characters of one choice: several times what the longest replies of any model hold."""


class UnusableReply(Exception):
    """A reply that arrived whole but cannot be used; asking again may help."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a reply answers: the tools that were offered and the conversation so far.

    Attributes:
        send_reasoning: the reply's reasoning goes back to the model.
    """

    tools: Sequence[ToolSpec] = ()
    messages: Sequence[Message] = ()
    send_reasoning: bool = True

    def ids(self) -> set[str]:
        """Of the conversation's tool calls."""
        calls = (call for message in self.messages for call in message.get("tool_calls") or ())
        return {str(call.get("id")) for call in calls}


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
        if isinstance(body, dict) and ("\\ud" in text or "\\uD" in text):
            body = without_surrogates(body)
    except (ValueError, RecursionError):
        raise UnusableReply(f"not JSON: {text[:80]!r}") from None
    if not isinstance(body, dict):
        raise UnusableReply(f"not an object: {text[:80]!r}")
    error = body.get("error")
    if error:
        fields = error if isinstance(error, dict) else {"message": error}
        raise InBandError(str(fields.get("message"))[:500], fields.get("code"))
    return body


def usage_of(body: Mapping[str, Any]) -> Usage:
    """Tokens that the server says one request took; what it does not say, or cannot be true, is 0."""
    usage = body.get("usage")
    choices = body.get("choices")
    most = _MOST_REPLY * max(1, len(choices) if isinstance(choices, list) else 1)
    prompt = _count(usage, "prompt_tokens", _MOST_PROMPT)
    return Usage(
        calls=1,
        prompt_tokens=prompt,
        cached_tokens=min(prompt, _count(_item(usage, "prompt_tokens_details"), "cached_tokens", _MOST_PROMPT)),
        completion_tokens=_count(usage, "completion_tokens", most),
        reasoning_tokens=_count(_item(usage, "completion_tokens_details"), "reasoning_tokens", most),
    )


def _item(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _count(value: object, key: str, most: int) -> int:
    count = _item(value, key)
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= most else 0


def completions_of(body: Mapping[str, Any], question: Question | None = None) -> tuple[list[Completion], int]:
    """The usable choices of a reply, and how many choices it had.

    A refused choice is usable: its finish reason is `content_filter` and its content is empty. Tool calls have come
    through the door of `calls.py`.

    Raises:
        UnusableReply: none is usable.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UnusableReply("no choices")
    usable, problem = [], ""
    for choice in choices:
        try:
            usable.append(_completion(choice, question or Question()))
        except UnusableReply as error:
            problem = str(error)
        except RecursionError:
            problem = "a choice that is nested too deeply"
    if not usable:
        raise UnusableReply(problem)
    return usable, len(choices)


def _completion(choice: object, question: Question) -> Completion:
    message = _item(choice, "message")
    if not isinstance(message, dict):
        raise UnusableReply("a choice without a message")
    finish = _finish(_item(choice, "finish_reason"))
    if message.get("refusal") or finish == "content_filter":
        return Completion(message={"role": "assistant", "content": ""}, finish_reason="content_filter")
    said = _content(message.get("content"))
    key = next((key for key in ("reasoning", "reasoning_content") if isinstance(message.get(key), str)), "")
    thought = message[key] if key else ""
    if len(said) + len(thought) > _MOST_CHARS:
        raise UnusableReply(f"a reply of {len(said) + len(thought)} characters")
    content, reasoning = (said, thought) if finish != "length" else (_without_loop(said), _without_loop(thought))
    looped = (LOOPED,) if len(content) + len(reasoning) < len(said) + len(thought) else ()
    written = _written(message, question)
    if not written and question.tools:
        written, content = calls_in_content(content, question.tools)
    if not written and question.tools and not content.strip():
        written, reasoning = calls_in_content(reasoning, question.tools)
    calls, problems = _calls(written, finish, question)
    kept: Message = {"role": "assistant", "content": content if content or not calls else None}
    if calls:
        kept["tool_calls"] = [_as_sent(call) for call in calls]
    if key and question.send_reasoning and reasoning:
        kept[key] = reasoning
    return Completion(
        message=kept,
        content=content,
        tool_calls=calls,
        reasoning=reasoning or None,
        finish_reason=finish,
        problems=(*problems, *looped),
        logprobs=_logprobs(_item(_item(choice, "logprobs"), "content")),
    )


def _finish(reason: object) -> FinishReason:
    """How a reply ended.

    Raises:
        UnusableReply: in a way that does not say whether it is whole.
    """
    lower = reason.lower() if isinstance(reason, str) else ""
    known = _OTHER_NAMES.get(lower, lower)
    if known not in _FINISH:
        raise UnusableReply(f"finish_reason {reason!r}")
    return cast(FinishReason, known)


def _written(message: Mapping[str, Any], question: Question) -> list[Written]:
    """The calls in a message's own fields; none where no tools were offered.

    Raises:
        UnusableReply: they are not in a list.
    """
    try:
        return written_calls(message) if question.tools else []
    except Unusable as error:
        raise UnusableReply(str(error)) from None


def _calls(
    written: Sequence[Written], finish: FinishReason, question: Question
) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """The calls that can be made, and what is wrong with the others.

    The last call of a reply that was cut is left out, even if it looks whole: servers close what was cut.

    Raises:
        UnusableReply: they are longer than any reply.
    """
    if not written:
        return (), ()
    cut = finish == "length"
    calls, problems = read_calls(
        written[:-1] if cut else written, question.tools, question.ids(), len(question.messages)
    )
    if sum(len(call.arguments) for call in calls) > _MOST_CHARS:
        raise UnusableReply("tool calls of more characters than any reply holds")
    return calls, (*problems, f"{CUT}, so its last call was not run") if cut else problems


def _without_loop(text: str) -> str:
    """A text without the tail that repeats itself."""
    start = loop_start(text)
    return text if start is None else text[:start]


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


def _as_sent(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
