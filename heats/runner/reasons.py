"""Why attempts came to nothing, in sentences for a person, each with what to do about it."""

from collections.abc import Iterable, Sequence

from agents.trajectory import ExitKind
from heats.store.records import Outcome
from heats.store.store import TaskStore

NO_CALLS_REMEDY = (
    "the model or its server does not call tools as heats reads them: look at `heats doctor`, try another tool parser "
    "(heats serve --tool-parser), -c agent.force_calls=true, -c model.text_protocol=true, or another model"
)
_LIMITS: dict[ExitKind, tuple[str, str]] = {
    "step_limit": ("reached the step limit with nothing changed", "raise agent.step_limit"),
    "time_limit": ("ran out of time with nothing changed", "raise the limit of time"),
    "token_limit": ("used up their tokens with nothing changed", "raise the limit of tokens"),
    "cost_limit": ("used up their money with nothing changed", "raise the limit of cost"),
    "context_overflow": (
        "filled the model's context with nothing changed",
        "serve the model with a longer context, or lower agent.observation_head and agent.observation_tail",
    ),
    "disk_limit": ("filled their disk", "raise sandbox.limits, or look at what the commands write"),
    "agent_failed": ("ended because the agent failed", "look at the last steps with `heats view`"),
    "sandbox_lost": ("lost their sandbox", "the same command tries again"),
    "cancelled": ("were cancelled", "the same command tries again"),
}


def lost_to_server(outcome: Outcome) -> bool:
    """Whether the model server's failure is all that came of an attempt."""
    return outcome.exit == "model_error" and not outcome.patch_bytes


def without_calls(outcomes: Iterable[Outcome]) -> bool:
    """Whether every one of some attempts ended because no reply held a usable call."""
    exits = [outcome.exit for outcome in outcomes]
    return bool(exits) and all(kind == "format_errors" for kind in exits)


def outcomes_of(store: TaskStore, heat: int) -> list[Outcome]:
    """How the rollouts of a heat ended, as far as they have."""
    found = (store.rollout(rollout).outcome() for rollout in store.rollouts(heat))
    return [outcome for outcome in found if outcome is not None]


def why_nothing(outcomes: Sequence[Outcome]) -> str:
    """What became of attempts of which none gave a patch: a clause for each kind of end, the most frequent first."""
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
        return "failed inside heats or its env", "please report it with failed-attempt.txt from the rollout's folder"
    if outcome.exit is None:
        return "could not be started", "the same command tries again"
    if outcome.rejected:
        return "made a patch that was refused", "it must not leave the repository or hold what git cannot apply"
    if outcome.exit == "model_error":
        return "were lost to the model server", "see that it answers (`heats doctor`); the same command tries again"
    if outcome.exit == "format_errors":
        return "ended without a usable call", NO_CALLS_REMEDY
    if outcome.exit == "submitted":
        return "handed in with nothing changed", "say in the issue what should be different, or use a stronger model"
    return _LIMITS[outcome.exit]


def _said(outcome: Outcome) -> str:
    """The attempt's own words about its end."""
    return "; ".join(outcome.rejected)[:300] or outcome.detail or outcome.error
