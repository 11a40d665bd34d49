"""What a chat model is: OpenAI chat messages in, completions and their usage out.

`ChatModel` is implemented by the OpenAI-compatible client (`openai_client.py`), the demo's rule-based model
(`heats/demo`) and the scripted fake (`fake.py`). Earlier messages of a conversation are never rewritten, so that a
server's prefix cache can be used.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from agents.llm.counters import Counters
from agents.llm.ledger import Ledger, Usage
from core.record import Record

Message = dict[str, Any]
"""An OpenAI chat message, as sent and as stored."""


class History(list[Message]):
    """A conversation that is only ever appended to, which keeps its JSON: the whole of it is sent at every step."""

    def __init__(self) -> None:
        super().__init__()
        self._json = bytearray(b"[")
        self._known = 0

    def encoded(self, encode: Callable[[Message], bytes]) -> bytes:
        """The JSON array, to which `encode` adds the messages that are new."""
        for message in self[self._known :]:
            if self._known:
                self._json += b","
            self._json += encode(message)
            self._known += 1
        return bytes(self._json) + b"]"


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ToolCall(Record):
    """A call of one tool as the model wrote it; `arguments` is unchecked JSON text."""

    id: str
    name: str
    arguments: str


class ToolSpec(Record):
    """A function tool: `parameters` is a JSON schema; sent with `strict: true`."""

    name: str
    description: str
    parameters: dict[str, Any]


class ResponseSchema(Record):
    """A JSON schema that the reply's content must satisfy. `name` says which kind of reply: `summary`, `vote` ..."""

    name: str
    json_schema: dict[str, Any]


_TURN_STRIDE, _RETRY_STRIDE = 0x9E3779B1, 0x85EBCA6B
"""Odd, so that no two turns of a conversation share a seed."""


class Session(Record):
    """Requests that share a prefix, such as all turns of one attempt, and should therefore go to one server.

    Attributes:
        id: opaque, stable over retries and resumed runs.
        order: sessions of a lower order are served first, then those that came first.
    """

    id: str
    order: int = 0


class Sampling(Record):
    """Sampling parameters of one request. None leaves the server's default.

    Attributes:
        seed: of the whole conversation. The seed that is sent depends on `turn` and on the retry as well: a model that
            is asked again with the same seed repeats itself word for word.
        turn: number of the request within the conversation, from 0.
        logprobs: how many alternatives to report for every token, besides the token itself; None reports nothing.
        session: the session that the request belongs to. It decides where a request goes and never what the model
            answers, so it is left out of dumps.
    """

    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, gt=0)
    seed: int | None = None
    turn: int = Field(0, ge=0)
    logprobs: int | None = Field(None, ge=0, le=20)
    session: Session | None = Field(None, exclude=True)

    def request_seed(self, retry: int = 0) -> int | None:
        """The seed of one request: that of the conversation for its first turn, another for each turn and retry."""
        if self.seed is None or not (self.turn or retry):
            return self.seed
        return (self.seed + self.turn * _TURN_STRIDE + retry * _RETRY_STRIDE) % 2**31


def first_seed(seed: int, turn: int) -> int:
    """The seed of the conversation, given the one that was sent at some turn (of no retry)."""
    return (seed - turn * _TURN_STRIDE) % 2**31 if turn else seed


class TokenLogprob(Record):
    """The natural logarithm of the probability of one sampled token, and of its likeliest alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Completion(Record):
    """One choice of a reply.

    Attributes:
        message: the assistant message exactly as it is to be appended to the conversation.
        content: its text, empty when there is none.
        reasoning: the server's separate reasoning text, if any.
        problems: what in the reply cannot be used, each a clause that completes "That could not be run: ...".
        logprobs: of the content's tokens, where `Sampling.logprobs` asked and the server knows them.
    """

    message: Message
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    finish_reason: FinishReason = "stop"
    problems: tuple[str, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class Reply(Record):
    """What one `complete` call returned: `n` completions and what they cost together."""

    completions: tuple[Completion, ...]
    usage: Usage
    model: str

    @property
    def first(self) -> Completion:
        """The first completion; replies are never empty."""
        return self.completions[0]


class ChatModel(Protocol):
    """A chat model. `name` is what the user called it (`Qwen/Qwen3-Coder-30B`, `builtin:repair`)."""

    name: str

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
        """Ask for `n` completions of a conversation.

        The ledger is checked before the request and charged before the reply is parsed.

        Raises:
            ModelConfigError, ModelUnavailable, ContextOverflow, ModelRefused, ReplyInvalid, LimitExceeded.
        """
        ...

    async def preflight(self) -> Mapping[str, Any]:
        """Check that the model answers; returns facts worth recording (server version, context length).

        Raises:
            ModelConfigError, ModelUnavailable.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A server, or a model, that counts what it does.

    Attributes:
        place: tells servers apart within this process; never stored.
    """

    @property
    def place(self) -> str:
        """Where the server is."""
        ...

    async def counters(self) -> Counters | None:
        """What the server has counted since its start, whoever asked; None where it does not say."""
        ...


def meters_of(model: ChatModel) -> tuple[Metered, ...]:
    """The servers that count, of the model or of the one that it passes requests on to."""
    inner: Any = getattr(model, "inner", None) or model
    servers = getattr(inner, "servers", (inner,))
    return tuple(one for one in servers if isinstance(one, Metered))
