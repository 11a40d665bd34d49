"""Why attempts produced nothing, in sentences for the user, each with what to do about it."""

from collections.abc import Iterable, Sequence

from agents.trajectory import ExitKind
from heats.store.records import Outcome
from heats.store.store import TaskStore

NO_CALLS_REMEDY = (
    "the model or its server makes no tool calls that heats can read: run `heats doctor`, try another tool parser "
    "(heats serve --tool-parser), -c agent.force_calls=true, -c model.text_protocol=true, or another model"
)
_LIMITS: dict[ExitKind, tuple[str, str]] = {
    "paused": ("paused at the end of a slice without a change", "raise iterations or refine.options.turns"),
    "step_limit": ("reached the step limit without a change", "raise agent.step_limit"),
    "time_limit": ("ran out of time without a change", "raise the time limit"),
    "token_limit": ("reached the token limit without a change", "raise the token limit"),
    "cost_limit": ("reached the cost limit without a change", "raise the cost limit"),
    "context_overflow": (
        "filled the model's context without a change",
        "serve the model with a longer context, or lower agent.observation_head and agent.observation_tail",
    ),
    "disk_limit": ("filled the disk", "raise sandbox.limits, or check what the commands write"),
    "agent_failed": ("ended when the agent failed", "inspect the last steps with `heats view`"),
    "stopped": ("were stopped by a watcher", "see its reason, or change agent.watchers"),
    "declined": ("declined the task", "settle what they say about it, then try again"),
    "sandbox_lost": ("lost their sandbox", "run the same command to try again"),
    "cancelled": ("were cancelled", "run the same command to try again"),
}


def lost_to_server(outcome: Outcome) -> bool:
    """Whether an attempt produced nothing because the model server failed."""
    return outcome.exit == "model_error" and not outcome.patch_bytes


def without_calls(outcomes: Iterable[Outcome]) -> bool:
    """Whether every one of these attempts ended because no reply contained a usable call."""
    exits = [outcome.exit for outcome in outcomes]
    return bool(exits) and all(kind == "format_errors" for kind in exits)


def needs_person(outcomes: Sequence[Outcome]) -> str:
    """That a task needs a person, and why, if most attempts that were made declined it; else empty."""
    made = [one for one in outcomes if one.exit not in (None, "sandbox_lost", "cancelled", "model_error")]
    declined = [one for one in made if one.exit == "declined"]
    if 2 * len(declined) <= len(made):
        return ""
    said = "; ".join(dict.fromkeys(one.detail for one in declined))
    return f"needs a person: {len(declined)} of {len(made)} attempts declined the task ({said[:600]})"


def outcomes_of(store: TaskStore, heat: int) -> list[Outcome]:
    """Outcomes of a heat's finished rollouts."""
    found = (store.rollout(rollout).outcome() for rollout in store.rollouts(heat))
    return [outcome for outcome in found if outcome is not None]


def why_nothing(outcomes: Sequence[Outcome]) -> str:
    """How attempts without a patch ended: one clause for each kind of end, the most frequent first."""
    kinds: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.patch_bytes:
            kinds.setdefault(_kind(outcome), []).append(outcome)
    clauses = []
    for (what, hint), of_kind in sorted(kinds.items(), key=lambda item: -len(item[1])):
        said = next((_said(one) for one in reversed(of_kind) if _said(one)), "")
        clauses.append(f"{len(of_kind)} of {len(outcomes)} {what}{f' ({said})' if said else ''}: {hint}")
    return "; ".join(clauses)


def _kind(outcome: Outcome) -> tuple[str, str]:
    """What an attempt did, and what helps."""
    if outcome.failure == "internal":
        return "failed inside heats or its env", "please report it with failed-attempt.txt from the rollout's directory"
    if outcome.exit is None:
        return "could not be started", "run the same command to try again"
    if outcome.rejected:
        return "produced a patch that was refused", "a patch must stay inside the repository and be applicable by git"
    if outcome.exit == "model_error":
        return (
            "were lost to the model server",
            "check that it answers (`heats doctor`), then run the same command to try again",
        )
    if outcome.exit == "format_errors":
        return "ended without a usable tool call", NO_CALLS_REMEDY
    if outcome.exit == "submitted":
        return "submitted without a change", "describe in the issue what should change, or use a stronger model"
    return _LIMITS[outcome.exit]


def _said(outcome: Outcome) -> str:
    """The attempt's own words about its end."""
    return "; ".join(outcome.rejected)[:300] or outcome.detail or outcome.error
