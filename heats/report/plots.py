"""Plots of runs for papers, as PNG and SVG (extra `plots`)."""

from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.registry import optional_module
from heats import formatting as say
from heats.errors import UsageError
from heats.report.compare import Comparison
from heats.report.curves import HeatCurves, heat_curves
from heats.report.intervals import estimate
from heats.report.table import MEANING
from heats.store.files import write_bytes
from heats.store.store import RunStore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

COLOURS = ("#0b6e72", "#b3541e", "#5b4b9e", "#6b7280")
MARKERS = ("o", "s", "^", "D")
"""So that heats can be distinguished without colours as well."""
SIZE = (4.6, 3.2)
"""Inches: one column of a paper."""
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e5e8",
    "legend.frameon": False,
    "svg.hashsalt": "heats",
}


def write_plots(run: RunStore, directory: Path) -> list[Path]:
    """Plot pass@k of each heat, accuracy by round, and passes before and after refinement.

    Bands and bars are 95 % bootstrap intervals over tasks.

    Returns:
        The files written.

    Raises:
        ExtraMissing: matplotlib is not installed, or nothing in the run tells whether rollouts succeeded.
    """
    basis, heats = heat_curves(run)
    known = [heat for heat in heats if heat.passes]
    if basis == "none" or not known:
        raise UsageError(f"{run.directory}: neither grades nor evidence, so there is nothing to plot")
    written = _save(directory, "pass-at-k", lambda axes: _pass_at_k(axes, known, MEANING[basis]))
    if any(heat.by_round for heat in known):
        written += _save(directory, "accuracy-by-round", lambda axes: _by_round(axes, known))
    return written + _save(directory, "passes-before-and-after", lambda axes: _passes(axes, known))


def write_comparison_plot(found: Comparison, directory: Path) -> list[Path]:
    """Plot cost against accuracy for the runs of a comparison.

    Returns:
        The files written.

    Raises:
        ExtraMissing: matplotlib is not installed.
    """
    return _save(directory, "cost-against-accuracy", lambda axes: _costs(axes, found))


def _save(directory: Path, name: str, draw: Callable[["Axes"], None]) -> list[Path]:
    """Write one drawing in both formats; the same data give the same bytes."""
    matplotlib, figures = optional_module("matplotlib", "a plot"), optional_module("matplotlib.figure", "a plot")
    paths = []
    with matplotlib.rc_context(STYLE):
        figure = figures.Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)
        for form, about in (("png", {"Software": None}), ("svg", {"Date": None})):
            data = BytesIO()
            figure.savefig(data, format=form, dpi=200, metadata=about)
            path = directory / f"{name}.{form}"
            write_bytes(path, data.getvalue(), mode=0o644)
            paths.append(path)
    return paths


def _pass_at_k(axes: "Axes", heats: Sequence[HeatCurves], meaning: str) -> None:
    for heat in heats:
        _band(axes, heat.heat, range(1, len(heat.pass_at_k[0]) + 1), heat.pass_at_k)
    axes.set_xlabel("k")
    axes.set_ylabel("pass@k (%)")
    axes.set_title(f"{meaning}, {say.several(len(heats[0].pass_at_k), 'task')}", fontsize=8, color="#5d6670")
    _whole(axes.xaxis)
    axes.legend()


def _by_round(axes: "Axes", heats: Sequence[HeatCurves]) -> None:
    for heat in heats:
        if heat.by_round:
            _band(axes, heat.heat, range(len(heat.by_round[0])), heat.by_round)
            told = [f"{right}/{mixed}" for right, mixed in heat.decided]
            axes.plot(
                [], [], " ", label=f"mixed matches decided correctly: {', '.join(told)}" if told else "no mixed match"
            )
    axes.set_xlabel("rounds played")
    axes.set_ylabel("candidates in play that pass (%)")
    _whole(axes.xaxis)
    axes.legend(fontsize=7.5)


def _whole(axis: "Axis") -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def _band(axes: "Axes", heat: int, xs: Sequence[int], tasks: Sequence[Sequence[float]]) -> None:
    """Draw the mean over tasks at each x, with its interval."""
    colour, marker = COLOURS[heat % len(COLOURS)], MARKERS[heat % len(MARKERS)]
    found = [one for one in (estimate([task[place] for task in tasks]) for place in range(len(xs))) if one is not None]
    means = [100 * one.mean for one in found]
    axes.plot(xs, means, color=colour, marker=marker, markersize=3.5, linewidth=1.6, label=f"heat {heat}")
    low = [100 * (one.mean if one.low is None else one.low) for one in found]
    high = [100 * (one.mean if one.high is None else one.high) for one in found]
    axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)


def _passes(axes: "Axes", heats: Sequence[HeatCurves]) -> None:
    most = max(max(heat.known) for heat in heats)
    width = 0.8 / len(heats)
    for place, heat in enumerate(heats):
        counts = Counter(heat.passes)
        xs = [count - 0.4 + width * (place + 0.5) for count in range(most + 1)]
        label = f"heat {heat.heat}" + (", before refinement" if place == 0 and len(heats) > 1 else "")
        axes.bar(xs, [counts[count] for count in range(most + 1)], width, color=COLOURS[place % 4], label=label)
    axes.margins(y=0.2)
    axes.set_xlabel(f"rollouts that pass, of {most}")
    axes.set_ylabel("tasks")
    _whole(axes.xaxis)
    _whole(axes.yaxis)
    axes.legend(loc="upper left", ncols=len(heats), fontsize=8)


def _costs(axes: "Axes", found: Comparison) -> None:
    best = []
    for run in found.runs:
        if run.final is None:
            continue
        x, y = run.cost_usd if found.unit == "usd" else run.tokens, 100 * run.final.mean
        down = y - 100 * run.final.low if run.final.low is not None else 0
        up = 100 * run.final.high - y if run.final.high is not None else 0
        colour = COLOURS[0] if run.frontier else COLOURS[3]
        axes.errorbar(x, y, [[max(down, 0)], [max(up, 0)]], fmt="o", color=colour, markersize=5, capsize=2.5)
        axes.annotate(run.name, (x, y), xytext=(6, 5), textcoords="offset points", fontsize=7.5, parse_math=False)
        best += [(x, y)] if run.frontier else []
    axes.plot(*zip(*sorted(best), strict=True), color=COLOURS[0], linewidth=1, alpha=0.6)
    axes.margins(x=0.15)
    axes.set_xlim(left=0)
    axes.set_xlabel("cost of a task (USD)" if found.unit == "usd" else "tokens of a task")
    axes.set_ylabel("final choice succeeds (%)")
    title = f"{MEANING[found.basis]}, {say.several(len(found.by_task), 'common task')}"
    axes.set_title(title, fontsize=8, color="#5d6670")
