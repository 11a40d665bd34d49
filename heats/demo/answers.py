"""Replies that are a single JSON value: rule-based summaries and judgements of the text shown."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from agents.llm.base import Message, ResponseSchema
from agents.wording import step_line
from heats.demo import judging, noting, summing
from heats.demo.instance import fitted
from heats.demo.reading import text_of

_ENDING = re.compile(r"exit code (\d+)")


def _shown(messages: Sequence[Message]) -> Iterator[str]:
    """The text of the messages; calls in a conversation appear as a summarizer would see them."""
    commands: dict[str, tuple[int, str, str]] = {}
    step = 0
    for message in messages:
        step += message.get("role") != "tool"
        for call in message.get("tool_calls") or ():
            function = call["function"]
            command = json.loads(function["arguments"] or "{}").get("command", "")
            commands[call["id"]] = (step, function["name"], command)
        if message.get("role") == "user":
            yield text_of(message)
        elif message.get("role") == "tool" and (ran := commands.get(str(message.get("tool_call_id")))):
            ending = _ENDING.match(text_of(message))
            yield (
                step_line(ran[0], ran[1], f"exit {ending[1]}" if ending else "shown") + f"{ran[2]}\n{text_of(message)}"
            )


def answer(messages: Sequence[Message], schema: ResponseSchema | None, seed: int) -> str:
    """The reply's text.

    Args:
        messages: the request.
        schema: schema of the reply; None for plain text.
        seed: draws the judge's error.

    Returns:
        JSON that fits `schema`, or a plain sentence without one.
    """
    text = "\n\n".join(_shown(messages))
    if schema is None:
        return "I am builtin:repair, a program that repairs small Python bugs by rules. I need the tool `bash`."
    value: Any = None
    properties = schema.json_schema.get("properties", {})
    if schema.name == "summary":
        value = summing.draft(text)
    elif schema.name.startswith("bank-") and "operations" in properties:
        value = noting.operations(text)
    elif properties.keys() & {"choice", "score", "verdict"}:
        value = judging.judgement(text, properties, seed)
    return json.dumps(fitted(value, schema.json_schema), ensure_ascii=False)
