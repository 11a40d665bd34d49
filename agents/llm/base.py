"""The chat-model interface: OpenAI chat messages in, completions and their usage out.

`ChatModel` is implemented by the OpenAI-compatible client (`openai_client.py`), the demo's rule-based model
(`heats/demo`) and the scripted fake (`fake.py`). Earlier messages of a conversation are never rewritten, which keeps
the server's prefix cache effective.
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
    """An append-only conversation that caches its JSON encoding, since every step sends the whole conversation."""

    def __init__(self) -> None:
        super().__init__()
        self._json = bytearray(b"[")
        self._known = 0

    def encoded(self, encode: Callable[[Message], bytes]) -> bytes:
        """Return the conversation as a JSON array; only new messages are passed to `encode`."""
        for message in self[self._known :]:
            if self._known:
                self._json += b","
            self._json += encode(message)
            self._known += 1
        return bytes(self._json) + b"]"


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ToolCall(Record):
    """A tool call as written by the model; `arguments` is unvalidated JSON text."""

    id: str
    name: str
    arguments: str


class ToolSpec(Record):
    """A function tool: `parameters` is a JSON schema; sent with `strict: true`.

    Attributes:
        foreign: another program's tool. Its schema is sent as it is, without `strict`, and since that program checks
            the arguments itself, any JSON object is accepted. Excluded from dumps, so that cassettes keep their keys.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    foreign: bool = Field(False, exclude=True)


class ResponseSchema(Record):
    """A JSON schema for the reply's content. `name` identifies the kind of reply: `summary`, `vote` ..."""

    name: str
    json_schema: dict[str, Any]


_TURN_STRIDE, _RETRY_STRIDE = 0x9E3779B1, 0x85EBCA6B
"""Odd strides, so that no two turns of a conversation share a seed."""


class Session(Record):
    """Requests that share a prefix, such as all turns of one attempt, and should therefore go to the same server.

    Attributes:
        id: opaque identifier, stable across retries and resumed runs.
        order: sessions with a lower order are served first; ties are served in order of arrival.
    """

    id: str
    order: int = 0


class Sampling(Record):
    """Sampling parameters of one request. None keeps the server's default.

    Attributes:
        seed: seed of the whole conversation. The seed sent also depends on `turn` and the retry, because a repeated
            seed reproduces the previous reply word for word.
        turn: index of the request within the conversation, from 0.
        logprobs: number of alternatives to report per token, besides the token itself; None reports nothing.
        grows: whether a reply that was cut before it holds anything of use is asked for again with more `max_tokens`.
        session: the session that the request belongs to. It affects routing but never the reply, so it is excluded
            from dumps.
    """

    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, gt=0)
    seed: int | None = None
    turn: int = Field(0, ge=0)
    logprobs: int | None = Field(None, ge=0, le=20)
    grows: bool = Field(True, exclude=True)
    session: Session | None = Field(None, exclude=True)

    def request_seed(self, retry: int = 0) -> int | None:
        """Return the seed to send: the conversation's on the first turn, another for each later turn and retry."""
        if self.seed is None or not (self.turn or retry):
            return self.seed
        return (self.seed + self.turn * _TURN_STRIDE + retry * _RETRY_STRIDE) % 2**31


def first_seed(seed: int, turn: int) -> int:
    """Recover the conversation's seed from the seed sent at a given turn, assuming no retry."""
    return (seed - turn * _TURN_STRIDE) % 2**31 if turn else seed


class TokenLogprob(Record):
    """Natural log probability of a sampled token, and those of its likeliest alternatives."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Completion(Record):
    """One choice of a reply.

    Attributes:
        message: the assistant message, exactly as it is appended to the conversation.
        content: text of the message; empty if there is none.
        reasoning: separate reasoning text returned by the server, if any.
        problems: unusable parts of the reply, each a clause that completes "That could not be run: ...".
        logprobs: log probabilities of the content's tokens, if `Sampling.logprobs` requests them and the server
            provides them.
    """

    message: Message
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    finish_reason: FinishReason = "stop"
    problems: tuple[str, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


class Reply(Record):
    """Result of one `complete` call: `n` completions and their combined usage."""

    completions: tuple[Completion, ...]
    usage: Usage
    model: str

    @property
    def first(self) -> Completion:
        """The first completion; a reply always has at least one."""
        return self.completions[0]


class ChatModel(Protocol):
    """A chat model. `name` is the name given by the user (`Qwen/Qwen3-Coder-30B`, `builtin:repair`)."""

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
        """Request `n` completions of a conversation.

        The ledger is checked before the request and charged before the reply is parsed.

        Args:
            messages: the conversation so far.
            ledger: charged with the usage.
            tools: tools offered to the model.
            tool_choice: whether the model may, must or must not call a tool.
            n: number of completions.
            response_schema: schema that the content must satisfy; None leaves it free.
            sampling: sampling parameters; None keeps the defaults.

        Returns:
            The completions and their combined usage.

        Raises:
            ModelConfigError, ModelUnavailable, ContextOverflow, ModelRefused, ReplyInvalid, LimitExceeded.
        """
        ...

    async def preflight(self) -> Mapping[str, Any]:
        """Check that the model responds; returns facts worth recording (server version, context length).

        Raises:
            ModelConfigError, ModelUnavailable.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A server or model that exposes counters of its work.

    Attributes:
        place: distinguishes servers within this process; never stored.
    """

    @property
    def place(self) -> str:
        """Location of the server."""
        ...

    async def counters(self) -> Counters | None:
        """Return the server's counters since its start, across all clients; None if it does not expose any."""
        ...


def meters_of(model: ChatModel) -> tuple[Metered, ...]:
    """Return the metered servers of a model, or of the model that it wraps."""
    inner: Any = getattr(model, "inner", None) or model
    servers = getattr(inner, "servers", (inner,))
    return tuple(one for one in servers if isinstance(one, Metered))
