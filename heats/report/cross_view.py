"""The cross-execution table: tests that rollouts wrote, run on every candidate's patch."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.sanitize import one_line
from heats import formatting as say
from heats.store.cross_store import CrossStore
from heats.store.reader import TaskFacts
from heats.store.records import CrossRow

MAX_ROWS, MAX_COLUMNS = 200, 40
_TONES = {"passed": "yes", "failed": "no", "error": "no", "skipped": "none", "missing": "none"}
_MARKS = {"passed": "\u2713", "failed": "\u2717", "error": "!", "skipped": "s", "missing": ""}


@dataclass(frozen=True, slots=True)
class Cell:
    """One test on one tree."""

    tone: str
    mark: str
    title: str


@dataclass(frozen=True, slots=True)
class CrossLine:
    """One test."""

    author: str
    also: int
    test: str
    counts: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class CrossView:
    """The table of one heat. `columns` are the base and the candidates, as (id or empty, short name, share)."""

    heat: int
    columns: tuple[tuple[str, str, str], ...]
    lines: tuple[CrossLine, ...]
    voices: tuple[str, ...]
    counting: int
    tests: int


def view_cross(task: TaskFacts, heat: int) -> CrossView | None:
    """The table of a heat; None if there was no cross-execution."""
    table = CrossStore(task.store.directory).table(heat)
    if table is None or not table.rows:
        return None
    shown = table.candidates[:MAX_COLUMNS]
    columns = [("", "base", "")]
    for one in shown:
        columns.append((one, say.short(one), say.percent(table.shares[one]) if one in table.shares else ""))
    ordered = sorted(table.rows, key=lambda row: not row.counts)
    return CrossView(
        heat=heat,
        columns=tuple(columns),
        lines=tuple(_line(row, shown) for row in ordered[:MAX_ROWS]),
        voices=table.voices,
        counting=sum(row.counts for row in table.rows),
        tests=len(table.rows),
    )


def _line(row: CrossRow, candidates: Sequence[str]) -> CrossLine:
    outcomes = [("base", row.base), *((one, row.outcomes.get(one, "missing")) for one in candidates)]
    cells = tuple(Cell(_TONES.get(said, "none"), _MARKS.get(said, ""), f"{who}: {said}") for who, said in outcomes)
    return CrossLine(row.author, len(row.authors) - 1, one_line(row.test, 200), row.counts, cells)
