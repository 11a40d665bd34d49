"""Text instead of tool calls, for models that cannot call tools.

A turn contains exactly one ```bash block: a command, or the single word `submit`. If the server enforces a schema, a
turn is one JSON object. Both forms are always accepted.
"""

import json
import re

from agents.llm.base import ResponseSchema, ToolCall
from agents.llm.contents import answer_text
from agents.llm.structured import extract

_BLOCK = re.compile(r"^```(?:bash|sh|shell)[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE | re.IGNORECASE)
_UNNAMED = re.compile(r"^```[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
BASH_TURN = ResponseSchema(
    name="bash_turn",
    json_schema={
        "type": "object",
        "properties": {
            "thought": {"type": "string", "maxLength": 2000},
            "command": {"type": "string", "maxLength": 20_000, "description": "run in a fresh bash"},
            "submit": {"type": "boolean", "description": "hand in the work; no command is run then"},
        },
        "required": ["thought", "command", "submit"],
        "additionalProperties": False,
    },
)


def calls_in_text(content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
    """Parse the call in a reply into a tool call; without one, say what is wrong with the reply.

    Args:
        content: the model's message; reasoning that the server left in it is skipped.
        call_id: ID for the call.
    """
    answer = answer_text(content)
    blocks = _BLOCK.findall(answer) or _UNNAMED.findall(answer)
    if not blocks:
        found, _ = extract(content, BASH_TURN.json_schema)
        if found is not None:
            turn = json.loads(found)
            return _call(call_id, "submit" if turn["submit"] else turn["command"])
    if len(blocks) != 1:
        return (), f"there must be exactly one ```bash block, and there are {len(blocks)}"
    return _call(call_id, blocks[0].strip("\n"))


def _call(call_id: str, command: str) -> tuple[tuple[ToolCall, ...], str]:
    if command.strip() == "submit":
        return (ToolCall(id=call_id, name="submit", arguments="{}"),), ""
    return (ToolCall(id=call_id, name="bash", arguments=json.dumps({"command": command})),), ""
