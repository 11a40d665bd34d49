"""A trajectory while an importer reads it: steps in order, each observation with the call that it answers."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from agents.errors import TrajectoryFormatError
from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Observation, Step

NO_TASK = "imported"
"""The task id of a trajectory whose file does not name its task."""


class Draft:
    """Steps as they grow."""

    def __init__(self) -> None:
        self._made: list[dict[str, Any]] = []

    def say(self, source: Literal["system", "user"], content: str, when: object = "") -> None:
        """Something that the agent was told."""
        self._made.append({"source": source, "content": content, "timestamp": moment(when)})

    def act(
        self,
        content: str,
        calls: Sequence[ToolCall] = (),
        *,
        reasoning: str = "",
        usage: Usage | None = None,
        when: object = "",
    ) -> None:
        """A turn of the agent's."""
        step = {"source": "agent", "content": content, "tool_calls": tuple(calls), "observations": ()}
        self._made.append({**step, "reasoning": reasoning or None, "usage": usage, "timestamp": moment(when)})

    def observe(self, call_id: str, content: str, exit_code: object = None) -> None:
        """What came of a call: of the last step that made one of this id, else of the last step of the agent's.

        Raises:
            TrajectoryFormatError: the agent has not acted yet.
        """
        steps = [step for step in reversed(self._made) if step["source"] == "agent"]
        if not steps:
            raise TrajectoryFormatError("an observation before any call")
        step = next((one for one in steps if any(call.id == call_id for call in one["tool_calls"])), steps[0])
        code = exit_code if isinstance(exit_code, int) and not isinstance(exit_code, bool) else None
        step["observations"] = (
            *step["observations"],
            Observation(tool_call_id=call_id, content=content, exit_code=code),
        )

    def waiting(self) -> list[ToolCall]:
        """Calls of the last agent step that have no observation yet, unless something was said since."""
        if not self._made or self._made[-1]["source"] != "agent":
            return []
        done = {one.tool_call_id for one in self._made[-1]["observations"]}
        return [call for call in self._made[-1]["tool_calls"] if call.id not in done]

    def new_id(self) -> str:
        """An id for a call of the next step, for records that give none."""
        return f"call_{len(self._made) + 1}"

    def steps(self) -> tuple[Step, ...]:
        """All steps, numbered."""
        return tuple(Step.model_validate({"id": number, **step}) for number, step in enumerate(self._made, start=1))

    def usage(self) -> Usage:
        """What the steps cost together."""
        return sum((step["usage"] for step in self._made if step.get("usage")), Usage())


def text_of(content: object) -> str:
    """The text of a message, which may be a list of parts; of a part that is no text only its kind is kept.

    Raises:
        TrajectoryFormatError: it is neither text nor parts.
    """
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Mapping):
        return text_of([content])
    if isinstance(content, Sequence):
        return "\n".join(_part(part) for part in content)
    raise TrajectoryFormatError("content is neither text nor a list of parts")


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise TrajectoryFormatError("a part of a message is neither text nor an object")
    return str(part["text"]) if isinstance(part.get("text"), str) else f"[{part.get('type') or 'part'}]"


def call(identity: object, name: object, arguments: object) -> ToolCall:
    """A tool call; arguments are an object, or JSON text as models write it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments if arguments is not None else {})
    return ToolCall(id=str(identity or ""), name=str(name), arguments=text)


def command(identity: str, text: str) -> ToolCall:
    """A shell command as a tool call."""
    return ToolCall(id=identity, name="bash", arguments=json.dumps({"command": text}))


def moment(when: object) -> str:
    """A time stamp as ISO 8601 text; numbers are seconds since 1970."""
    if isinstance(when, int | float) and not isinstance(when, bool):
        return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(when or "")


def tokens(usage: Mapping[str, Any], *, calls: int = 1, cost_usd: object = 0.0) -> Usage:
    """Usage from the names of chat completions, of the Responses API or of Anthropic's."""
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return Usage(
        calls=calls,
        prompt_tokens=int(usage.get("prompt_tokens") or usage.get("input_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or usage.get("cache_read_input_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or usage.get("output_tokens") or 0),
        cost_usd=float(cost_usd or 0.0),  # type: ignore[arg-type]
    )
