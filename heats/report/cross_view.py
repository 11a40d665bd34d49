"""The table of executed tests: the project's own and those that rollouts wrote, on every candidate's patch."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.sanitize import one_line
from heats import formatting as say
from heats.store.cross_store import CrossStore
from heats.store.reader import TaskFacts
from heats.store.records import CrossRow, CrossTable

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
    """One test; without an author it is the project's own."""

    author: str
    also: int
    test: str
    counts: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class CrossView:
    """The table of one heat.

    Attributes:
        columns: the base and the candidates, as (id or empty, short name, share).
        existing: number of the project's own tests; lines are of those that some patch breaks.
        seconds: of sandboxes, for the task so far.
        left_out: why something was not run.
    """

    heat: int
    columns: tuple[tuple[str, str, str], ...]
    lines: tuple[CrossLine, ...]
    voices: tuple[str, ...]
    counting: int
    tests: int
    existing: int = 0
    breaking: int = 0
    seconds: float = 0.0
    left_out: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What was executed, on one line."""
        parts = []
        if self.existing:
            parts.append(
                f"{say.several(self.existing, 'test')} of the project's own, {self.breaking} broken by some patch"
            )
        if self.tests:
            parts.append(f"{say.several(self.tests, 'test')} that rollouts wrote, {self.counting} of them count")
        return "; ".join(parts)


def view_cross(task: TaskFacts, heat: int) -> CrossView | None:
    """The table of a heat; None where nothing was executed across."""
    table = CrossStore(task.store.directory).table(heat)
    if table is None or not (table.rows or table.existing):
        return None
    shown = table.candidates[:MAX_COLUMNS]
    columns = [("", "base", "")]
    for one in shown:
        columns.append((one, say.short(one), say.percent(table.shares[one]) if one in table.shares else ""))
    broken = _existing(table)
    ordered = [*broken, *sorted(table.rows, key=lambda row: not row.counts)]
    return CrossView(
        heat=heat,
        columns=tuple(columns),
        lines=tuple(_line(row, shown) for row in ordered[:MAX_ROWS]),
        voices=table.voices,
        counting=sum(row.counts for row in table.rows),
        tests=len(table.rows),
        existing=table.existing,
        breaking=len(broken),
        seconds=table.seconds,
        left_out=table.left_out,
    )


def _existing(table: CrossTable) -> list[CrossRow]:
    """The project's own tests that some patch breaks, those that fewer break first."""
    names = {
        test: sum(test in tests for tests in table.broken.values()) for each in table.broken.values() for test in each
    }
    rows = []
    for test in sorted(names, key=lambda one: (names[one], one)):
        outcomes = {one: "failed" if test in tests else "passed" for one, tests in table.broken.items()}
        row = {"author": "", "authors": (), "test": test, "base": "passed", "outcomes": outcomes}
        rows.append(CrossRow.model_validate(row | {"counts": names[test] < len(table.broken), "guard": True}))
    return rows


def _line(row: CrossRow, candidates: Sequence[str]) -> CrossLine:
    outcomes = [("base", row.base), *((one, row.outcomes.get(one, "missing")) for one in candidates)]
    cells = tuple(Cell(_TONES.get(said, "none"), _MARKS.get(said, ""), f"{who}: {said}") for who, said in outcomes)
    return CrossLine(row.author, max(len(row.authors) - 1, 0), one_line(row.test, 200), row.counts, cells)
