"""Geometry of the report's brackets and time lines. The templates draw what is computed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heats import formatting as say
from tournament.base import Bracket, Match
from tournament.position_bias import orders_disagree
from tournament.reasons import tally

BOX_WIDTH = 168
LINE_HEIGHT = 24
LABEL_HEIGHT = 18
GAP_X = 56
GAP_Y = 14
TOP = 30


@dataclass(frozen=True, slots=True)
class BoxLine:
    """One contestant in a match's box."""

    rollout: str
    y: float
    votes: str | None
    winner: bool


@dataclass(slots=True)
class Box:
    """One match with its coordinates."""

    match: Match
    x: float
    y: float
    lines: list[BoxLine] = field(default_factory=list)
    label: str = ""

    @property
    def height(self) -> float:
        """Height without the label above it."""
        return LINE_HEIGHT * len(self.lines)

    @property
    def middle(self) -> float:
        """Where the lines from earlier matches end."""
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class BracketDrawing:
    """A bracket with its coordinates. `links` are SVG path data, with whether the winner comes from there."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    links: tuple[str, ...]
    captions: tuple[tuple[float, str], ...]
    box_width: float = BOX_WIDTH
    line_height: float = LINE_HEIGHT


def draw_bracket(bracket: Bracket) -> BracketDrawing:
    """Lay out every match: one column per round, each match level with those its contestants come from."""
    boxes: list[Box] = []
    links: list[str] = []
    feeders: dict[str, Box] = {}
    for column, played in enumerate(bracket.rounds):
        floor = float(TOP)
        placed = []
        for match in sorted(played, key=lambda one: _wish(one, feeders)):
            sources = [feeders[one] for one in match.contestants if one in feeders]
            box = _box(match, 8 + column * (BOX_WIDTH + GAP_X), len(match.contestants))
            level = sum(source.middle for source in sources) / len(sources) - box.height / 2 if sources else 0.0
            box.y = max(level, floor + LABEL_HEIGHT)
            _fill(box)
            floor = box.y + box.height + GAP_Y
            links += [_link(source, box) for source in sources]
            placed.append(box)
        boxes += placed
        feeders |= {box.match.winner: box for box in placed}
    width = 16 + len(bracket.rounds) * (BOX_WIDTH + GAP_X) - (GAP_X if bracket.rounds else 0)
    height = max((box.y + box.height for box in boxes), default=TOP) + GAP_Y
    captions = tuple(
        (8 + column * (BOX_WIDTH + GAP_X), "play-off" if any(one.play_off for one in played) else f"round {column + 1}")
        for column, played in enumerate(bracket.rounds)
    )
    return BracketDrawing(width, height, tuple(boxes), tuple(links), captions)


def _wish(match: Match, feeders: Mapping[str, Box]) -> float:
    sources = [feeders[one].middle for one in match.contestants if one in feeders]
    return sum(sources) / len(sources) if sources else float("inf")


def _box(match: Match, x: float, contestants: int) -> Box:
    return Box(match, x, 0.0, [BoxLine("", 0, None, False)] * contestants, decided(match))


def _fill(box: Box) -> None:
    match = box.match
    count = tally(match)
    box.lines = [
        BoxLine(one, box.y + LINE_HEIGHT * place, say.votes(count[one]) if match.votes else None, one == match.winner)
        for place, one in enumerate(match.contestants)
    ]


def _link(source: Box, target: Box) -> str:
    line = next((one for one in source.lines if one.winner), None)
    y = source.middle if line is None else line.y + LINE_HEIGHT / 2
    goal = next((one for one in range(len(target.lines)) if target.match.contestants[one] == source.match.winner), 0)
    end = target.y + LINE_HEIGHT * (goal + 0.5)
    start, bend = source.x + BOX_WIDTH, source.x + BOX_WIDTH + GAP_X / 2
    return f"M{start:.0f} {y:.0f} C{bend:.0f} {y:.0f} {bend:.0f} {end:.0f} {target.x:.0f} {end:.0f}"


def decided(match: Match) -> str:
    """How a match was decided, in a word or two."""
    abstained = sum(vote.choice is None for vote in match.votes)
    votes = say.several(len(match.votes) - abstained, "vote") + (f", {abstained} abstained" if abstained else "")
    return (say.decision(match) or votes) + (", orders disagree" if orders_disagree(match) else "")


@dataclass(frozen=True, slots=True)
class Period:
    """A period in a row; `kind` is its CSS class."""

    kind: str
    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A span with its coordinates."""

    kind: str
    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Rows of bars over time."""

    rows: tuple[tuple[str, float, tuple[Bar, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    width: float = 960
    left: float = 170


def draw_timeline(rows: Sequence[tuple[str, Sequence[Period]]]) -> TimeLine | None:
    """Rows of spans in seconds, scaled to the total duration; None if there is nothing to draw."""
    spans = [span for _, row in rows for span in row]
    if not spans:
        return None
    first, last = min(span.start for span in spans), max(span.end for span in spans)
    total = max(last - first, 1e-3)

    def x(moment: float) -> float:
        return 170 + 776 * (moment - first) / total

    placed = []
    for place, (name, row) in enumerate(rows):
        bars = tuple(Bar(one.kind, x(one.start), max(x(one.end) - x(one.start), 2), one.text) for one in row)
        placed.append((name, 22.0 + 20 * place, bars))
    step = _round_step(total / 6)
    ticks = tuple((x(first + step * count), _moment(step * count)) for count in range(int(total / step) + 1))
    return TimeLine(tuple(placed), ticks, 30 + 20 * len(rows))


def _round_step(least: float) -> float:
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
    return next((step for step in steps if step >= least), least)


def _moment(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 5400 else f"{seconds / 3600:g} h"
