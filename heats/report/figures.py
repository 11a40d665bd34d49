"""The figures of a run: success of each heat, of the kept candidates and of the final choice, and the total cost.

Shares are means over rollouts within a task, then over tasks. A rollout that infrastructure failed counts as a failure
and is also counted separately; an ungraded rollout is in no share but is counted as well.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import comb
from statistics import fmean, median_low
from typing import Any, Self

from agents.llm.ledger import Usage
from heats.report.calibration import CriticCalibration, calibration, scored
from heats.store.reader import Basis, RolloutFacts, TaskFacts, find_basis, read_task, stopping_policy, task_ids
from heats.store.records import Charge
from heats.store.store import RunStore


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that at least one of k rollouts, drawn without replacement from n of which c passed, passes.

    The unbiased estimator of pass@k. Source: Chen et al., arXiv:2107.03374, equation 1.

    Args:
        n: number of rollouts.
        c: number of passing rollouts.
        k: number of rollouts drawn.

    Raises:
        ValueError: k is not in 1..n or c not in 0..n.
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} of {c} passes in {n} rollouts is not defined")
    return 1 - comb(n - c, k) / comb(n, k)


@dataclass(frozen=True, slots=True)
class HeatFigures:
    """One heat of one task.

    Attributes:
        known: number of rollouts whose success is known; `passed` of them succeeded.
        kept: share of the kept candidates that succeed; None for the last heat and while unknown.
        steps: mean over the rollouts that made an attempt.
        best: success of the tournament's first choice, which would be handed over if no heat followed.
        tokens: of its rollouts, without summaries and votes.
    """

    rollouts: int
    known: int
    passed: int
    kept: float | None = None
    steps: float | None = None
    best: float | None = None
    tokens: int = 0

    @property
    def pass_at_1(self) -> float | None:
        """Mean success of the rollouts."""
        return self.passed / self.known if self.known else None

    @property
    def pass_at_n(self) -> float | None:
        """1 if any rollout succeeded: what an oracle would choose."""
        return float(self.passed > 0) if self.known else None


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """One task.

    Attributes:
        final: whether the final choice succeeded; None while there is none to judge. A task that was tried without a
            result counts as a failure.
        random_pick: expected success of one rollout drawn from the last heat.
        ending: the status or, if hidden tests graded the choice, `solved` or `not_solved`.
        scored: a critic's score and the success of each rollout for which both are known.
    """

    task: str
    status: str
    heats: tuple[HeatFigures, ...]
    final: float | None
    infrastructure_failed: int
    unknown: int
    unfinished: int
    usage: Usage
    selected: str | None = None
    invalid_grades: int = 0
    ending: str = ""
    scored: tuple[tuple[float, bool], ...] = ()

    @property
    def random_pick(self) -> float | None:
        """Expected success of one rollout drawn uniformly from the last heat."""
        return self.heats[-1].pass_at_1 if self.heats else None

    @classmethod
    def of(cls, task: TaskFacts, basis: Basis) -> "TaskFigures":
        """Figures of a task's records."""
        done = [one for one in task.rollouts() if one.outcome is not None]
        ended = task.result or task.failed
        return cls(
            task=task.id,
            status=ended.status if ended is not None else "running",
            heats=tuple(_heat(task, heat, basis) for heat in range(len(task.heats))),
            final=_final(task, basis) if ended is not None else None,
            infrastructure_failed=sum(one.infrastructure_failed for one in done),
            unknown=sum(one.passed(basis) is None for one in done),
            unfinished=sum(one.outcome is None for one in task.rollouts()),
            usage=_usage(task, done),
            selected=task.selected,
            ending=task.ending(basis),
            scored=scored(task, basis),
            invalid_grades=sum(one.grade is not None and one.grade.outcome == "invalid" for one in done),
        )


def _heat(task: TaskFacts, heat: int, basis: Basis) -> HeatFigures:
    rollouts = task.heats[heat]
    known = [passed for one in rollouts if (passed := one.passed(basis)) is not None]
    steps = [one.outcome.steps for one in rollouts if one.outcome is not None and one.outcome.exit is not None]
    return HeatFigures(
        rollouts=len(rollouts),
        known=len(known),
        passed=sum(known),
        kept=_kept(task, heat, basis) if heat < len(task.heats) - 1 else None,
        steps=fmean(steps) if steps else None,
        best=_best(task, heat, basis),
        tokens=sum(one.outcome.usage.tokens for one in rollouts if one.outcome is not None),
    )


