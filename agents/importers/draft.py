"""Build a trajectory step by step while importing, matching each observation with its call."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from agents.errors import TrajectoryFormatError
from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from agents.trajectory import Observation, Step

NO_TASK = "imported"
"""Task ID of a trajectory whose file does not name its task."""


class Draft:
    """A growing list of steps."""

    def __init__(self) -> None:
        self._made: list[dict[str, Any]] = []
        self._latest: dict[str, Any] | None = None
        self._calling: dict[str, dict[str, Any]] = {}

    def say(self, source: Literal["system", "user"], content: str, when: object = "") -> None:
        """Add a system or user message.

        Args:
            source: who sent it.
            content: its text.
            when: time stamp; see `moment`.
        """
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
        """Add a turn of the agent.

        Args:
            content: text of its message.
            calls: tool calls in the message.
            reasoning: separate reasoning text.
            usage: tokens and cost of the turn.
            when: time stamp; see `moment`.
        """
        step: dict[str, Any] = {"source": "agent", "content": content, "tool_calls": tuple(calls), "observations": []}
        step |= {"reasoning": reasoning or None, "usage": usage, "timestamp": moment(when)}
        self._made.append(step)
        self._latest = step
        self._calling |= {call.id: step for call in calls}

    def observe(self, call_id: str, content: str, exit_code: object = None) -> None:
        """Add the result of a call to the last step that made a call of this ID, else to the last agent step.

        Args:
            call_id: ID of the call.
            content: the result, as shown to the model.
            exit_code: the exit code; ignored unless it is an integer.

        Raises:
            TrajectoryFormatError: the agent has not acted yet.
        """
        step = self._calling.get(call_id, self._latest)
        if step is None:
            raise TrajectoryFormatError("an observation before any call")
        code = exit_code if isinstance(exit_code, int) and not isinstance(exit_code, bool) else None
        step["observations"].append(Observation(tool_call_id=call_id, content=content, exit_code=code))

    def waiting(self) -> list[ToolCall]:
        """List the calls of the last agent step that have no observation yet; empty if a message followed it."""
        if not self._made or self._made[-1]["source"] != "agent":
            return []
        done = {one.tool_call_id for one in self._made[-1]["observations"]}
        return [call for call in self._made[-1]["tool_calls"] if call.id not in done]

    def new_id(self) -> str:
        """Generate an ID for a call of the next step, for formats without call IDs."""
        return f"call_{len(self._made) + 1}"

    def steps(self) -> tuple[Step, ...]:
        """Return all steps, numbered."""
        return tuple(Step.model_validate({"id": number, **step}) for number, step in enumerate(self._made, start=1))

    def usage(self) -> Usage:
        """Sum the usage of all steps."""
        return sum((step["usage"] for step in self._made if step.get("usage")), Usage())


def text_of(content: object) -> str:
    """Extract the text of a message, which may be a list of parts; for parts other than text only the kind is kept.

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
    """Build a tool call.

    Args:
        identity: ID of the call.
        name: name of the tool.
        arguments: an object, or JSON text as written by a model.
    """
    text = arguments if isinstance(arguments, str) else json.dumps(arguments if arguments is not None else {})
    return ToolCall(id=str(identity or ""), name=str(name), arguments=text)


def command(identity: str, text: str) -> ToolCall:
    """Build the tool call of a shell command."""
    return ToolCall(id=identity, name="bash", arguments=json.dumps({"command": text}))


def moment(when: object) -> str:
    """Convert a time stamp to ISO 8601 text; numbers are seconds since 1970."""
    if isinstance(when, int | float) and not isinstance(when, bool):
        return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(when or "")


def tokens(usage: Mapping[str, Any], *, calls: int = 1, cost_usd: object = 0.0) -> Usage:
    """Convert token counts in the naming of Chat Completions, the Responses API or Anthropic.

    Args:
        usage: token counts by name.
        calls: number of model calls they cover.
        cost_usd: their cost in US dollars.
    """
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return Usage(
        calls=calls,
        prompt_tokens=int(usage.get("prompt_tokens") or usage.get("input_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or usage.get("cache_read_input_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or usage.get("output_tokens") or 0),
        cost_usd=float(cost_usd or 0.0),  # type: ignore[arg-type]
    )
