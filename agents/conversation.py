"""Reconstruct a rollout's conversation as the server saw it, so that a follow-up question hits the prefix cache."""

from collections.abc import Mapping, Sequence

from agents.llm.base import Message, ToolSpec
from agents.resume import as_message
from agents.terminal.calls import TYPE
from agents.tools import BASH, SUBMIT
from agents.trajectory import Trajectory

_TOOLS: Mapping[str, tuple[ToolSpec, ...]] = {"bash": (BASH, SUBMIT), "terminal": (TYPE, SUBMIT)}
_TEXT_CALL = "text_"


def conversation_of(trajectory: Trajectory) -> tuple[list[Message], Sequence[ToolSpec]] | None:
    """Return the messages of a finished rollout and its tools, or None if heats did not conduct the conversation."""
    tools = _TOOLS.get(trajectory.agent)
    if tools is None:
        return None
    messages, in_text = messages_of(trajectory)
    return messages, () if in_text else tools


def messages_of(trajectory: Trajectory) -> tuple[list[Message], bool]:
    """Return a rollout's messages in the form of OpenAI's chat API, and whether its tool calls are in the text.

    Where the conversation started over, only what follows the task is from the last start.
    """
    messages: list[Message] = []
    in_text = False
    for step in trajectory.steps:
        if step.source != "agent":
            if step.restarts:
                del messages[2:]
            messages.append({"role": step.source, "content": step.content})
            continue
        messages.append(as_message(step))
        in_text = in_text or any(call.id.startswith(_TEXT_CALL) for call in step.tool_calls)
        for seen in step.observations:
            role: Message = {"role": "user"} if in_text else {"role": "tool", "tool_call_id": seen.tool_call_id}
            messages.append({**role, "content": seen.content})
    return messages, in_text
