"""The terminal agent's tools, and the parsing of calls to them."""

import json
import math
from dataclasses import dataclass
from typing import Any

from agents.llm.base import ResponseSchema, ToolCall, ToolSpec
from agents.llm.replies import without_surrogates
from agents.llm.structured import extract
from agents.terminal.tmux import KEY

_MAX_TEXT = 100_000
_MAX_KEYS = 200
_TEXT = {
    "type": "string",
    "maxLength": 20_000,
    "description": "typed as it is, tabs included; a line end at its end is Enter; several lines arrive as one paste",
}
_KEYS = {
    "type": "array",
    "items": {"type": "string", "maxLength": 20},
    "description": "keys pressed after the text, by tmux's names: Enter, C-c, C-d, Escape, Tab, Up, PageDown, F1 ...",
}
_WAIT = {"type": "number", "description": "seconds to wait for the program, at most"}
TYPE = ToolSpec(
    name="type",
    description="Type into the terminal, wait, and see what is new on it.",
    parameters={
        "type": "object",
        "properties": {"text": _TEXT, "keys": _KEYS, "wait_s": _WAIT},
        "required": ["text", "keys", "wait_s"],
        "additionalProperties": False,
    },
)
SUBMIT = ToolSpec(
    name="submit",
    description="Hand in the machine as it is. The first call shows what is new; the second in a row ends the attempt.",
    parameters={"type": "object", "properties": {}, "required": [], "additionalProperties": False},
)
TURN = ResponseSchema(
    name="terminal_turn",
    json_schema={
        "type": "object",
        "properties": {
            "thought": {"type": "string", "maxLength": 2000},
            "text": _TEXT,
            "keys": _KEYS,
            "wait_s": _WAIT,
            "submit": {"type": "boolean", "description": "hand in the machine; nothing is typed then"},
        },
        "required": ["thought", "text", "keys", "wait_s", "submit"],
        "additionalProperties": False,
    },
)
"""One turn of a model that does not support tool calls."""

__all__ = ["SUBMIT", "TURN", "TYPE", "Typing", "calls_in_turn", "typing_of"]


@dataclass(frozen=True, slots=True)
class Typing:
    """One validated call of `type`."""

    text: str
    keys: tuple[str, ...]
    wait_s: float


def typing_of(call: ToolCall, wait_limit_s: float) -> tuple[Typing | None, str]:
    """Parse a call into what it types, or None for a submission; else say what is wrong with it."""
    if call.name not in ("type", "submit"):
        return None, f"there is no tool named {call.name[:60]!r}; the tools are type and submit"
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return None, f"the arguments of {call.name} are not valid JSON: {str(error)[:200]}"
    if not isinstance(arguments, dict):
        return None, f"the arguments of {call.name} must be an object"
    if call.name == "submit":
        return None, ""
    return _typing(arguments, wait_limit_s)


def _typing(arguments: dict[str, Any], wait_limit_s: float) -> tuple[Typing | None, str]:
    text, keys, wait_s = arguments.get("text", ""), arguments.get("keys", []), arguments.get("wait_s", 1)
    if not isinstance(text, str) or "\0" in text or len(text) > _MAX_TEXT:
        return None, f'"text" must be a string of at most {_MAX_TEXT} characters without NUL'
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        return None, f'"keys" must be a list of at most {_MAX_KEYS} names of keys'
    wrong = [key for key in keys if not isinstance(key, str) or not KEY.match(key)]
    if wrong:
        return None, f"not the name of a key: {str(wrong[0])[:40]!r}; names are such as Enter, C-c, Escape, Up"
    if isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not math.isfinite(wait_s) or wait_s < 0:
        return None, '"wait_s" must be a number of seconds'
    return Typing(without_surrogates(text), tuple(keys), min(float(wait_s), wait_limit_s)), ""


def calls_in_turn(content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
    """Parse the call in a reply that is one JSON object of `TURN`; without one, say what is wrong with the reply."""
    found, problem = extract(content, TURN.json_schema)
    if found is None:
        return (), f"the reply cannot be used: {problem}"
    turn = json.loads(found)
    if turn["submit"]:
        return (ToolCall(id=call_id, name="submit", arguments="{}"),), ""
    arguments = json.dumps({name: turn[name] for name in ("text", "keys", "wait_s")})
    return (ToolCall(id=call_id, name="type", arguments=arguments),), ""
