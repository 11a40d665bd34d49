"""What all wire formats of the gateway share: the request, the answer and the refusal, independent of the format.

Requests come from a sandbox and are untrusted: every field is checked before use.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal, Protocol

from agents.llm.base import Completion, Message, ResponseSchema, ToolCall, ToolSpec
from agents.llm.ledger import Usage

Reason = Literal["request", "key", "route", "size", "slow", "context", "limit", "refused", "unavailable", "busy"]
STATUS: Mapping[Reason, int] = {
    "request": 400,
    "key": 401,
    "route": 404,
    "size": 413,
    "slow": 408,
    "context": 400,
    # Clients repeat a 429, and no later request can succeed.
    "limit": 403,
    "refused": 400,
    "unavailable": 503,
    "busy": 429,
}
_IMAGES = (
    "image",
    "image_url",
    "input_image",
    "document",
    "file",
    "input_file",
    "input_audio",
    "inlineData",
    "fileData",
)
_TEXTS = ("text", "input_text", "output_text", "refusal")
_MOST_MESSAGES, _MOST_TOOLS, _LONGEST_NAME = 10_000, 512, 256


class Refused(Exception):
    """A request that gets no answer from the model; the message is for whoever reads the agent's output."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason: Reason = reason
        super().__init__(message)

    @property
    def status(self) -> int:
        """The HTTP status of the refusal."""
        return STATUS[self.reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request in terms of heats.

    Attributes:
        model: the name that the agent uses for the model; any name reaches the rollout's model.
        tool_choice: see `ChatModel.complete`.
        custom: names of tools that take plain text, offered to the model as functions with one argument, `input`.
        stream: whether the answer is sent as server-sent events.
        logprobs: see `Sampling.logprobs`.
        with_usage: whether a chat completion stream ends with the usage.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: Literal["auto", "required", "none"] = "auto"
    response_schema: ResponseSchema | None = None
    custom: frozenset[str] = frozenset()
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    logprobs: int | None = None
    with_usage: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's reply; `id` is unique within the rollout."""

    id: str
    asked: Asked
    completion: Completion
    usage: Usage
    created: int


class Dialect(Protocol):
    """One wire format: reads requests, writes answers and refusals.

    Example:
        >>> from agents.gateway.chat import ChatCompletions
        >>> dialect: Dialect = ChatCompletions()
        >>> dialect.read({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).messages
        ({'role': 'user', 'content': 'hi'},)
    """

    ping: bytes
    """Sent while the model works, so that clients and their time limits see a living connection."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        """Read a request body.

        Raises:
            Refused: it asks for something that the gateway does not have.
        """
        ...

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """Write an answer as one JSON object."""
        ...

    def events(self, answer: Answer) -> Iterator[bytes]:
        """Write an answer as server-sent events."""
        ...

    def refusal(self, refused: Refused) -> Mapping[str, Any]:
        """Write a refusal as a JSON object."""
        ...

    def refusal_event(self, refused: Refused) -> bytes:
        """Write a refusal into a stream that has begun."""
        ...


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """Format one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or a list of text parts.

    Raises:
        Refused: it holds an image or another part that is not text.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise Refused("request", "the content of a message must be text or a list of parts")
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, str):
        return part
    if kind in _IMAGES:
        raise Refused(
            "request", f"images and files are not supported: the model reads text only (a part of type {kind!r})"
        )
    text = part.get("text", part.get("refusal")) if kind in _TEXTS else None
    if not isinstance(text, str):
        raise Refused("request", f"parts of type {str(kind)[:40]!r} are not supported")
    return text


def items(body: Mapping[str, Any], key: str, most: int = _MOST_MESSAGES) -> Sequence[Mapping[str, Any]]:
    """Return a list of objects in a body; empty if the key is absent.

    Raises:
        Refused: it is something else, or too long.
    """
    value = body.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value) or len(value) > most:
        raise Refused("request", f"{key} must be a list of at most {most} objects")
    return value


def in_order(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Join the system messages that open a conversation, and make later ones the user's.

    Chat templates accept a system message only at the beginning, and the beginning must not change as a conversation
    grows.
    """
    rest = list(messages)
    opening = list(takewhile(lambda message: message["role"] == "system", rest))
    placed: list[Message] = []
    if opening:
        placed.append({"role": "system", "content": "\n\n".join(str(message["content"]) for message in opening)})
    for message in rest[len(opening) :]:
        placed.append({**message, "role": "user"} if message["role"] == "system" else message)
    return tuple(placed)


def tool(name: Any, description: Any, parameters: Any) -> ToolSpec:
    """Build a tool from what a request says about it.

    Raises:
        Refused: it has no name, or its parameters are no JSON schema.
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise Refused("request", "a tool needs a name")
    if parameters is not None and not isinstance(parameters, dict):
        raise Refused("request", f"the parameters of the tool {name} must be a JSON schema")
    schema = parameters or {"type": "object", "properties": {}}
    described = description if isinstance(description, str) else ""
    return ToolSpec(name=name, description=described, parameters=schema, foreign=True)


def tool_items(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the tools of a body, unread.

    Raises:
        Refused: they are no list, or too many.
    """
    return items(body, "tools", _MOST_TOOLS)


def only(tools: Sequence[ToolSpec], name: Any) -> tuple[ToolSpec, ...]:
    """Return the one tool that a request demands.

    Raises:
        Refused: the request does not offer it.
    """
    chosen = tuple(one for one in tools if one.name == name)
    if not chosen:
        raise Refused("request", f"tool_choice names {str(name)[:80]!r}, which is not among the tools")
    return chosen


def call_message(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """Build a tool call of an assistant message.

    Raises:
        Refused: a field is missing or no text.
    """
    if not all(isinstance(one, str) for one in (call_id, name, arguments)):
        raise Refused("request", "a tool call of an earlier message lacks its id, name or arguments")
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def number(body: Mapping[str, Any], key: str, least: float, most: float) -> float | None:
    """Return a number of a body that lies within a range; None if it is absent or outside."""
    value = body.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    return float(value) if known and value is not None else None


def count(body: Mapping[str, Any], *keys: str) -> int | None:
    """Return the first positive whole number under one of the keys."""
    found = (number(body, key, 1, 1 << 30) for key in keys)
    return next((int(one) for one in found if one is not None), None)


def name_of(body: Mapping[str, Any]) -> str:
    """Return the model's name as the agent wrote it, which answers repeat."""
    value = body.get("model")
    return value[:_LONGEST_NAME] if isinstance(value, str) else ""


def arguments_of(call: ToolCall) -> Any:
    """Return the arguments of a validated call as a value."""
    return json.loads(call.arguments or "{}")
