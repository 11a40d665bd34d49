"""Features that a server turns out not to support, and their substitutes."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from agents.llm.base import Message

_N = re.compile(
    r"(?<![\w.])['\"`]?n['\"`]?\s*(>|=|must|is not|parameter|other than)|only one completion", re.IGNORECASE
)
_SCHEMA = re.compile(r"response_format|json_schema|guided|structured.?output|grammar", re.IGNORECASE)
_BOUND = re.compile(r"\b(max|min)(Length|Items)\b")
_TOO_MANY = re.compile(r"max(_completion)?_tokens.{0,60}(cannot be greater|too large|at most|less than)", re.IGNORECASE)
_STRICT = re.compile(r"\bstrict\b|'required' is required to be supplied")
_SYSTEM = re.compile(
    r"system.{0,40}(not|n't|un)[ -]?(support|allow|permit|accept)|(not|n't) (support|accept|allow).{0,20}\bsystem\b"
    r"|roles? must alternate|only user.{0,20}assistant",
    re.IGNORECASE,
)
_ALTERNATE = re.compile(r"roles? must alternate|consecutive (user|messages)", re.IGNORECASE)
_NO_TOOLS = re.compile(
    r"(does|do|is|are)(n't| not) support(ed)?.{0,20}\b(tool|function)"
    r"|\b(tool|function)s? (use|calling)?.{0,10}not supported",
    re.IGNORECASE,
)
_ID = re.compile(r"tool.?call.?id.{0,120}length of 9", re.IGNORECASE | re.DOTALL)
_ECHO = 24
"""Letters and digits in a row that an error and a request share by no accident."""
_READ = 20_000
"""Characters of an error that are read."""
# A list of zeros or a line of dashes is not a loop; the same text 64 times is.
_DETECTION = {"max_pattern_size": 256, "min_pattern_size": 1, "min_count": 64}


class Quirks:
    """Assumes initially that the server supports everything; `learn` disables features as the server rejects them."""

    def __init__(self) -> None:
        self.takes_n = True
        self.takes_schema = True
        self.takes_bounds = True
        self.takes_strict = True
        self.takes_required = True
        self.takes_seed = True
        self.takes_logprobs = True
        self.takes_system = True
        self.takes_runs = True
        """Whether the server accepts consecutive user messages."""
        self.takes_any_id = True
        self.detects_loops = False
        """Whether the server can stop a looping reply, as vLLM can."""
        self.max_tokens_key = "max_tokens"
        self.most_tokens: int | None = None
        """Maximum reply length accepted by the server, in tokens."""
        self.context: int | None = None
        """Context length in tokens, prompt and reply combined, if the server reports it."""

    def learn(self, message: str, body: Mapping[str, Any]) -> bool:
        """Infer the cause of a rejection from the server's error; returns True if a modified request may succeed.

        The content of the rejected request decides, since other requests in flight may be rejected later for the same
        reason.

        Args:
            message: the server's error text and parameter name.
            body: the rejected request.
        """
        if body.get("n", 1) > 1 and _N.search(message):
            self.takes_n = False
        elif _BOUND.search(message) and _BOUND.search(str(body.get("response_format"))):
            self.takes_bounds = False
        elif "response_format" in body and _SCHEMA.search(message):
            self.takes_schema = False
        elif most := _most_tokens(message, body.get(self.max_tokens_key)):
            self.most_tokens = most
        elif "max_tokens" in body and re.search(
            r"(use|instead).*max_completion_tokens|max_completion_tokens.*instead", message, re.I
        ):
            self.max_tokens_key = "max_completion_tokens"
        elif _STRICT.search(message) and any(tool["function"].get("strict") for tool in body.get("tools") or ()):
            self.takes_strict = False
        elif body.get("tool_choice") == "required" and "tool_choice" in message:
            self.takes_required = False
        elif "logprobs" in body and re.search(r"logprobs", message):
            self.takes_logprobs = False
        elif "seed" in body and re.search(r"\bseed\b", message):
            self.takes_seed = False
        elif "repetition_detection" in body and "repetition_detection" in message:
            self.detects_loops = False
        else:
            return self._learn_of_messages(message, body.get("messages") or ())
        return True

    def rejects_tools(self, message: str, body: Mapping[str, Any]) -> bool:
        """Whether the error says that the server does not support tools for this model at all."""
        return bool(body.get("tools")) and _NO_TOOLS.search(message) is not None

    def _learn_of_messages(self, message: str, messages: Sequence[Message]) -> bool:
        """Learn from a chat template's or strict server's complaint about the form of the conversation."""
        if messages and messages[0].get("role") == "system" and _SYSTEM.search(message):
            self.takes_system = False
        elif _ALTERNATE.search(message) and len(_runs_joined(messages)) < len(messages):
            self.takes_runs = False
        elif _ID.search(message) and [*map(_with_short_ids, messages)] != [*messages]:
            self.takes_any_id = False
        else:
            return False
        return True

    @property
    def detection(self) -> Mapping[str, Any]:
        """Return the request fields that make the server stop a looping reply."""
        return {"repetition_detection": _DETECTION} if self.detects_loops else {}

    def fitted(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Convert a conversation to a form accepted by the server; unchanged if the server accepts every form."""
        if not self.takes_system:
            messages = _system_folded(messages)
        if not self.takes_runs:
            messages = _runs_joined(messages)
        return messages if self.takes_any_id else [_with_short_ids(message) for message in messages]


