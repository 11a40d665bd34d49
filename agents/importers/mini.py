"""Import mini-swe-agent's `.traj.json`: formats mini-swe-agent-1 and mini-swe-agent-1.1 (versions 1 and 2).

Version 1 writes plain chat messages that do not mark what was executed: the only ```bash block of a reply is the
command, and the next message is its output. Version 2 marks both, and may contain items of the Responses API instead.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents.errors import TrajectoryFormatError
from agents.importers.draft import NO_TASK, Draft, call, command, text_of, tokens
from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Exit, ExitKind, Trajectory

_EXITS: Mapping[str, ExitKind] = {
    "Submitted": "submitted",
    "LimitsExceeded": "step_limit",
    "TimeExceeded": "time_limit",
    "RepeatedFormatError": "format_errors",
    "ContextWindowExceededError": "context_overflow",
}
_BLOCK = re.compile(r"```bash[ \t\r]*\n(.*?)\n```", re.DOTALL)
_RETURN_CODE = re.compile(r"\s*<returncode>(-?\d+)</returncode>")


def from_mini(document: Mapping[str, Any]) -> Trajectory:
    """Convert a `.traj.json` document to a trajectory; its submission, a patch, becomes `extra["submission"]`."""
    messages = document.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise TrajectoryFormatError("messages is not a list")
    info = document.get("info") or {}
    status = str(info.get("exit_status") or "")
    written_by = str(info.get("mini_version") or "")
    form = document.get("trajectory_format")
    first_version = form == "mini-swe-agent-1" or (not form and written_by.startswith("1."))
    if first_version and status in ("Submitted", "LimitsExceeded") and messages and messages[-1].get("role") == "user":
        messages = messages[:-1]  # version 1 repeats at the end what ended it: the submission, or the limit
    reader = _Reader(first_version=first_version)
    for message in messages:
        reader.read(message)
    name = str(document.get("instance_id") or NO_TASK)
    total = reader.draft.usage()
    cost = float((info.get("model_stats") or {}).get("instance_cost") or total.cost_usd)
    return Trajectory(
        id=name,
        task_id=name,
        agent="mini-swe-agent",
        model=str(((info.get("config") or {}).get("model") or {}).get("model_name") or ""),
        seed=0,
        steps=reader.draft.steps(),
        exit=Exit(kind=_EXITS.get(status, "model_error"), detail=status),
        usage=total.model_copy(update={"cost_usd": cost}),
        extra={"submission": info.get("submission") or "", "mini_version": written_by},
    )


class _Reader:
    """Converts messages to steps."""

    def __init__(self, *, first_version: bool) -> None:
        self.draft = Draft()
        self.first_version = first_version

    def read(self, message: Mapping[str, Any]) -> None:
        role, extra = message.get("role"), message.get("extra") or {}
        if message.get("object") == "response":
            self._response(message, extra)
        elif message.get("type") == "function_call_output":
            self._observe(str(message.get("call_id") or ""), message.get("output"), extra)
        elif role == "assistant":
            self._assistant(message, extra)
        elif role == "tool":
            self._observe(str(message.get("tool_call_id") or ""), message.get("content"), extra)
        elif role == "user" and self.draft.waiting() and ("returncode" in extra or self.first_version):
            self._observe(self.draft.waiting()[0].id, message.get("content"), extra)
        elif role in ("system", "developer", "user"):
            self.draft.say("user" if role == "user" else "system", text_of(message.get("content")), _when(message))
        elif role != "exit":
            raise TrajectoryFormatError(f"a message of unknown role {role!r}")

    def _assistant(self, message: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        calls = [
            call(one["id"], one["function"]["name"], str(one["function"]["arguments"]))
            for one in message.get("tool_calls") or ()
        ]
        content = text_of(message.get("content"))
        if self.first_version and len(found := _BLOCK.findall(content)) == 1:
            calls = [command(self.draft.new_id(), found[0].strip())]
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        self._act(content, calls, extra, str(reasoning or ""), _when(message))

    def _response(self, message: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        texts, calls = [], []
        for item in message.get("output") or ():
            if item.get("type") == "message":
                texts.append(text_of(item.get("content")))
            elif item.get("type") == "function_call":
                calls.append(call(item["call_id"], item["name"], str(item["arguments"])))
        self._act("\n".join(texts), calls, {"response": message, **extra}, "", _when(message))

    def _act(self, content: str, calls: list[ToolCall], extra: Mapping[str, Any], reasoning: str, when: object) -> None:
        if not calls:
            actions = extra.get("actions") or ()
            calls = [command(f"{self.draft.new_id()}_{place}", one["command"]) for place, one in enumerate(actions)]
        self.draft.act(content, calls, reasoning=reasoning, usage=_usage(extra), when=when)

    def _observe(self, call_id: str, content: object, extra: Mapping[str, Any]) -> None:
        text = text_of(content)
        code = _RETURN_CODE.match(text) if self.first_version else None
        self.draft.observe(call_id, text, int(code[1]) if code else extra.get("returncode"))


def _usage(extra: Mapping[str, Any]) -> Usage:
    return tokens((extra.get("response") or {}).get("usage") or {}, cost_usd=extra.get("cost"))


def _when(message: Mapping[str, Any]) -> object:
    return (message.get("extra") or {}).get("timestamp") or message.get("timestamp")
