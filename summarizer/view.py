"""A trajectory as text: what summarizers and, for an ablation, judges read."""

import json
import re
from collections.abc import Iterable

from agents.llm.base import ToolCall
from agents.trajectory import Observation, Step, Trajectory
from core.sanitize import for_model
from core.text import cut

STEP_CHARS = 4000


def render_trajectory(trajectory: Trajectory, step_chars: int = STEP_CHARS) -> str:
    """All steps as text, a blank line between them."""
    return "\n\n".join(render_steps(trajectory, step_chars))


def render_steps(trajectory: Trajectory, step_chars: int = STEP_CHARS) -> tuple[str, ...]:
    """One text per step, sanitised, at most `step_chars` characters each with head and tail kept.

    A call reads `[step 7] bash (exit 1): COMMAND`, its output follows. The system message is left out.
    """
    shown = (_step(step, step_chars) for step in trajectory.steps if step.source != "system")
    return tuple(text for text in shown if text)


def windows(steps: Iterable[str], limit: int) -> tuple[str, ...]:
    """Join steps to texts of at most `limit` characters, in order; a longer step is cut."""
    joined: list[str] = []
    for step in steps:
        if joined and len(joined[-1]) + len(step) + 2 <= limit:
            joined[-1] += "\n\n" + step
        else:
            joined.append(cut(step, limit))
    return tuple(joined)


def command_of(call: ToolCall) -> str:
    """What a tool call runs: its `command` argument, or all arguments as they are."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments
    if isinstance(arguments, dict) and isinstance(arguments.get("command"), str):
        return str(arguments["command"])
    return "" if arguments in ({}, None) else call.arguments


def ending(observation: Observation | None) -> str:
    """How a call ended: `exit 1`, `timeout`, `rejected` ..."""
    if observation is None:
        return "no result"
    if observation.exit_code is not None:
        return f"exit {observation.exit_code}"
    return observation.status


def calls_of(step: Step) -> tuple[tuple[ToolCall, Observation | None], ...]:
    """A step's tool calls with what came of each."""
    results = {observation.tool_call_id: observation for observation in step.observations}
    return tuple((call, results.get(call.id)) for call in step.tool_calls)


def _step(step: Step, limit: int) -> str:
    parts = []
    if step.content.strip():
        parts.append(f"[step {step.id}] {step.source}: {_plain(step.content)}")
    for call, observation in calls_of(step):
        parts.append(f"[step {step.id}] {call.name} ({ending(observation)}): {_plain(command_of(call))}")
        if observation is not None and observation.content.strip():
            parts.append(_plain(observation.content))
    share = limit // max(len(parts), 1)
    return cut("\n".join(cut(part, max(share, 200)) for part in parts), limit)


def _plain(text: str) -> str:
    """Sanitised, and without lines that look like another step's."""
    return re.sub(r"^(\s*)\[step", r"\1 (step", for_model(text), flags=re.MULTILINE)