def without_echo(message: str, body: Mapping[str, Any]) -> str:
    """Remove what an error only repeats of the rejected request, such as the input that vLLM's validation errors quote.

    A request holds text by programs and people that nobody vouches for, and none of it may pass for the server's word.

    Args:
        message: the server's error, of which only the beginning is read.
        body: the rejected request.

    Returns:
        The message with every run of at least `_ECHO` letters and digits that the request has as well left out.
    """
    message = message[:_READ]
    letters = _letters(message)
    windows = set(_windows(letters))
    if not windows:
        return message
    forms = map(_letters, (json.dumps(body, ensure_ascii=False, default=str), str(dict(body))))
    known = windows.intersection(window for sent in forms for window in _windows(sent))
    places = [at for at, character in enumerate(message) if character.isalnum()]
    echoed: set[int] = set()
    for at, window in enumerate(_windows(letters)):
        if window in known:
            echoed.update(range(places[at], places[at + _ECHO - 1] + 1))
    return "".join(character for at, character in enumerate(message) if at not in echoed)


def _windows(letters: str) -> Iterator[str]:
    return (letters[at : at + _ECHO] for at in range(len(letters) - _ECHO + 1))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)


def _system_folded(messages: Sequence[Message]) -> list[Message]:
    """Fold the system message into the beginning of the first user message."""
    said = [str(message["content"]) for message in messages if message.get("role") == "system"]
    rest = [message for message in messages if message.get("role") != "system"]
    first = next((at for at, message in enumerate(rest) if message.get("role") == "user"), None)
    if not said:
        return rest
    if first is None:
        return [{"role": "user", "content": "\n\n".join(said)}, *rest]
    rest[first] = {**rest[first], "content": "\n\n".join([*said, str(rest[first].get("content"))])}
    return rest


def _runs_joined(messages: Sequence[Message]) -> list[Message]:
    """Merge consecutive user messages."""
    joined: list[Message] = []
    for message in messages:
        if joined and message.get("role") == joined[-1].get("role") == "user":
            joined[-1] = {**message, "content": f"{joined[-1]['content']}\n\n{message['content']}"}
        else:
            joined.append(message)
    return joined


def _with_short_ids(message: Message) -> Message:
    """Convert call ids to nine alphanumeric characters, as Mistral's templates require."""
    changed = dict(message)
    if message.get("tool_calls"):
        changed["tool_calls"] = [{**call, "id": _short(call["id"])} for call in message["tool_calls"]]
    if message.get("tool_call_id"):
        changed["tool_call_id"] = _short(message["tool_call_id"])
    return changed


def _short(identity: str) -> str:
    if re.fullmatch("[a-zA-Z0-9]{9}", identity):
        return identity
    return sha256(identity.encode("utf-8", "replace")).hexdigest()[:9]


def _most_tokens(message: str, wanted: int | None) -> int | None:
    """Return the reply-length limit named in an error, if it applies to every prompt and not just to this one."""
    if wanted is None or not _TOO_MANY.search(message) or "input tokens" in message or "messages" in message:
        return None
    return max((int(number) for number in re.findall(r"\d+", message) if 0 < int(number) < wanted), default=None)
