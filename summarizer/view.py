"""A trajectory as text: what judges read in an ablation. `fitting.py` makes what summarizers read."""

import re
from collections.abc import Iterator

from agents.trajectory import Observation, Step, Trajectory
from agents.wording import step_line
from core.sanitize import for_model
from core.text import cut
from summarizer.record import calls_of, command_of

STEP_CHARS = 4000


def render_trajectory(trajectory: Trajectory, step_chars: int = STEP_CHARS) -> str:
    """All steps as text, a blank line between them."""
    return "\n\n".join(render_steps(trajectory, step_chars))


def render_steps(trajectory: Trajectory, step_chars: int = STEP_CHARS) -> tuple[str, ...]:
    """One text per step, for_modeld, at most `step_chars` characters each with head and tail kept.

    A call reads `[step 7] bash (exit 1): COMMAND`, its output follows. The system message is left out.
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
    """The parts of a step, for_modeld, each with what it is: `words`, `command` or `output`."""
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
    """Sanitised, and without lines that look like another step's."""
    return re.sub(r"^(\s*)\[step", r"\1 (step", for_model(text), flags=re.MULTILINE)
