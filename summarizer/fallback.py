"""Summaries that need no model: from the facts when no model summary could be had, and the ablations' baselines."""

from agents.trajectory import Trajectory
from core.sanitize import for_model
from core.text import cut
from summarizer.config import SummarizerConfig
from summarizer.facts import facts
from summarizer.schema import CheckedClaim, Summary
from summarizer.view import calls_of, command_of, ending, render_trajectory

_LAST_COMMANDS = 8


def harness_summary(trajectory: Trajectory, statement: str, patch: bytes) -> Summary:
    """What can be said without a model: the problem as stated, the last commands and how they ended."""
    known = facts(trajectory, patch)
    detail = trajectory.exit.detail if trajectory.exit else ""
    return Summary(
        rollout_id=trajectory.id,
        problem=cut(for_model(statement).strip(), 600),
        progress=cut(_last_message(trajectory), 600),
        evidence=_last_commands(trajectory),
        end_state=for_model(f"{known.exit}: {detail}" if detail else known.exit),
        facts=known,
        source="harness",
    )


def baseline_summary(trajectory: Trajectory, patch: bytes, config: SummarizerConfig) -> Summary:
    """The text that an ablation puts in a summary's place, as its `progress`."""
    match config.method:
        case "last-message":
            text = _last_message(trajectory)
        case "patch":
            text = for_model(patch.decode("utf-8", "replace"))
        case "head-tail":
            text = cut(render_trajectory(trajectory, config.step_chars), config.max_chars)
        case "model":
            raise ValueError("the model's summary is not a baseline")
    return Summary(
        rollout_id=trajectory.id,
        problem="",
        progress=cut(text, config.max_chars),
        facts=facts(trajectory, patch),
        source="harness",
    )


def _last_message(trajectory: Trajectory) -> str:
    said = (step.content for step in reversed(trajectory.steps) if step.source == "agent" and step.content.strip())
    return for_model(next(said, "")).strip()


def _last_commands(trajectory: Trajectory) -> tuple[CheckedClaim, ...]:
    ran = [
        CheckedClaim(
            command=cut(" ".join(for_model(command_of(call)).split()), 300),
            outcome="passed" if observation.exit_code == 0 else "failed",
            finding=cut(for_model(f"{ending(observation)}; {observation.content.strip()[-200:]}"), 300),
            step_id=step.id,
            supported=True,
        )
        for step in trajectory.steps
        for call, observation in calls_of(step)
        if observation is not None and command_of(call).strip() and observation.status != "rejected"
    ]
    return tuple(ran[-_LAST_COMMANDS:])
