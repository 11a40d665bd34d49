"""Compare runs over the same tasks: what each achieved and cost, and how each differs from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.sanitize import one_line
from heats import formatting as say
from heats.errors import UsageError
from heats.report.charts import Scatter, draw_scatter
from heats.report.figures import Figures, TaskFigures, total_usage
from heats.report.intervals import Estimate, estimate
from heats.report.report import page_html, render
from heats.report.table import MEANING, RunFigures
from heats.report.timeline import drawn_events
from heats.store.files import write_bytes
from heats.store.reader import Basis
from heats.store.store import RunStore
from heats.view.live_model import amount, word

MAX_TASK_ROWS = 1000
LEAST_DIFFERENT = 6
"""Number of tasks that must end differently for a sign test at 5 % to distinguish two runs: 2 x 0.5^5 is still 0.06."""


_COLUMNS = (
    *("run", "final", "95 % interval", "against the first", "better/worse", "pass@1", "pass@N", "tokens", "cost"),
    *("heats won/lost", "rollouts/success", "tokens/success"),
)
_LEAST_TELLING = ("pass@", "cost", "heats won", "tokens", "95 %", "better", "rollouts")
"""Columns to drop if there is no room, in this order."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One run on the common tasks. Costs and tokens are means per task.

    Attributes:
        settings: the run's settings, in words.
        difference: final success minus the first run's, paired by task; None for the first run.
        better, worse: number of common tasks on which only this run, or only the first, succeeded.
        won, lost: tasks whose choice only succeeds after, or only before a further heat, over all heats.
        rollouts_per_success, tokens_per_success: of the common tasks, for each that succeeds; None if none does.
        frontier: whether no other run is both cheaper and better.
    """

    name: str
    settings: str
    final: Estimate | None
    pass_at_1: Estimate | None
    pass_at_n: Estimate | None
    cost_usd: float
    tokens: float
    calls: float
    difference: Estimate | None = None
    better: int = 0
    worse: int = 0
    frontier: bool = False
    won: int = 0
    lost: int = 0
    rollouts_per_success: float | None = None
    tokens_per_success: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs on the tasks that all of them finished. `by_task` holds each run's final success."""

    basis: Basis
    runs: tuple[Compared, ...]
    by_task: Mapping[str, tuple[float, ...]]
    left_out: int

    @property
    def doubts(self) -> tuple[str, ...]:
        """Runs that cannot be distinguished from the first, whatever their intervals, because too few tasks differ."""
        found = []
        for run in self.runs[1:]:
            different = run.better + run.worse
            if different < LEAST_DIFFERENT:
                found.append(
                    f"too few tasks to tell {run.name} from {self.runs[0].name}: {different} of {len(self.by_task)} "
                    f"end differently, and fewer than {LEAST_DIFFERENT} may be chance (sign test, 5 %)"
                )
        return tuple(found)

    @property
    def unit(self) -> str:
        """Unit of the cost axis: `usd` if anything cost money, else `tokens`."""
        return "usd" if any(run.cost_usd for run in self.runs) else "tokens"

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        runs = [asdict(run) for run in self.runs]
        return {"tasks": len(self.by_task), "left_out": self.left_out, "runs": runs, "doubts": list(self.doubts)}


def compare(runs: Sequence[RunStore]) -> Comparison:
    """Compare runs with the first of them.

    Raises:
        UsageError: fewer than two runs, no common task with a known result, or different definitions of success.
    """
    if len(runs) < 2:
        raise UsageError("--compare needs at least two runs")
    figures = [RunFigures.of(run) for run in runs]
    bases = {one.basis for one in figures}
    if len(bases) > 1:
        meanings = ", ".join(sorted(MEANING[basis] for basis in bases))
        raise UsageError(f"the runs cannot be compared, because they measure success differently: {meanings}")
    known = [{task.task: task for task in one.tasks if task.final is not None} for one in figures]
    common = [task for task in known[0] if all(task in other for other in known)]
    if not common:
        raise UsageError("the runs share no task that all of them finished")
    found = [_compared(run, [tasks[task] for task in common]) for run, tasks in zip(runs, known, strict=True)]
    by_task = {task: tuple(tasks[task].final or 0.0 for tasks in known) for task in common}
    everything = {task for tasks in figures for task in (one.task for one in tasks.tasks)}
    told = [_against(one, place, by_task) for place, one in enumerate(_named(found))]
    return Comparison(bases.pop(), _frontier(told), by_task, len(everything) - len(common))


def _compared(run: RunStore, tasks: Sequence[TaskFigures]) -> Compared:
    heats = [task.heats for task in tasks]
    first = [one[0].pass_at_1 for one in heats if one]
    best = [one[-1].pass_at_n for one in heats if one]
    own = Figures(run.directory.name, "pass", tuple(tasks), total_usage(task.usage for task in tasks))
    rollouts, tokens = own.per_success or (None, None)
    return Compared(
        name=one_line(run.directory.resolve().name, 60),
        settings=_settings(run),
        final=estimate([task.final for task in tasks if task.final is not None]),
        pass_at_1=estimate([one for one in first if one is not None]),
        pass_at_n=estimate([one for one in best if one is not None]),
        cost_usd=sum(task.usage.cost_usd for task in tasks) / len(tasks),
        tokens=sum(task.usage.tokens for task in tasks) / len(tasks),
        calls=sum(task.usage.calls for task in tasks) / len(tasks),
        won=sum(gain.won for gain in own.gains),
        lost=sum(gain.lost for gain in own.gains),
        rollouts_per_success=rollouts,
        tokens_per_success=tokens,
    )


