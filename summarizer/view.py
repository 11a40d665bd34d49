"""Render a trajectory as text for judges in an ablation; `fitting.py` renders it for summarizers."""

import re
from collections.abc import Iterator

from agents.trajectory import Observation, Step, Trajectory
from agents.wording import step_line
from core.sanitize import for_model
from core.text import cut
from summarizer.record import calls_of, command_of

STEP_CHARS = 4000


def render_trajectory(trajectory: Trajectory, step_chars: int = STEP_CHARS) -> str:
    """Render all steps, separated by blank lines."""
    return "\n\n".join(render_steps(trajectory, step_chars))


def render_steps(trajectory: Trajectory, step_chars: int = STEP_CHARS) -> tuple[str, ...]:
    """Render each step as sanitized text of at most `step_chars` characters, keeping head and tail.

    A call reads `[step 7] bash (exit 1): COMMAND`, followed by its output. The system message is omitted.
    """
    shown = (_step(step, step_chars) for step in trajectory.steps if step.source != "system")
    return tuple(text for text in shown if text)


def ending(observation: Observation | None) -> str:
    """How a call ended: `exit 1`, `timeout`, `rejected` ..."""
    if observation is None:
        return "no result"
    if observation.exit_code is not None:
        return f"exit {observation.exit_code}"
    return "shown" if observation.status == "exited" else observation.status


def parts_of(step: Step) -> Iterator[tuple[str, str]]:
    """Yield the sanitized parts of a step, each with its kind: `words`, `command` or `output`."""
    if step.content.strip():
        yield "words", f"[step {step.id}] {step.source}: {_plain(step.content)}"
    for call, observation in calls_of(step):
        yield "command", step_line(step.id, call.name, ending(observation)) + _plain(command_of(call))
        if observation is not None and observation.content.strip():
            yield "output", _plain(observation.content)


def _step(step: Step, limit: int) -> str:
    parts = [text for _, text in parts_of(step)]
    share = limit // max(len(parts), 1)
    return cut("\n".join(cut(part, max(share, 200)) for part in parts), limit)


def _plain(text: str) -> str:
    """Sanitize, and defuse lines that look like the start of another step."""
    return re.sub(r"^(\s*)\[step", r"\1 (step", for_model(text), flags=re.MULTILINE)
