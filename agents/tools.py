"""The bash agent's tools, and the parsing of calls to them."""

import json
from dataclasses import dataclass

from agents.llm.base import ToolCall, ToolSpec
from agents.llm.replies import without_surrogates


def bash_tool(usual_s: float, longest_s: float) -> ToolSpec:
    """Define the tool that runs a command.

    Args:
        usual_s: default timeout of a command, in seconds.
        longest_s: longest timeout that a command may set, in seconds.
    """
    timeout = f"seconds after which it is stopped, where {usual_s:g} are too few; at most {longest_s:g}"
    return ToolSpec(
        name="bash",
        description="Run a bash command in a fresh shell in the sandbox and get its exit code and output.",
        parameters={
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "the command, possibly of several lines"},
                "timeout_s": {"type": "number", "description": timeout},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    )


BASH = bash_tool(120, 600)
SUBMIT = ToolSpec(
    name="submit",
    description="Hand in the work as it is in the working directory now. Ends the attempt; call it alone, at the end.",
    parameters={"type": "object", "properties": {}, "required": [], "additionalProperties": False},
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command to run; a `timeout_s` of None leaves the timeout to the agent."""

    text: str
    timeout_s: float | None = None


def command_of(call: ToolCall) -> tuple[Command | None, str]:
    """Parse a call into its command, or None for a submission; else say what is wrong with it."""
    if call.name not in ("bash", "submit"):
        return None, f"there is no tool named {call.name[:60]!r}; the tools are bash and submit"
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return None, f"the arguments of {call.name} are not valid JSON: {str(error)[:200]}"
    if not isinstance(arguments, dict):
        return None, f"the arguments of {call.name} must be one JSON object" + (
            ' with a non-empty string "command"' if call.name == "bash" else ""
        )
    return (None, "") if call.name == "submit" else _command(arguments)


def _command(arguments: dict[str, object]) -> tuple[Command | None, str]:
    command, timeout_s = arguments.get("command"), arguments.get("timeout_s")
    if not isinstance(command, str) or not command.strip():
        return None, 'bash needs the argument "command", a non-empty string'
    if "\0" in command:
        return None, "a command cannot contain a NUL character"
    if timeout_s is not None and (isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float)):
        return None, '"timeout_s" must be a number of seconds'
    if timeout_s is not None and not timeout_s > 0:
        return None, '"timeout_s" must be more than 0 seconds'
    return Command(str(without_surrogates(command)), timeout_s), ""
