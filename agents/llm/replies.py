"""Parses untrusted chat completions: every field is validated before use."""

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
"""Finish reasons of other servers, and of vLLM's repetition detection, mapped to ours."""
LOOPED = "the reply repeated itself until it was stopped"
CUT = "the reply was cut at the token limit"
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_MOST_PROMPT, _MOST_REPLY = 1 << 24, 1 << 21
"""Maximum plausible token counts of one request; higher values are server errors."""
_MOST_CHARS = 2_000_000
"""Maximum number of characters per choice, several times the longest reply of any model."""


class UnusableReply(Exception):
    """A reply that arrived complete but is unusable; a retry may help."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request that a reply belongs to: the tools offered and the conversation so far.

    Attributes:
        send_reasoning: whether the reply's reasoning is returned to the model.
    """

    tools: Sequence[ToolSpec] = ()
    messages: Sequence[Message] = ()
    send_reasoning: bool = True

    def ids(self) -> set[str]:
        """Return the ids of the conversation's tool calls."""
        calls = (call for message in self.messages for call in message.get("tool_calls") or ())
        return {str(call.get("id")) for call in calls}


class InBandError(Exception):
    """An error object in place of a reply; `code` is its HTTP-like code, if any."""

    def __init__(self, message: str, code: int | str | None) -> None:
        self.code = code
        super().__init__(message)


def without_surrogates(value: Any) -> Any:
    """Replace lone surrogates in a JSON value by U+FFFD, since they cannot be encoded as UTF-8."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    return value


def decode(text: str) -> dict[str, Any]:
    """Decode the JSON object of a 200 response.

    Raises:
        UnusableReply: the text is not a JSON object.
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
    """Return the token usage reported for a request; missing or implausible values become 0."""
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
    """Return the usable choices of a reply, and its total number of choices.

    A refused choice is usable: its finish reason is `content_filter` and its content is empty. Tool calls are validated
    by `calls.py`.

    Raises:
        UnusableReply: no choice is usable.
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
    """Normalize a finish reason.

    Raises:
        UnusableReply: the reason leaves open whether the reply is complete.
    """
    lower = reason.lower() if isinstance(reason, str) else ""
    known = _OTHER_NAMES.get(lower, lower)
    if known not in _FINISH:
        raise UnusableReply(f"finish_reason {reason!r}")
    return cast(FinishReason, known)


def _written(message: Mapping[str, Any], question: Question) -> list[Written]:
    """Return the calls in a message's dedicated fields; none if no tools were offered.

    Raises:
        UnusableReply: the calls are not in a list.
    """
    try:
        return written_calls(message) if question.tools else []
    except Unusable as error:
        raise UnusableReply(str(error)) from None


def _calls(
    written: Sequence[Written], finish: FinishReason, question: Question
) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """Return the valid calls, and the problems with the others.

    The last call of a truncated reply is dropped even if it looks complete, because servers close truncated JSON.

    Raises:
        UnusableReply: the calls exceed the maximum length of a reply.
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
    """Remove a repetitive tail from a text."""
    start = loop_start(text)
    return text if start is None else text[:start]


def _logprobs(tokens: object) -> tuple[TokenLogprob, ...]:
    """Parse log probabilities; any that are not in OpenAI's format are ignored rather than failing the reply."""
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
