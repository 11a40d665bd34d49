"""Draw a bracket with characters, for terminals."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rich.text import Text

from core.sanitize import one_line
from heats import formatting as say
from tournament.base import Bracket, Match
from tournament.reasons import tally

BOX, GAP = 16, 5
Style = Callable[[str], tuple[str, str]]
"""From a rollout's id to its mark and the mark's style."""


@dataclass
class _Canvas:
    cells: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    def write(self, row: int, column: int, text: str, style: str = "") -> None:
        for place, sign in enumerate(text):
            self.cells[row, column + place] = (sign, style)

    def text(self) -> Text:
        found = Text(no_wrap=True)
        for row in range(max((row for row, _ in self.cells), default=-1) + 1):
            columns = [column for at, column in self.cells if at == row]
            for column in range(max(columns, default=-1) + 1):
                sign, style = self.cells.get((row, column), (" ", ""))
                found.append(sign, style=style)
            found.append("\n")
        return found


def bracket_text(bracket: Bracket, mark: Style) -> Text:
    """One column per round; winners are bold, numbers are votes, and lines lead on."""
    canvas = _Canvas()
    places: dict[str, tuple[int, int]] = {}  # line on which a winner left its last match
    for column, played in enumerate(bracket.rounds):
        left, floor = column * (BOX + GAP), 0
        ended: dict[str, tuple[int, int]] = {}
        for match in sorted(played, key=lambda one: _wish(one, places)):
            rows = [places[one][0] for one in match.contestants if one in places]
            top = max(floor, sum(rows) // len(rows) - len(match.contestants) // 2 if rows else floor)
            for place, one in enumerate(match.contestants):
                _line(canvas, (top + place, left), match, one, mark)
                if one in places:
                    _link(canvas, places[one], (top + place, left))
                if one == match.winner:
                    ended[one] = (top + place, left + BOX)
            floor = top + len(match.contestants) + 1
        places |= ended
    return canvas.text()


def _wish(match: Match, places: dict[str, tuple[int, int]]) -> float:
    rows = [places[one][0] for one in match.contestants if one in places]
    return sum(rows) / len(rows) if rows else float("inf")


def _line(canvas: _Canvas, place: tuple[int, int], match: Match, one: str, mark: Style) -> None:
    row, column = place
    won = one == match.winner
    sign, style = mark(one)
    votes = say.votes(tally(match)[one]) if match.votes else ""
    name = one_line(say.short(one), BOX - 6)
    canvas.write(row, column, " " * BOX)
    canvas.write(row, column, sign, style)
    canvas.write(row, column + 2, name, "bold" if won else "dim")
    canvas.write(row, column + BOX - 1 - len(votes), votes, "cyan" if won else "dim")


def _link(canvas: _Canvas, start: tuple[int, int], end: tuple[int, int]) -> None:
    (row, column), (goal, last) = start, end
    bend = last - 3
    canvas.write(row, column, "\u2500" * (bend - column), "cyan")
    canvas.write(goal, bend + 1, "\u2500\u2500", "cyan")
    if row == goal:
        canvas.write(row, bend, "\u2500", "cyan")
        return
    down = goal > row
    canvas.write(row, bend, "\u256e" if down else "\u256f", "cyan")
    canvas.write(goal, bend, "\u2570" if down else "\u256d", "cyan")
    for between in range(min(row, goal) + 1, max(row, goal)):
        canvas.write(between, bend, "\u2502", "cyan")
