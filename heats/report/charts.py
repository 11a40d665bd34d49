"""Geometry of the report's charts: curves and box plots. The templates draw what is computed here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from statistics import fmean, quantiles


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a chart."""

    name: str
    points: str
    end: tuple[float, float]
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over k = 1 ... n, with ticks as (position, text)."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = 460
    height: float = 240


def draw_chart(curves: Sequence[tuple[str, Sequence[float]]]) -> Chart | None:
    """pass@k of each heat; None if nothing is known."""
    known = [(name, values) for name, values in curves if values]
    if not known:
        return None
    longest = max(len(values) for _, values in known)

    def x(k: int) -> float:
        return 46 + (380 * (k - 1) / max(longest - 1, 1))

    def y(share: float) -> float:
        return 204 - 184 * share

    drawn = []
    for name, values in known:
        dots = [(x(k), y(share), f"{name}: pass@{k} = {share * 100:.1f} %") for k, share in enumerate(values, 1)]
        points = " ".join(f"{left:.1f},{top:.1f}" for left, top, _ in dots)
        drawn.append(Curve(name, points, dots[-1][:2], tuple(dots)))
    step = max(1, -(-longest // 8))
    ks = sorted({1, longest, *range(step, longest - step // 2, step)})
    return Chart(
        tuple(drawn),
        tuple((x(k), str(k)) for k in ks),
        tuple((y(share), f"{share * 100:.0f} %") for share in (0, 0.25, 0.5, 0.75, 1)),
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """One row of a box plot: coordinates of minimum, quartiles, maximum and mean."""

    name: str
    text: str
    y: float
    low: float
    first: float
    middle: float
    third: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True)
class Spreads:
    """A box plot with one row per group."""

    rows: tuple[Spread, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    width: float = 460


def draw_spreads(groups: Sequence[tuple[str, Sequence[int]]]) -> Spreads | None:
    """Boxes from the first to the third quartile, whiskers from minimum to maximum; None if nothing is known."""
    known = [(name, values) for name, values in groups if values]
    if not known:
        return None
    top = max(max(values) for _, values in known)
    step = _round(top / 5)
    end = step * (-(-top // step) or 1)

    def x(value: float) -> float:
        return 56 + 380 * value / end

    rows = []
    for place, (name, values) in enumerate(known):
        first, middle, third = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [float(values[0])] * 3
        mean = fmean(values)
        text = f"{name}: {min(values)} to {max(values)} steps, median {middle:g}, mean {mean:.1f}"
        placed = (x(number) for number in (min(values), first, middle, third, max(values), mean))
        rows.append(Spread(name, text, 20.0 + 34 * place, *placed))
    ticks = tuple((x(step * count), f"{step * count:g}") for count in range(int(end / step) + 1))
    return Spreads(tuple(rows), ticks, 34.0 * len(rows) + 34)


def _round(least: float) -> float:
    return next((float(step) for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500) if step >= least), least)


@dataclass(frozen=True, slots=True)
class RunDot:
    """Coordinates of one run: its cost, its accuracy and the interval of the latter."""

    name: str
    x: float
    y: float
    low: float
    high: float
    frontier: bool
    text: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """Cost against accuracy. `line` joins the runs to which no other is both cheaper and better."""

    dots: tuple[RunDot, ...]
    line: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = 960
    height: float = 340


Point = tuple[str, float, float, float | None, float | None, bool]
"""Name, cost, accuracy, the ends of its interval, and whether it is on the frontier."""


def draw_scatter(points: Sequence[Point], say_cost: Callable[[float], str]) -> Scatter | None:
    """Dots with whiskers, with costs from 0; None if there are no points."""
    if not points:
        return None
    most = max(point[1] for point in points) or 1.0
    step = 10.0 ** floor(log10(most))
    step = next(step * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if most / (step * part) <= 6)
    end = step * ceil(most / step)

    def x(cost: float) -> float:
        return 56 + 740 * cost / end

    def y(share: float) -> float:
        return 292 - 268 * share

    dots = []
    for name, cost, share, low, high, frontier in points:
        text = f"{name}: {share * 100:.1f} % for {say_cost(cost)} a task"
        ends = (y(share if low is None else low), y(share if high is None else high))
        dots.append(RunDot(name, x(cost), y(share), *ends, frontier, text))
    best = sorted((dot.x, dot.y) for dot in dots if dot.frontier)
    return Scatter(
        tuple(dots),
        " ".join(f"{left:.1f},{top:.1f}" for left, top in best),
        tuple((x(step * count), say_cost(step * count)) for count in range(round(end / step) + 1)),
        tuple((y(share), f"{share * 100:.0f} %") for share in (0, 0.25, 0.5, 0.75, 1)),
    )
