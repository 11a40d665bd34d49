"""Geometry of the report's charts: curves and spreads. The templates draw what is measured out here."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart."""

    name: str
    points: str
    end: tuple[float, float]
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over k = 1 ... n, with ticks as (place, text)."""

    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = 460
    height: float = 240


def draw_chart(curves: Sequence[tuple[str, Sequence[float]]]) -> Chart | None:
    """pass@k of each heat; None where nothing is known."""
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
    """One row of a chart of spreads: least, quartiles, most and mean, placed."""

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
    """How numbers are spread, a row a group."""

    rows: tuple[Spread, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    width: float = 460


def draw_spreads(groups: Sequence[tuple[str, Sequence[int]]]) -> Spreads | None:
    """Boxes from the first to the third quartile, whiskers from the least to the most; None where nothing is known."""
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
