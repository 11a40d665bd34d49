"""mini-swe-agent's `.traj.json` (format mini-swe-agent-1.1), read only.

Both of its message shapes are read: chat messages, and Responses-API items without a role.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agents.errors import TrajectoryFormatError
from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Exit, ExitKind, Observation, Step, Trajectory

_EXITS: Mapping[str, ExitKind] = {
    "Submitted": "submitted",
    "LimitsExceeded": "step_limit",
    "TimeExceeded": "time_limit",
    "RepeatedFormatError": "format_errors",
    "ContextWindowExceededError": "context_overflow",
}


def from_mini(document: Mapping[str, Any]) -> Trajectory:
    """A trajectory from a `.traj.json` document; its submission, a patch, goes into `extra["submission"]`."""
    messages = document.get("messages")
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise TrajectoryFormatError("messages is not a list")
    info = document.get("info") or {}
    config = info.get("config") or {}
    steps = _Steps()
    for message in messages:
        steps.read(message)
    name = str(document.get("instance_id") or "imported")
    status = str(info.get("exit_status") or "")
    total = sum((step["usage"] for step in steps.made if step.get("usage")), Usage())
    cost = float((info.get("model_stats") or {}).get("instance_cost") or total.cost_usd)
    return Trajectory(
        id=name,
        task_id=name,
        agent="mini-swe-agent",
        model=str((config.get("model") or {}).get("model_name") or ""),
        seed=0,
        steps=tuple(Step.model_validate({"id": number, **step}) for number, step in enumerate(steps.made, start=1)),
        exit=Exit(kind=_EXITS.get(status, "model_error"), detail=status),
        usage=total.model_copy(update={"cost_usd": cost}),
        extra={"submission": info.get("submission") or "", "mini_version": str(info.get("mini_version") or "")},
    )


class _Steps:
    """Steps as they grow: an observation belongs to the last agent step that waits for one."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

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
        elif role == "user" and "returncode" in extra and self._waiting():
            self._observe(self._waiting()[0].id, message.get("content"), extra)
        elif role in ("system", "developer", "user"):
            source = "user" if role == "user" else "system"
            self.made.append({"source": source, "content": _text(message.get("content")), "timestamp": _when(extra)})
        elif role != "exit":
            raise TrajectoryFormatError(f"a message of unknown role {role!r}")

    def _assistant(self, message: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        calls = [
            ToolCall(
                id=str(call["id"]), name=str(call["function"]["name"]), arguments=str(call["function"]["arguments"])
            )
            for call in message.get("tool_calls") or ()
        ]
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        self._agent(_text(message.get("content")), calls, extra, str(reasoning) if reasoning else None)

    def _response(self, message: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        texts, calls = [], []
        for item in message.get("output") or ():
            if item.get("type") == "message":
                texts.append(_text(item.get("content")))
            elif item.get("type") == "function_call":
                calls.append(
                    ToolCall(id=str(item["call_id"]), name=str(item["name"]), arguments=str(item["arguments"]))
                )
        self._agent("\n".join(texts), calls, {"response": message, **extra}, None)

    def _agent(self, content: str, calls: list[ToolCall], extra: Mapping[str, Any], reasoning: str | None) -> None:
        if not calls:
            calls = [
                ToolCall(
                    id=f"action_{len(self.made) + 1}_{index}",
                    name="bash",
                    arguments=json.dumps({"command": action["command"]}),
                )
                for index, action in enumerate(extra.get("actions") or ())
            ]
        fields = {"tool_calls": tuple(calls), "observations": (), "reasoning": reasoning, "usage": _usage(extra)}
        self.made.append({"source": "agent", "content": content, "timestamp": _when(extra), **fields})

    def _waiting(self) -> list[ToolCall]:
        """Calls of the last agent step that have no observation yet, unless something was said since."""
        if not self.made or self.made[-1]["source"] != "agent":
            return []
        done = {one.tool_call_id for one in self.made[-1]["observations"]}
        return [call for call in self.made[-1]["tool_calls"] if call.id not in done]

    def _observe(self, call_id: str, content: object, extra: Mapping[str, Any]) -> None:
        step = next((step for step in reversed(self.made) if step["source"] == "agent"), None)
        if step is None:
            raise TrajectoryFormatError("an observation before any call")
        code = extra.get("returncode")
        observation = Observation(
            tool_call_id=call_id, content=_text(content), exit_code=code if isinstance(code, int) else None
        )
        step["observations"] = (*step["observations"], observation)


def _usage(extra: Mapping[str, Any]) -> Usage:
    """Of one response, in the names of chat completions or of the Responses API."""
    usage = (extra.get("response") or {}).get("usage") or {}
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return Usage(
        calls=1,
        prompt_tokens=int(usage.get("prompt_tokens") or usage.get("input_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or usage.get("output_tokens") or 0),
        cost_usd=float(extra.get("cost") or 0.0),
    )


def _text(content: object) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Sequence):
        return "\n".join(str(part.get("text", "")) for part in content)
    raise TrajectoryFormatError("content is neither text nor a list of parts")


def _when(extra: Mapping[str, Any]) -> str:
    stamp = extra.get("timestamp")
    if isinstance(stamp, int | float):
        return datetime.fromtimestamp(stamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(stamp or "")
