"""A scripted chat model for tests, which records its requests and fails clearly when the script is exhausted.

A reply may be text, a `Completion`, a list of either (for `n`), an exception to raise, or a callable that maps the
messages to any of these. `bash(...)`, `submit()` and `calls(...)` build the completions that agents expect.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.llm.base import Completion, Message, Reply, ResponseSchema, Sampling, ToolCall, ToolSpec
from agents.llm.ledger import Ledger, Usage

Scripted = str | Completion | Sequence[str | Completion] | BaseException
Responder = Callable[[Sequence[Message]], Scripted]


class FakeExhausted(AssertionError):
    """The script has no reply left for a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRequest:
    """A recorded `complete` call, with a snapshot of its messages."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    tool_choice: str
    n: int
    response_schema: ResponseSchema | None
    sampling: Sampling | None


def calls(*tool_calls: tuple[str, Mapping[str, Any] | str], content: str = "", prefix: str = "call") -> Completion:
    """Build a completion with tool calls, given as (name, arguments) pairs.

    Args:
        tool_calls: name and arguments of each call; arguments given as text are sent verbatim.
        content: text of the message.
        prefix: prefix of the call ids.
    """
    made = tuple(
        ToolCall(id=f"{prefix}_{index}", name=name, arguments=args if isinstance(args, str) else json.dumps(dict(args)))
        for index, (name, args) in enumerate(tool_calls)
    )
    wire = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in made
    ]
    message: Message = {"role": "assistant", "content": content or None, "tool_calls": wire}
    return Completion(message=message, content=content, tool_calls=made, finish_reason="tool_calls")


def bash(*commands: str, content: str = "") -> Completion:
    """A completion that calls the `bash` tool once per command."""
    return calls(*(("bash", {"command": command}) for command in commands), content=content)


def submit(*commands: str) -> Completion:
    """A completion that runs `commands`, then submits."""
    return calls(*(("bash", {"command": command}) for command in commands), ("submit", {}))


def text(content: str, finish_reason: Literal["stop", "length", "content_filter"] = "stop") -> Completion:
    """A completion without tool calls."""
    message = {"role": "assistant", "content": content}
    return Completion(message=message, content=content, finish_reason=finish_reason)


def count_tokens(value: object) -> int:
    """Approximate a tokenizer: one token per four characters, at least one."""
    return max(1, len(json.dumps(value, ensure_ascii=False)) // 4)


class FakeModel:
    """A `ChatModel` that answers from a script.

    Args:
        replies: scripted replies, one per request, in order.
        name: name recorded in trajectories.
        responder: handles requests beyond the script; without it, an exhausted script raises `FakeExhausted`.
    """

    def __init__(self, *replies: Scripted | Responder, name: str = "fake", responder: Responder | None = None) -> None:
        self.name = name
        self.requests: list[FakeRequest] = []
        self.closed = False
        self._queue: deque[Scripted | Responder] = deque(replies)
        self._responder = responder

    def enqueue(self, *replies: Scripted | Responder) -> None:
        """Append replies to the script."""
        self._queue.extend(replies)

    @property
    def left(self) -> int:
        """Number of unused scripted replies."""
        return len(self._queue)

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
        """Reply from the script and charge an estimate of the tokens; see `ChatModel.complete`."""
        ledger.check()
        self.requests.append(
            FakeRequest(
                messages=tuple(json.loads(json.dumps(list(messages)))),
                tools=tuple(tools),
                tool_choice=tool_choice,
                n=n,
                response_schema=response_schema,
                sampling=sampling,
            )
        )
        completions = self._next(self.requests[-1])
        usage = Usage(
            calls=1,
            prompt_tokens=count_tokens(list(messages)),
            completion_tokens=sum(count_tokens(completion.message) for completion in completions),
        )
        ledger.charge(usage)
        return Reply(completions=completions, usage=usage, model=self.name)

    def _next(self, request: FakeRequest) -> tuple[Completion, ...]:
        reply = self._queue.popleft() if self._queue else self._respond(request)
        if callable(reply):
            reply = reply(request.messages)
        if isinstance(reply, BaseException):
            raise reply
        many: Sequence[str | Completion] = [reply] * request.n if isinstance(reply, str | Completion) else list(reply)
        return tuple(text(one) if isinstance(one, str) else one for one in many)

    def _respond(self, request: FakeRequest) -> Scripted:
        """Reply to a request beyond the script."""
        if self._responder is not None:
            return self._responder(request.messages)
        last = str(request.messages[-1].get("content"))[:200] if request.messages else ""
        raise FakeExhausted(f"no scripted reply left for request {len(self.requests)}; its last message: {last!r}")

    async def preflight(self) -> Mapping[str, Any]:
        """Always succeeds."""
        return {"model": self.name}

    async def close(self) -> None:
        """Record the call."""
        self.closed = True
