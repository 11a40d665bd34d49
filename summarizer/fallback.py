"""Summaries without a model: the fallback built from facts, and the baselines of ablations."""

from agents.trajectory import Trajectory
from core.sanitize import for_model
from core.text import cut
from summarizer.config import SummarizerConfig
from summarizer.facts import facts
from summarizer.record import Ran, ran_in
from summarizer.runs import runs_in
from summarizer.schema import CheckedClaim, Summary
from summarizer.view import render_trajectory

_LAST_COMMANDS = 8


def is_idle(trajectory: Trajectory, patch: bytes) -> bool:
    """Return whether a rollout ran nothing and changed nothing, leaving nothing to summarize."""
    return not patch.strip() and not any(_was_run(ran) for ran in ran_in(trajectory))


def _was_run(ran: Ran) -> bool:
    return bool(ran.command.strip()) and ran.status not in ("", "rejected", "refused")


def harness_summary(trajectory: Trajectory, statement: str, patch: bytes) -> Summary:
    """Build a summary without a model: the problem as stated, the last commands and how they ended.

    Args:
        trajectory: the rollout's trajectory.
        statement: the task as the agent saw it.
        patch: exact bytes of the rollout's diff; empty if there is none.
    """
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
    """Build an ablation's substitute for a summary, with its text as `progress`.

    Args:
        trajectory: the rollout's trajectory.
        patch: exact bytes of the rollout's diff; empty if there is none.
        config: `method` selects the text, `max_chars` limits it.

    Raises:
        ValueError: `config.method` needs a model.
    """
    match config.method:
        case "last-message":
            text = _last_message(trajectory)
        case "patch":
            text = for_model(patch.decode("utf-8", "replace"))
        case "head-tail":
            text = cut(render_trajectory(trajectory), config.max_chars)
        case "model" | "conversation":
            raise ValueError("the model's summary is not a baseline")
    return Summary(
        rollout_id=trajectory.id,
        problem="",
        progress=cut(text, config.max_chars),
        facts=facts(trajectory, patch),
        source="harness",
    )


def _last_message(trajectory: Trajectory) -> str:
    messages = (step.content for step in reversed(trajectory.steps) if step.source == "agent" and step.content.strip())
    return for_model(next(messages, "")).strip()


def _last_commands(trajectory: Trajectory) -> tuple[CheckedClaim, ...]:
    return tuple(_claim(ran) for ran in ran_in(trajectory) if _was_run(ran))[-_LAST_COMMANDS:]


def _claim(ran: Ran) -> CheckedClaim:
    """Turn a command into a claim; it counts as passed only if a test run says so."""
    states = {run.state for run in runs_in(ran) if run.tests or run.result}
    return CheckedClaim(
        command=cut(" ".join(for_model(ran.command).split()), 300),
        step_id=ran.steps[0],
        tree="other",
        outcome="passes" if states == {"clean"} else "other",
        finding=cut(for_model(f"{ran.ending}; {ran.output.strip()[-200:]}"), 300),
        mark="confirmed",
    )
