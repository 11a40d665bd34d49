"""Tools as text, for models that cannot call tools: described in the system message, called in tagged JSON."""

import json
from collections.abc import Sequence

from agents.llm.base import Completion, Message, ToolSpec
from agents.llm.calls import calls_in_content, read_calls

_OPENS, _CLOSES = "<tool_call>", "</tool_call>"
_RULES = """You have the tools below. To call one, end your reply with a block of this form, one for each call:

<tool_call>
{"name": "TOOL", "arguments": {...}}
</tool_call>

The results come in the next message. A reply without such a block ends your work.

"""


class InText:
    """The text form of a conversation with tools.

    Args:
        tools: the tools offered.
    """

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._tools = tools

    def messages(self, messages: Sequence[Message]) -> list[Message]:
        """Describe the tools, and write earlier calls and their results as text."""
        described = _RULES + "\n\n".join(_described(tool) for tool in self._tools)
        system = [str(one["content"]) for one in messages if one["role"] == "system"]
        opening: Message = {"role": "system", "content": "\n\n".join([*system, described])}
        return [opening, *(_as_text(one) for one in messages if one["role"] != "system")]

    def completion(self, completion: Completion, turn: int) -> Completion:
        """Read the calls in a reply's text."""
        written, content = calls_in_content(completion.content, self._tools)
        calls, problems = read_calls(written, self._tools, (), turn)
        made = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
        message: Message = {"role": "assistant", "content": content or (None if made else "")}
        message = {**message, "tool_calls": made} if made else message
        update = {"content": content, "tool_calls": calls, "problems": problems, "message": message}
        return completion.model_copy(update=update)


def _described(tool: ToolSpec) -> str:
    return f"{tool.name}: {tool.description}\narguments: {json.dumps(tool.parameters, ensure_ascii=False)}"


def _as_text(message: Message) -> Message:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = message.get("tool_calls") or ()
    if not calls:
        return message
    blocks = [
        f'{_OPENS}\n{{"name": {json.dumps(call["function"]["name"])}, "arguments": {call["function"]["arguments"]}}}'
        f"\n{_CLOSES}"
        for call in calls
    ]
    return {"role": "assistant", "content": "\n".join([str(message.get("content") or ""), *blocks]).strip()}
