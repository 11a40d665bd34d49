"""`builtin:repair`: a rule-based program-repair policy behind the chat protocol."""

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agents.llm.base import Completion, Message, Reply, ResponseSchema, Sampling, ToolCall, ToolSpec
from agents.llm.ledger import Ledger, Usage
from heats.demo.answers import answer
from heats.demo.policy import RepairAction, RepairConfig, RepairPolicy
from heats.demo.pool import Pool
from heats.demo.reading import read, text_of

NAME = "builtin:repair"
CHARS_PER_TOKEN = 4


class RepairModel:
    """A `ChatModel` that repairs small Python bugs by rules; not a language model.

    A reply depends only on the messages and the seed, so a resumed conversation continues as an uninterrupted one
    would.

    Args:
        config: how hard it tries.
    """

    name = NAME

    def __init__(self, config: RepairConfig | None = None) -> None:
        self._policy = RepairPolicy(config or RepairConfig(), Pool())

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
        """Answer; see `ChatModel.complete`. Tokens are counted as characters / 4.

        Args:
            messages: the conversation.
            ledger: charged with the usage.
            tools: available tools; it acts only if `bash` is among them.
            tool_choice: `none` prevents acting.
            n: number of completions.
            response_schema: schema of the replies.
            sampling: only its seed is used.

        Raises:
            LimitExceeded: the ledger allows no further call.
        """
        ledger.check()
        first = sampling.seed if sampling and sampling.seed is not None else _seed_of(messages)
        seeds = [first + number for number in range(n)]
        acting = response_schema is None and tool_choice != "none" and any(tool.name == "bash" for tool in tools)
        # Parsing takes up to a second on a large function; other rollouts must stay live meanwhile.
        if acting:
            completions = await asyncio.to_thread(self._turns, messages, seeds)
        else:
            completions = await asyncio.to_thread(_answers, messages, response_schema, seeds)
        usage = _usage(messages, completions)
        ledger.charge(usage)
        return Reply(completions=completions, usage=usage, model=NAME)

    async def preflight(self) -> Mapping[str, Any]:
        """Always ready."""
        return {"model": NAME, "kind": "rules", "context_length": None}

    async def close(self) -> None:
        """Nothing to release."""

    def _turns(self, messages: Sequence[Message], seeds: Sequence[int]) -> tuple[Completion, ...]:
        known = read(messages)
        return tuple(_completion(self._policy.act(known, seed), known.turns) for seed in seeds)


def _seed_of(messages: Sequence[Message]) -> int:
    """The seed for a request without one, derived from its first messages: the same throughout a rollout."""
    return zlib.crc32("\n".join(text_of(message) for message in messages[:2]).encode())


def _answers(
    messages: Sequence[Message], schema: ResponseSchema | None, seeds: Sequence[int]
) -> tuple[Completion, ...]:
    texts = [answer(messages, schema, seed) for seed in seeds]
    return tuple(Completion(message={"role": "assistant", "content": text}, content=text) for text in texts)


def _completion(action: RepairAction, turn: int) -> Completion:
    arguments = [("bash", json.dumps({"command": command}, ensure_ascii=False)) for command in action.commands]
    if action.submit:
        arguments.append(("submit", "{}"))
    calls = tuple(
        ToolCall(id=f"call_{turn}_{number}", name=name, arguments=text) for number, (name, text) in enumerate(arguments)
    )
    message: Message = {
        "role": "assistant",
        "content": action.text,
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ],
    }
    return Completion(message=message, content=action.text, tool_calls=calls, finish_reason="tool_calls")


def _usage(messages: Sequence[Message], completions: Sequence[Completion]) -> Usage:
    asked = sum(len(text_of(message)) + len(json.dumps(message.get("tool_calls") or "")) for message in messages)
    said = sum(len(c.content) + sum(len(call.arguments) for call in c.tool_calls) for c in completions)
    return Usage(calls=1, prompt_tokens=asked // CHARS_PER_TOKEN, completion_tokens=said // CHARS_PER_TOKEN + 1)
