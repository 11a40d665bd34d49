"""Plot simulated settings: success against cost, with the frontier and the best setting within the limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.registry import optional_module
from heats import formatting as say
from heats.errors import UsageError
from heats.planning.plan import Outlook, TaskLimits
from heats.report.report import render
from heats.store.files import write_bytes

LEFT, RIGHT, TOP, BOTTOM = 58.0, 700.0, 34.0, 380.0
UNITS = {"usd": "USD", "tokens": "tokens", "seconds": "seconds", "calls": "model calls"}


@dataclass(frozen=True, slots=True)
class SettingDot:
    """One setting with its coordinates. `kind` is its CSS class, by T."""

    x: float
    y: float
    radius: float
    kind: str
    text: str
    within: bool
    best: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """Settings by cost per task, on a logarithmic scale.

    Attributes:
        frontier: points of the efficient frontier.
        limit: x coordinate of the limit, if this cost has one and it is in range.
    """

    unit: str
    dots: tuple[SettingDot, ...]
    frontier: str
    limit: float | None
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    iterations: tuple[int, ...]
    width: float = RIGHT + 20
    height: float = BOTTOM + 70


def cost_unit(found: Sequence[Outlook], budget: TaskLimits) -> str:
    """The cost on the x axis: the one that is limited, else the first known of money, tokens and calls."""
    limited = [unit for unit in UNITS if getattr(budget, unit) is not None]
    known = [unit for unit in ("usd", "tokens", "calls") if any(getattr(one, unit) for one in found)]
    return (limited or known)[0]


def frontier(found: Sequence[Outlook], unit: str) -> list[Outlook]:
    """The settings to which no other is both cheaper and better."""
    best: list[Outlook] = []
    for one in sorted(found, key=lambda one: (getattr(one, unit), -one.forecast.final)):
        if not best or one.forecast.final > best[-1].forecast.final:
            best.append(one)
    return best


def draw_outlooks(found: Sequence[Outlook], best: Outlook | None, budget: TaskLimits) -> Plot:
    """Compute the coordinates of every setting.

    Args:
        found: the simulated settings.
        best: the best of them, if any is within the budget.
        budget: limits for one task.
    """
    unit = cost_unit(found, budget)
    costs = [max(getattr(one, unit), 1e-9) for one in found]
    low, high = math.log10(min(costs)) - 0.05, math.log10(max(costs)) + 0.05
    finals = [one.forecast.final for one in found]
    floor = math.floor(20 * min(finals)) / 20
    ceiling = max(math.ceil(20 * max(finals)) / 20, floor + 0.05)

    def x(cost: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log10(max(cost, 1e-9)) - low) / (high - low)

    def y(share: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (share - floor) / (ceiling - floor)

    def dot(one: Outlook) -> SettingDot:
        method = one.method
        radius, kind = 3 + math.log2(method.rollouts), f"t{min(method.iterations, 3)}"
        place = (x(getattr(one, unit)), y(one.forecast.final))
        return SettingDot(*place, radius, kind, _said(one, unit), one.within, one is best)

    limit = getattr(budget, unit)
    line = frontier(found, unit)
    steps = round((ceiling - floor) * 20)
    return Plot(
        unit=UNITS[unit],
        dots=tuple(dot(one) for one in sorted(found, key=lambda one: one is best)),
        frontier=" ".join(f"{x(getattr(one, unit)):.1f},{y(one.forecast.final):.1f}" for one in line),
        limit=x(limit) if limit is not None and low <= math.log10(max(limit, 1e-9)) <= high else None,
        x_ticks=tuple((x(value), say_cost(value, unit)) for value in _ticks(low, high)),
        y_ticks=tuple((y(floor + step / 20), f"{100 * floor + 5 * step:.0f} %") for step in range(steps + 1)),
        iterations=tuple(sorted({min(one.method.iterations, 3) for one in found})),
    )


def say_cost(value: float, unit: str) -> str:
    """A cost as an axis label."""
    if unit == "usd":
        return f"{value:.3g}"
    return say.duration(value) if unit == "seconds" else say.count(round(value))


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times every power of ten in range."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [tick for tick in ticks if low <= math.log10(tick) <= high]


def _said(one: Outlook, unit: str) -> str:
    method = one.method
    kept = f", K={method.select_k}" if method.iterations > 1 else ""
    setting = f"N={method.rollouts}{kept}, G={method.group_size}, V={method.votes}, T={method.iterations}"
    return f"{setting}: final {100 * one.forecast.final:.1f} %, {say_cost(getattr(one, unit), unit)} {UNITS[unit]}"


def write_plot(path: Path, found: Sequence[Outlook], best: Outlook | None, budget: TaskLimits) -> None:
    """Write the plot as SVG, or as PNG if matplotlib is installed.

    Args:
        path: output file, ending with .svg or .png.
        found: the simulated settings.
        best: the best of them, if any is within the budget.
        budget: limits for one task.

    Raises:
        ExtraMissing: PNG without matplotlib.
        UsageError: another file type, or a file that cannot be written.
    """
    try:
        if path.suffix == ".svg":
            write_bytes(path, svg(draw_outlooks(found, best, budget), best).encode(), mode=0o644)
        elif path.suffix == ".png":
            _write_png(path, found, best, budget)
        else:
            raise UsageError(f"--plot {path}: the name must end with .svg or .png")
    except OSError as error:
        raise UsageError(f"--plot {path}: {error.strerror or error}") from None


def svg(plot: Plot, best: Outlook | None) -> str:
    """The drawing as a standalone SVG document."""
    told = next((dot.text for dot in plot.dots if dot.best), "no setting is within the limits")
    box = {"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
    return render("forecast.svg.j2", plot=plot, told=told, **box)


def _write_png(path: Path, found: Sequence[Outlook], best: Outlook | None, budget: TaskLimits) -> None:
    figures = optional_module("matplotlib.figure", "--plot with a name other than .svg")
    unit = cost_unit(found, budget)
    figure = figures.Figure(figsize=(7.2, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xscale="log", xlabel=f"{UNITS[unit]} for a task", ylabel="final pass@1, %")
    for heats in sorted({one.method.iterations for one in found}):
        for within, shown in ((True, 1.0), (False, 0.3)):
            those = [one for one in found if (one.method.iterations, one.within) == (heats, within)]
            sizes = [12 * (1 + math.log2(one.method.rollouts)) for one in those]
            places = ([getattr(one, unit) for one in those], [100 * one.forecast.final for one in those])
            name = f"T = {heats}" + ("" if within else ", over a limit")
            axes.scatter(*places, s=sizes, alpha=shown, color=f"C{heats - 1}", label=name if those else None)
    line = frontier(found, unit)
    axes.plot([getattr(one, unit) for one in line], [100 * one.forecast.final for one in line], color="grey")
    if best is not None:
        axes.plot([getattr(best, unit)], [100 * best.forecast.final], "o", ms=16, mfc="none", color="black")
    if getattr(budget, unit) is not None:
        axes.axvline(getattr(budget, unit), linestyle="--", color="grey")
    axes.set_title(_said(best, unit) if best else "no setting is within the limits", fontsize=9)
    axes.legend(frameon=False)
    figure.savefig(path, format="png")
