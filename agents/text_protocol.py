"""Fenced blocks in place of tool calls, for models that cannot call tools.

A turn holds exactly one ```bash block: a command, or the single word `submit`.
"""

import json
import re

from agents.llm.base import ToolCall

_BLOCK = re.compile(r"^```(?:bash|sh|shell)[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_REASONING = re.compile(r"\A.*?</think>", re.DOTALL)


def calls_in_text(content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
    """The call in a reply, as a tool call; or none, and what is wrong with the reply.

    Args:
        content: the model's message; reasoning that a server left in it is passed over.
        call_id: identity of the call.
    """
    blocks = _BLOCK.findall(_REASONING.sub("", content))
    if len(blocks) != 1:
        return (), f"there must be exactly one ```bash block, and there are {len(blocks)}"
    command = blocks[0].strip("\n")
    if command.strip() == "submit":
        return (ToolCall(id=call_id, name="submit", arguments="{}"),), ""
    return (ToolCall(id=call_id, name="bash", arguments=json.dumps({"command": command})),), ""
