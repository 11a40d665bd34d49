"""What one server turned out not to support, and what is sent instead."""

import re
from collections.abc import Mapping, Sequence
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
# A list of zeros or a line of dashes is no loop; a text that says the same 64 times is.
_DETECTION = {"max_pattern_size": 256, "min_pattern_size": 1, "min_count": 64}


class Quirks:
    """Starts from a server that takes everything; `learn` takes things away as the server rejects them."""

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
        """Several user messages one after another."""
        self.takes_any_id = True
        self.detects_loops = False
        """It can end a reply that repeats itself, as vLLM can."""
        self.max_tokens_key = "max_tokens"
        self.most_tokens: int | None = None
        """Longest reply that the server lets anybody ask for."""
        self.context: int | None = None
        """Tokens of prompt and reply together, where the server says."""

    def learn(self, message: str, body: Mapping[str, Any]) -> bool:
        """Look for the cause of a rejected request in the server's words; True when asking again differently may help.

        What counts is what the rejected request held: others that were on their way then are rejected too, and later.

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
        """Whether a server says that it takes no tools for this model at all."""
        return bool(body.get("tools")) and _NO_TOOLS.search(message) is not None

    def _learn_of_messages(self, message: str, messages: Sequence[Message]) -> bool:
        """What a chat template or a strict server says of the conversation's form."""
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
        """Request fields that have the server end a reply that repeats itself."""
        return {"repetition_detection": _DETECTION} if self.detects_loops else {}

    def fitted(self, messages: Sequence[Message]) -> Sequence[Message]:
        """A conversation in the form that the server takes; the very same one where it takes all."""
        if not self.takes_system:
            messages = _system_folded(messages)
        if not self.takes_runs:
            messages = _runs_joined(messages)
        return messages if self.takes_any_id else [_with_short_ids(message) for message in messages]


def _system_folded(messages: Sequence[Message]) -> list[Message]:
    """The system's text at the beginning of the first user message."""
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
    """User messages that follow each other as one."""
    joined: list[Message] = []
    for message in messages:
        if joined and message.get("role") == joined[-1].get("role") == "user":
            joined[-1] = {**message, "content": f"{joined[-1]['content']}\n\n{message['content']}"}
        else:
            joined.append(message)
    return joined


def _with_short_ids(message: Message) -> Message:
    """The message with ids of nine letters and digits, as Mistral's templates want them."""
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
    """The limit that a server names when it rejects a reply length for any prompt, and not for this prompt's sake."""
    if wanted is None or not _TOO_MANY.search(message) or "input tokens" in message or "messages" in message:
        return None
    return max((int(number) for number in re.findall(r"\d+", message) if 0 < int(number) < wanted), default=None)