def _best(task: TaskFacts, heat: int, basis: Basis) -> float | None:
    """Success of the tournament's first choice; 0 if there was nothing to choose."""
    if basis == "none" or task.brackets[heat] is None:
        return None
    chosen = task.find(next(iter(task.kept(heat)), None))
    passed = chosen.passed(basis) if chosen is not None else False
    return None if passed is None else float(passed)


def _kept(task: TaskFacts, heat: int, basis: Basis) -> float | None:
    """Success of the kept candidates; 0 if the heat had nothing to keep."""
    kept = task.kept(heat)
    if not kept and task.brackets[heat] is not None and basis != "none":
        return 0.0
    known = [passed for one in map(task.find, kept) if one is not None and (passed := one.passed(basis)) is not None]
    return fmean(known) if known else None


def _final(task: TaskFacts, basis: Basis) -> float | None:
    if basis == "none":
        return None
    chosen = task.find(task.selected)
    if chosen is None:
        return 0.0
    passed = chosen.passed(basis)
    return None if passed is None else float(passed)


def _usage(task: TaskFacts, done: Iterable[RolloutFacts]) -> Usage:
    if task.result is not None and task.result.usage.calls:
        return task.result.usage
    return sum((one.outcome.usage for one in done if one.outcome is not None), Usage())


