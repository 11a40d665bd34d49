"""Calibrate the simulator with a finished run: pass rates of rollouts, accuracy of the judge, costs."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, lgamma
from pathlib import Path
from statistics import fmean

from agents.llm.ledger import Usage
from core.ids import RolloutId
from heats.errors import UsageError
from heats.formatting import several
from heats.planning.plan import Cost
from heats.planning.reproduce import usual_concentration
from heats.policies.chances import fit
from heats.store.reader import Basis, TaskFacts, find_basis, played_in_slices, read_task, stopping_policy, task_ids
from heats.store.store import RunStore

FEWEST_MATCHES, FEWEST_TASKS = 20, 5
_DRAWS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run reveals; empty or None where it says nothing.

    Attributes:
        rates: likely pass rates of fresh rollouts: draws from each task's posterior under the fitted beta distribution.
        mean, concentration: parameters of that distribution.
        accuracy: share of mixed matches that votes decided correctly, by heat.
        steps: mean steps per rollout, by heat.
        notes: what was measured and what was not, one line each.
    """

    rates: tuple[float, ...]
    mean: float
    concentration: float
    accuracy: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    step: Cost | None = None
    summary: Cost | None = None
    vote: Cost | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Counts:
    """Sums over the tasks of a run."""

    first_heat: list[tuple[int, int]] = field(default_factory=list)
    """Passed and known rollouts of each task."""
    right: dict[int, list[bool]] = field(default_factory=dict)
    steps: dict[int, list[int]] = field(default_factory=dict)
    agents: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    rollouts: int = 0
    votes: int = 0


def measure(directory: Path) -> Measured:
    """Measure a run directory.

    Raises:
        UsageError: it is not a run, its attempts were played in slices, or nothing tells whether rollouts succeeded.
    """
    run = RunStore(directory)
    basis, counts = find_basis(run), _Counts()
    tasks = [read_task(run, task_id) for task_id in task_ids(run)]
    if played_in_slices(tasks):
        raise UsageError(
            f"--from {directory}: its attempts were played in slices; use a run with another refine.context"
        )
    for task in tasks:
        _count(task, basis, counts)
    if not counts.first_heat:
        raise UsageError(f"--from {directory}: none of its rollouts was graded or tested, so its pass rate is unknown")
    enough, policy = len(counts.first_heat) >= FEWEST_TASKS, stopping_policy(run)
    mean, concentration = _distribution(counts.first_heat, stopped=bool(policy))
    told = "hidden tests" if basis == "pass" else "your tests"
    accuracy, unsaid = _accuracy(counts)
    step, summary, vote = _costs(run, counts)
    return Measured(
        rates=_posterior(counts.first_heat, mean, concentration),
        mean=mean,
        concentration=concentration,
        accuracy=accuracy,
        steps=tuple(fmean(steps) for _, steps in sorted(counts.steps.items())),
        step=step,
        summary=summary,
        vote=vote,
        notes=(
            f"pass rates of {several(len(counts.first_heat), 'task')} by {told}: mean {mean:.3f}, "
            f"concentration {concentration:.2f}{'' if enough else ' (assumed: too few tasks to measure)'}",
            *_bias_notes(policy, enough),
            unsaid or f"judge accuracy by heat: {', '.join(f'{one:.2f}' for one in accuracy)}",
        ),
    )


def _distribution(counts: Sequence[tuple[int, int]], *, stopped: bool) -> tuple[float, float]:
    """Mean and concentration of the pass rates.

    Args:
        counts: passed and known rollouts of each task.
        stopped: tasks ended at a success, so that the share of passes says too much.
    """
    enough = len(counts) >= FEWEST_TASKS
    if stopped and enough:
        prior = fit(counts)
        return prior.a / (prior.a + prior.b), prior.a + prior.b
    mean = sum(passed for passed, _ in counts) / sum(known for _, known in counts)
    return mean, fit_concentration(counts) if enough else usual_concentration()


def _bias_notes(policy: str, enough: bool) -> Iterator[str]:
    if policy and enough:
        yield f"the run stopped tasks early (policy {policy}): pass rates are fitted to its attempts, not counted"
    elif policy:
        yield f"the run stopped tasks early (policy {policy}) and has too few tasks to correct that: rates are too high"


