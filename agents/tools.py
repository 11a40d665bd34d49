"""The bash agent's tools, and how a model's calls of them are read."""

import json

from agents.llm.base import ToolCall, ToolSpec
from agents.llm.replies import without_surrogates

BASH = ToolSpec(
    name="bash",
    description="Run a bash command in a fresh shell in the sandbox and get its exit code and output.",
    parameters={
        "type": "object",
        "properties": {"command": {"type": "string", "description": "the command, possibly of several lines"}},
        "required": ["command"],
        "additionalProperties": False,
    },
)
SUBMIT = ToolSpec(
    name="submit",
    description="Hand in the work as it is in the working directory now. Ends the attempt; call it once, at the end.",
    parameters={"type": "object", "properties": {}, "required": [], "additionalProperties": False},
)


def command_of(call: ToolCall) -> tuple[str | None, str]:
    """The command of a call, None for a submission; or what is wrong with the call."""
    if call.name not in ("bash", "submit"):
        return None, f"there is no tool named {call.name!r}; the tools are bash and submit"
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return None, f"the arguments of {call.name} are not valid JSON: {error}"
    if call.name == "submit":
        return None, ""
    command = arguments.get("command") if isinstance(arguments, dict) else None
    if not isinstance(command, str) or not command.strip():
        return None, 'bash needs exactly one argument, a non-empty string "command"'
    if "\0" in command:
        return None, "a command cannot contain a NUL character"
    return without_surrogates(command), ""
