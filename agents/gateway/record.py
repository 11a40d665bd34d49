"""A rollout's trajectory, built from the requests that its agent makes.

An agent sends its whole conversation with every request, and may conduct several: side questions, subagents, a fresh
start after compacting. A request belongs to the conversation whose latest reply it contains; everything after that
reply is new. Steps are in the order in which the gateway saw them.
"""

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from agents.llm.base import Completion, Message
from agents.llm.ledger import Usage
from agents.resume import with_odd_message
from agents.trajectory import Observation, Step
from core.text import elide

_SHOWN = 100_000
"""Characters kept from the beginning and from the end of a message or a tool's result."""
_MOST_CHARS, _STEP_CHARS = 64 << 20, 500
"""Characters of messages and results that are kept of a rollout, and what a step counts besides its text."""
_FULL = f"(not recorded: this rollout sent more than {_MOST_CHARS >> 20} MiB)"


@dataclass
class Record:
    """What the gateway saw of one rollout.

    Attributes:
        steps: the trajectory so far.
    """

    steps: list[Step] = field(default_factory=list)
    _said: dict[tuple[str, ...], Message] = field(default_factory=dict)
    _called_in: dict[str, int] = field(default_factory=dict)
    _heard: set[bytes] = field(default_factory=set)
    _room: int = _MOST_CHARS

    def restored(self, messages: Sequence[Message]) -> list[Message]:
        """Put the model's own messages in place of the agent's copies, which lack reasoning and are written anew.

        The server's prefix cache depends on that, and so do models that expect their reasoning back. A message that
        the agent changed stays as it is.
        """
        return [self._original(message) or message for message in messages]

    def with_known_ids(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Restore the ids of calls, and of their results, where the agent left them out, as generateContent allows."""
        if all(_key(message) in self._said for message in messages if message.get("tool_calls")):
            return tuple(messages)
        said: dict[str, deque[Message]] = defaultdict(deque)
        for one in self._said.values():
            said[repr(_calls(one))].append(one)
        ids: dict[str, str] = {}
        aligned: list[Message] = []
        for message in messages:
            same = said[repr(_calls(message))] if message.get("tool_calls") else ()
            if same and _key(message) not in self._said:
                calls, known = message["tool_calls"], same.popleft()["tool_calls"]
                ids |= {call["id"]: own["id"] for call, own in zip(calls, known, strict=True)}
                named = [{**call, "id": own["id"]} for call, own in zip(calls, known, strict=True)]
                message = {**message, "tool_calls": named}
            elif message.get("tool_call_id") in ids:
                message = {**message, "tool_call_id": ids[message["tool_call_id"]]}
            aligned.append(message)
        return tuple(aligned)

    def heard(self, messages: Sequence[Message]) -> None:
        """Record what a request adds to its conversation."""
        keys = [_key(message) for message in messages]
        known = [at for at, key in enumerate(keys) if key in self._said]
        start, last = (known[-1] + 1, keys[known[-1]]) if known else (0, ())
        before = (*last, str(keys.count(last)))  # a model may say the same again, and be answered the same
        for message in messages[start:]:
            role, content = message["role"], str(message.get("content") or "")
            told = _digest(
                () if role == "system" or not known else before, role + str(message.get("tool_call_id", "")), content
            )
            if role == "assistant" or told in self._heard:
                continue
            if self._room > 0:
                self._heard.add(told)
            if role == "tool":
                self._observed(message["tool_call_id"], content)
            elif self._room > 0:
                kept = self._kept(content)
                self.steps.append(Step(id=len(self.steps) + 1, source=role, content=kept, timestamp=now()))

    def distinct(self, completion: Completion) -> Completion:
        """Rename calls whose id an earlier reply has used: agents tell their results apart by it."""
        taken = [call.id for call in completion.tool_calls if call.id in self._called_in]
        if not taken:
            return completion
        new = {old: f"r{len(self.steps):05}{index:03}" for index, old in enumerate(taken)}  # others begin with c
        calls = tuple(call.model_copy(update={"id": new.get(call.id, call.id)}) for call in completion.tool_calls)
        made = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
        return completion.model_copy(
            update={"tool_calls": calls, "message": {**completion.message, "tool_calls": made}}
        )

    def replied(self, completion: Completion, usage: Usage) -> None:
        """Record a reply of the model."""
        step = Step(
            id=len(self.steps) + 1,
            source="agent",
            content=completion.content,
            reasoning=completion.reasoning,
            tool_calls=completion.tool_calls,
            problems=completion.problems,
            usage=usage,
            finish_reason=completion.finish_reason,
            timestamp=now(),
        )
        self._said[_key(completion.message)] = completion.message
        self._called_in |= {call.id: len(self.steps) for call in completion.tool_calls}
        self.steps.append(with_odd_message(step, completion))

    def _observed(self, call_id: str, content: str) -> None:
        at = self._called_in.get(call_id)
        if at is None or any(one.tool_call_id == call_id for one in self.steps[at].observations):
            return
        seen = Observation(
            tool_call_id=call_id, content=self._kept(content), output_bytes=len(content.encode("utf-8", "replace"))
        )
        self.steps[at] = self.steps[at].model_copy(update={"observations": (*self.steps[at].observations, seen)})

    def _kept(self, text: str) -> str:
        """What is recorded of a text. A rollout's record is bounded, whatever its agent sends."""
        kept = elide(text, _SHOWN, _SHOWN)[0] if self._room > 0 else _FULL
        self._room -= len(kept) + _STEP_CHARS
        return kept if self._room > 0 else _FULL

    def _original(self, message: Message) -> Message | None:
        said = self._said.get(_key(message)) if message["role"] == "assistant" else None
        return said if said is not None and _calls(said) == _calls(message) else None


def _key(message: Message) -> tuple[str, ...]:
    """What identifies a reply: the ids of its calls, else its text."""
    if message["role"] != "assistant":
        return (message["role"],)
    ids = [str(call["id"]) for call in message.get("tool_calls") or ()]
    return ("calls", *ids) if ids else ("text", str(message.get("content") or "").strip())


def _calls(message: Message) -> list[tuple[str, Any]]:
    return [
        (call["function"]["name"], _value(call["function"]["arguments"])) for call in message.get("tool_calls") or ()
    ]


def _value(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def _digest(*parts: object) -> bytes:
    return sha256(repr(parts).encode("utf-8", "replace")).digest()


def now() -> str:
    """The time for a step, in the form of `Step.timestamp`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