@dataclass(frozen=True, slots=True)
class Totals:
    """Means over the tasks for which a figure is known; None if there are none."""

    heats: int
    pass_at_1: tuple[float | None, ...]
    kept: tuple[float | None, ...]
    """After each heat but the last."""
    pass_at_n: tuple[float | None, ...]
    steps: tuple[float | None, ...]
    final: float | None
    random_pick: float | None
    rollouts: int
    infrastructure_failed: int
    unknown: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What a heat changed in the choice that the heat before would have handed over. Source: ARISE, arXiv:2510.06014.

    Attributes:
        heat: the later heat.
        tasks: tasks that played both heats and whose choices are known.
        won, lost: of these, the tasks whose choice succeeds only after, or only before this heat.
        tokens: of this heat's rollouts.
    """

    heat: int
    tasks: int
    won: int
    lost: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of a run, by task and in total.

    Attributes:
        basis: the definition of success used.
        stopped_by: the allocation policy, if it may have ended tasks at a success.
    """

    run_id: str
    basis: Basis
    tasks: tuple[TaskFigures, ...]
    usage: Usage
    stopped_by: str = ""

    @classmethod
    def of(cls, run: RunStore) -> Self:
        """Figures of a run directory, finished or not.

        Raises:
            UsageError: the directory is not a run.
        """
        basis = find_basis(run)
        return cls.gather(run, basis, [TaskFigures.of(read_task(run, task), basis) for task in task_ids(run)])

    @classmethod
    def gather(
        cls, run: RunStore, basis: Basis, tasks: Sequence[TaskFigures], charges: Sequence[Charge] | None = None
    ) -> Self:
        """Combine the figures of tasks that were read already; usage comes from the run's own charges.

        Args:
            run: the run.
            basis: the definition of success used.
            tasks: figures of its tasks.
            charges: the run's charges; None reads them.
        """
        charges = run.charges() if charges is None else charges
        charged = total_usage(charge.usage for charge in charges)
        usage = charged if charged.calls else total_usage(task.usage for task in tasks)
        by_task: dict[str, list[Usage]] = defaultdict(list)
        for charge in charges:
            by_task[charge.task].append(charge.usage)
        told = [task if task.usage.calls else replace(task, usage=total_usage(by_task[task.task])) for task in tasks]
        return cls(run.manifest.run_id, basis, tuple(told), usage, stopping_policy(run))

    @property
    def invalid_grades(self) -> int:
        """Rollouts whose grading failed because of infrastructure."""
        return sum(task.invalid_grades for task in self.tasks)

    @property
    def totals(self) -> Totals:
        """Means over tasks, sums over rollouts."""
        heats = max((len(task.heats) for task in self.tasks), default=0)
        by_heat = [[task.heats[heat] for task in self.tasks if heat < len(task.heats)] for heat in range(heats)]
        return Totals(
            heats=heats,
            pass_at_1=tuple(_mean(one.pass_at_1 for one in heat) for heat in by_heat),
            kept=tuple(_mean(one.kept for one in heat) for heat in by_heat[:-1]),
            pass_at_n=tuple(_mean(one.pass_at_n for one in heat) for heat in by_heat),
            steps=tuple(_mean(one.steps for one in heat) for heat in by_heat),
            final=_mean(task.final for task in self.tasks),
            random_pick=_mean(task.random_pick for task in self.tasks),
            rollouts=sum(one.rollouts for heat in by_heat for one in heat),
            infrastructure_failed=sum(task.infrastructure_failed for task in self.tasks),
            unknown=sum(task.unknown for task in self.tasks),
            unfinished=sum(task.unfinished for task in self.tasks),
        )

    @property
    def gains(self) -> tuple[Gain, ...]:
        """What each heat but the first changed."""
        return tuple(self._gain(heat) for heat in range(1, max((len(task.heats) for task in self.tasks), default=0)))

    def _gain(self, heat: int) -> Gain:
        played = [task.heats for task in self.tasks if heat < len(task.heats)]
        pairs = [(one[heat - 1].best, one[heat].best) for one in played]
        changes = [after - before for before, after in pairs if before is not None and after is not None]
        return Gain(
            heat=heat,
            tasks=len(changes),
            won=sum(change > 0 for change in changes),
            lost=sum(change < 0 for change in changes),
            tokens=sum(one[heat].tokens for one in played),
        )

    @property
    def per_success(self) -> tuple[float, float] | None:
        """Rollouts and tokens of the whole run for each task that succeeds; None if none does."""
        solved = sum(task.final == 1 for task in self.tasks)
        rollouts = sum(heat.rollouts for task in self.tasks for heat in task.heats)
        return (rollouts / solved, self.usage.tokens / solved) if solved else None

    def curve(self, heat: int) -> list[float]:
        """Mean pass@k of a heat for k = 1, 2 ..., over the tasks with at least the usual number of rollouts."""
        found = [task.heats[heat] for task in self.tasks if heat < len(task.heats) and task.heats[heat].known]
        if not found:
            return []
        usual = median_low([one.known for one in found])
        full = [one for one in found if one.known >= usual]
        return [fmean(pass_at_k(one.known, one.passed, k) for one in full) for k in range(1, usual + 1)]

    @property
    def critic(self) -> CriticCalibration | None:
        """Calibration of the critic's scores, if there was a critic and any outcome is known."""
        return calibration([task.scored for task in self.tasks])

    @property
    def succeeded(self) -> str:
        """Number of successful tasks, with the basis: `2/2 solved` by hidden tests, else `1/2 verified`."""
        word = "solved" if self.basis == "pass" else "verified"
        return f"{sum((task.ending or task.status) == word for task in self.tasks)}/{len(self.tasks)} {word}"

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        heats = range(self.totals.heats)
        return {
            "run": self.run_id,
            "basis": self.basis,
            "totals": asdict(self.totals) | {"pass_at_k": [self.curve(heat) for heat in heats]},
            "usage": self.usage.model_dump(),
            "heat_gains": [asdict(gain) for gain in self.gains],
            "rollouts_per_success": self.per_success[0] if self.per_success else None,
            "tokens_per_success": self.per_success[1] if self.per_success else None,
            **({"critic": asdict(self.critic)} if self.critic is not None else {}),
            "tasks": [_task_dict(task) for task in self.tasks],
        }


def _task_dict(task: TaskFigures) -> dict[str, Any]:
    plain = {
        field.name: getattr(task, field.name)
        for field in fields(task)
        if field.name not in {"heats", "usage", "ending", "scored"}
    }
    heats = [asdict(heat) | {"pass_at_1": heat.pass_at_1, "pass_at_n": heat.pass_at_n} for heat in task.heats]
    return plain | {"random_pick": task.random_pick, "heats": heats, "usage": task.usage.model_dump()}


def total_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of many usages, added up at once, since creating a record for each sum is slow for long runs."""
    sums = dict.fromkeys(Usage.model_fields, 0.0)
    for usage in usages:
        for name in sums:
            sums[name] += getattr(usage, name)
    return Usage(**{name: amount if name == "cost_usd" else int(amount) for name, amount in sums.items()})


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