def fit_concentration(counts: Sequence[tuple[int, int]]) -> float:
    """The most likely alpha + beta of the tasks' beta distribution, with its mean fixed to the counts' mean.

    Args:
        counts: passed and known rollouts of each task.
    """
    mean = sum(passed for passed, _ in counts) / sum(known for _, known in counts)
    if not 0 < mean < 1:
        return 1.0
    grid = [exp(place / 10) for place in range(-30, 47)]
    return max(grid, key=lambda one: sum(_likelihood(passed, known, mean, one) for passed, known in counts))


def _likelihood(passed: int, known: int, mean: float, concentration: float) -> float:
    """Log likelihood, without terms independent of the concentration."""
    a, b = mean * concentration, (1 - mean) * concentration
    return _log_beta(a + passed, b + known - passed) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _posterior(counts: Sequence[tuple[int, int]], mean: float, concentration: float) -> tuple[float, ...]:
    """Draws from each task's posterior, since the rate is uncertain: none of four is not a rate of zero."""
    draw = random.Random(0)
    a, b = max(mean * concentration, 1e-3), max((1 - mean) * concentration, 1e-3)
    return tuple(draw.betavariate(a + passed, b + known - passed) for passed, known in counts for _ in range(_DRAWS))


def _count(task: TaskFacts, basis: Basis, counts: _Counts) -> None:
    for heat, rollouts in enumerate(task.heats):
        known = [passed for one in rollouts if (passed := one.passed(basis)) is not None]
        if heat == 0 and known:
            counts.first_heat.append((sum(known), len(known)))
        done = [one.outcome for one in rollouts if one.outcome is not None and one.outcome.exit is not None]
        counts.steps.setdefault(heat, []).extend(outcome.steps for outcome in done)
        counts.agents = sum((outcome.usage for outcome in done), counts.agents)
        counts.seconds += sum(outcome.duration_s for outcome in done)
        counts.rollouts += len(done)
        counts.right.setdefault(heat, []).extend(_decisions(task, heat, basis))
        bracket = task.brackets[heat]
        counts.votes += sum(len(match.votes) for matches in bracket.rounds for match in matches) if bracket else 0


def _decisions(task: TaskFacts, heat: int, basis: Basis) -> Iterator[bool]:
    """For each mixed match decided by votes, whether the winner passes."""
    bracket = task.brackets[heat]
    for match in (match for matches in bracket.rounds for match in matches) if bracket else ():
        found = {one: facts.passed(basis) for one in match.contestants if (facts := task.find(one)) is not None}
        if match.decided_by == "votes" and {True, False} <= set(found.values()):
            yield bool(found.get(match.winner))


def _accuracy(counts: _Counts) -> tuple[tuple[float, ...], str]:
    """Accuracy by heat, and why it is missing if there are too few matches."""
    by_heat = [right for _, right in sorted(counts.right.items())]
    if by_heat and all(len(right) >= FEWEST_MATCHES for right in by_heat):
        return tuple(fmean(right) for right in by_heat), ""
    found = "/".join(str(len(right)) for right in by_heat)
    return (), f"judge accuracy not measured: {found} mixed matches by heat, {FEWEST_MATCHES} needed"


def _costs(run: RunStore, counts: _Counts) -> tuple[Cost | None, Cost | None, Cost | None]:
    """Costs of a step, a summary and a vote. A rollout's charges include its agent's and its summary's.

    Charges of test writers, of banks and for evidence belong to none of these.
    """
    judged, rollouts = Usage(), Usage()
    for charge in run.charges():
        if charge.scope.endswith("/tournament"):
            judged += charge.usage
        elif RolloutId.matches(charge.scope.removeprefix(f"{charge.task}/")):
            rollouts += charge.usage
    steps = sum(sum(one) for one in counts.steps.values())
    summaries = rollouts - counts.agents
    return (
        _cost(counts.agents, steps, counts.seconds),
        _cost(summaries, counts.rollouts) if summaries.tokens >= 0 else None,
        _cost(judged, counts.votes),
    )


def _cost(usage: Usage, number: int, seconds: float = 0.0) -> Cost | None:
    if not number:
        return None
    return Cost(tokens=usage.tokens / number, usd=usage.cost_usd / number, seconds=seconds / number)
