"""Replies that are one JSON value: summaries and judgements, by rules, from the text that is shown."""

import json
from collections.abc import Sequence
from typing import Any

from agents.llm.base import Message, ResponseSchema
from agents.llm.repair import judging, summing
from agents.llm.repair.instance import fitted
from agents.llm.repair.reading import text_of


def answer(messages: Sequence[Message], schema: ResponseSchema | None, seed: int) -> str:
    """The reply's text: JSON that fits `schema`, or a plain sentence where none is given."""
    text = "\n\n".join(text_of(message) for message in messages if message.get("role") == "user")
    if schema is None:
        return "I am builtin:repair, a program that repairs small Python bugs by rules. I need the tool `bash`."
    value: Any = None
    properties = schema.json_schema.get("properties", {})
    if schema.name == "summary" or "failure_modes" in properties:
        value = summing.draft(text)
    elif properties.keys() & {"choice", "score", "verdict"}:
        value = judging.judgement(text, properties, seed)
    return json.dumps(fitted(value, schema.json_schema), ensure_ascii=False)