def _settings(run: RunStore) -> str:
    data = next((one.data for one in drawn_events(run) if one.kind in {"run_started", "run_resumed"}), {})
    if not data:
        return ""
    heats = amount(data, "iterations")
    told = [word(data, "model"), f"N {amount(data, 'rollouts')}", f"T {heats}"]
    told += [f"K {amount(data, 'select_k')}"] if heats > 1 else []
    told += [f"G {amount(data, 'group_size')}", f"V {amount(data, 'votes')}"]
    return one_line(", ".join(part for part in told if part), 160)


def _named(runs: Sequence[Compared]) -> list[Compared]:
    """The runs, numbered if several directories have the same name."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} ({place})") if names.count(run.name) > 1 else run
        for place, run in enumerate(runs, 1)
    ]


def _against(run: Compared, place: int, by_task: Mapping[str, Sequence[float]]) -> Compared:
    if place == 0:
        return run
    differences = [finals[place] - finals[0] for finals in by_task.values()]
    better, worse = sum(one > 0 for one in differences), sum(one < 0 for one in differences)
    return replace(run, difference=estimate(differences), better=better, worse=worse)


def _frontier(runs: Sequence[Compared]) -> tuple[Compared, ...]:
    def price(run: Compared) -> tuple[float, float]:
        return run.cost_usd, run.tokens

    def mean(run: Compared) -> float:
        return run.final.mean if run.final is not None else 0.0

    def beats(one: Compared, other: Compared) -> bool:
        no_worse = price(one) <= price(other) and mean(one) >= mean(other)
        return no_worse and (price(one), mean(one)) != (price(other), mean(other))

    return tuple(replace(run, frontier=not any(beats(other, run) for other in runs)) for run in runs)


def scatter(found: Comparison) -> Scatter | None:
    """Cost against accuracy, one dot per run."""
    points = []
    for run in found.runs:
        if run.final is not None:
            x = run.cost_usd if found.unit == "usd" else run.tokens
            points.append((run.name, x, run.final.mean, run.final.low, run.final.high, run.frontier))
    return draw_scatter(points, say.money if found.unit == "usd" else say.count)


def write_comparison(found: Comparison, path: Path) -> Path:
    """Write a comparison as one HTML page, as safe to open as a report."""
    body = render(
        "compare.html.j2",
        found=found,
        meaning=MEANING[found.basis],
        scatter=scatter(found),
        share=share,
        interval=interval,
        change=change,
        tasks=list(found.by_task.items())[:MAX_TASK_ROWS],
    )
    write_bytes(path, page_html("heats: runs compared", body).encode(), mode=0o644)
    return path


def comparison_text(found: Comparison, width: int | None = None) -> str:
    """A table with one row per run, aligned by spaces.

    Args:
        found: the comparison.
        width: maximum line length in characters; None for the terminal's width, or 120.
    """
    rows = [list(_COLUMNS)]
    rows += [_row(run) for run in found.runs]
    lines = say.aligned(rows, width or say.columns(), cut=(0,), drop=_LEAST_TELLING)
    tasks = say.several(len(found.by_task), "common task")
    notes = [f"{MEANING[found.basis]}; {tasks}; cost and tokens are per task; * no other run is cheaper and better"]
    if found.left_out:
        notes.append(f"{say.several(found.left_out, 'task')} not finished in every run: left out")
    return "\n".join([*lines, "", *notes, *found.doubts]) + "\n"


def _row(run: Compared) -> list[str]:
    name = run.name + ("*" if run.frontier else "")
    told = [share(run.final), interval(run.final), change(run), f"{run.better}/{run.worse}" if run.difference else ""]
    costs = [say.count(round(run.tokens)), say.money(run.cost_usd)]
    per_success = [
        "" if run.rollouts_per_success is None else f"{run.rollouts_per_success:.1f}",
        "" if run.tokens_per_success is None else say.count(round(run.tokens_per_success)),
    ]
    return [
        *(name, *told, share(run.pass_at_1), share(run.pass_at_n), *costs),
        *(f"{run.won}/{run.lost}" if run.won or run.lost else "", *per_success),
    ]


def share(one: Estimate | None) -> str:
    """A mean in per cent."""
    return say.percent(one.mean if one is not None else None)


def change(run: Compared) -> str:
    """Difference from the first run, in percentage points with their interval."""
    found = run.difference
    return f"{found.mean * 100:+.1f} points {interval(found, points=True)}" if found is not None else ""


def interval(one: Estimate | None, points: bool = False) -> str:
    """An interval in per cent, or in signed percentage points."""
    if one is None or one.low is None or one.high is None:
        return ""
    if points:
        return f"[{one.low * 100:+.1f}, {one.high * 100:+.1f}]"
    return f"[{one.low * 100:.1f}, {one.high * 100:.1f}]"
