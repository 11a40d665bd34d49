"""A run's figures as a table: for a terminal, and as plain text."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.sanitize import one_line
from heats import formatting as say
from heats.report.figures import Figures, TaskFigures

_LEAST_TELLING = ("tokens", "calls", "random", "infra", "pass@N", "steps", "cost", "Sel-K", "heat")
"""Columns to drop if there is no room, in this order."""
MEANING = {
    "pass": "pass rates by the hidden tests",
    "verified": "no grades: shares verified by your tests",
    "none": "neither grades nor evidence: success is unknown",
}


class RunFigures(Figures):
    """The figures of a run, with their display: `RunFigures.of(store)`."""

    def as_text(self, limit: int = 1000) -> str:
        """Plain text: one row per task, at most `limit` of them, the totals, and notes on how to read them."""
        return figures_text(self, limit)

    def view(self, width: int, limit: int = 60) -> RenderableType:
        """For a terminal `width` columns wide."""
        return figures_view(self, width, limit)


def figures_view(figures: Figures, width: int, limit: int = 60) -> RenderableType:
    """Tasks, totals and notes, fitted to a terminal.

    Args:
        figures: the figures.
        width: columns of the terminal.
        limit: maximum number of task rows.
    """
    remarks = Group(*(Text(note, style="dim") for note in notes(figures)))
    return Group(figures_table(figures, limit, width), totals_table(figures), remarks)


def figures_table(figures: Figures, limit: int = 60, width: int = 160) -> Table:
    """A table with one row per task, and the total.

    Args:
        figures: the figures.
        limit: maximum number of task rows.
        width: columns of the terminal; table columns that do not fit are dropped.
    """
    table = Table(title=Text(MEANING[figures.basis]), title_justify="left", title_style="dim", box=SIMPLE_HEAD)
    rows = list(_rows(figures, limit))
    shown = _fitting(rows, width)
    for place in shown:
        table.add_column(rows[0][place], justify="left" if place < 2 else "right", no_wrap=True)
    for row in rows[1:-1]:
        table.add_row(*(Text(row[place], style=_style(row[place])) for place in shown))
    table.add_section()
    table.add_row(*(Text(rows[-1][place], style="bold") for place in shown))
    return table


def totals_table(figures: Figures) -> Table:
    """The totals, one row per stage of the method: each heat, the candidates kept, a random pick, the final choice."""
    totals = figures.totals
    table = Table(box=SIMPLE_HEAD, header_style="dim")
    for name in ("", "pass@1", "pass@N", "steps"):
        table.add_column(name, justify="right" if name else "left")
    for heat in range(totals.heats):
        steps = totals.steps[heat]
        figure = (totals.pass_at_1[heat], totals.pass_at_n[heat])
        table.add_row(f"heat {heat}", *map(say.percent, figure), "" if steps is None else f"{steps:.1f}")
        if heat < totals.heats - 1:
            table.add_row(f"kept after heat {heat} (Sel-K)", say.percent(totals.kept[heat]))
    table.add_row("random rollout of the last heat", say.percent(totals.random_pick))
    table.add_row(Text("final choice", style="bold"), Text(say.percent(totals.final), style="bold"))
    return table


def _fitting(rows: list[list[str]], width: int) -> list[int]:
    """Indexes of the columns to show: the least informative are dropped until the row fits."""
    widths = [max(len(row[place]) for row in rows) + 3 for place in range(len(rows[0]))]
    shown = list(range(len(rows[0])))
    for name in _LEAST_TELLING:
        while sum(widths[place] for place in shown) + 2 > width:
            found = next((place for place in reversed(shown) if rows[0][place].startswith(name)), None)
            if found is None:
                break
            shown.remove(found)
    return shown


def _style(cell: str) -> str:
    good = dict.fromkeys(("verified", "solved"), "green")
    weak = dict.fromkeys(("passes, unconfirmed", "not verified", "not solved"), "yellow")
    return {**good, **weak, "infrastructure failed": "red", "no patch": "dim"}.get(cell, "")


def figures_text(figures: Figures, limit: int = 1000, width: int | None = None) -> str:
    """The same as plain text, aligned by spaces, with the notes below.

    Args:
        figures: the figures.
        limit: maximum number of task rows.
        width: maximum line length in characters; None for the terminal's width, or 120.
    """
    rows = list(_rows(figures, limit))
    numbers = range(2, len(rows[0]))
    lines = say.aligned(rows, width or say.columns(), right=numbers, cut=(0,), middle=(0,), drop=_LEAST_TELLING)
    return "\n".join([MEANING[figures.basis], *lines, *notes(figures)]) + "\n"


def notes(figures: Figures) -> list[str]:
    """Notes needed to read the figures correctly."""
    totals = figures.totals
    found = [
        (totals.infrastructure_failed, "lost to infrastructure: counted as failures"),
        (totals.unknown if figures.basis != "none" else 0, "without a grade: not counted"),
        (totals.unfinished, f"{'cancelled or ' if figures.stopped_by else ''}not finished: not counted"),
    ]
    lines = [f"{say.several(number, 'rollout')} {what}" for number, what in found if number]
    failed = sum(task.status in ("error", "budget") for task in figures.tasks)
    if failed:
        lines.append(f"{say.several(failed, 'task')} without a result: counted as failures")
    running = sum(task.status == "running" for task in figures.tasks)
    if running:
        lines.append(f"{say.several(running, 'task')} not finished")
    if figures.stopped_by:
        lines.append(f"policy {figures.stopped_by} ends tasks early: shares of rollouts are higher than of whole heats")
    return [*lines, *gain_notes(figures), f"spent: {say.spent(figures.usage)}"]


def gain_notes(figures: Figures) -> list[str]:
    """What each further heat won and lost, and what a success cost, one line each."""
    lines = [
        f"heat {gain.heat - 1} to {gain.heat}: {say.several(gain.won, 'task')} won, {gain.lost} lost of {gain.tasks}, "
        f"for {say.count(gain.tokens)} tokens"
        for gain in figures.gains
        if gain.tasks
    ]
    if figures.per_success is not None:
        rollouts, tokens = figures.per_success
        lines.append(f"for each success: {rollouts:.1f} rollouts, {say.count(round(tokens))} tokens")
    return lines


def header(heats: int) -> list[str]:
    """Column names for a number of heats."""
    shares = [name for heat in range(heats) for name in (f"heat {heat}", "Sel-K" if heat < heats - 1 else "")]
    oracle = [f"pass@N {heat}" for heat in range(heats)]
    middle = [name for name in shares if name]
    return ["task", "status", *middle, "random", "final", *oracle, "steps", "calls", "tokens", "cost", "infra"]


def cells(task: TaskFigures, heats: int) -> list[str]:
    """One task's cells, matching `header`."""
    nothing = (None,) * (heats - len(task.heats))
    shares: list[float | None] = []
    for place, heat in enumerate((*task.heats, *nothing)):
        shares.append(None if heat is None else heat.pass_at_1)
        if place < heats - 1:
            shares.append(None if heat is None else heat.kept)
    oracle = [None if heat is None else heat.pass_at_n for heat in (*task.heats, *nothing)]
    said = [say.percent(one) for one in (*shares, task.random_pick, task.final, *oracle)]
    ending = task.ending or task.status
    status = say.STATUS_WORDS.get(ending, ending)
    steps = [None if heat is None else heat.steps for heat in (*task.heats, *nothing)]
    usage = [str(task.usage.calls), say.count(task.usage.tokens), say.money(task.usage.cost_usd)]
    return [one_line(task.task, 48), status, *said, steps_text(steps), *usage, str(task.infrastructure_failed or "")]


def total_cells(figures: Figures) -> list[str]:
    """The total's cells, matching `header`."""
    totals = figures.totals
    shares = [share for pair in zip(totals.pass_at_1, (*totals.kept, None), strict=False) for share in pair][:-1]
    said = [say.percent(one) for one in (*shares, totals.random_pick, totals.final, *totals.pass_at_n)]
    usage = [str(figures.usage.calls), say.count(figures.usage.tokens), say.money(figures.usage.cost_usd)]
    infra = str(totals.infrastructure_failed or "")
    return [say.several(len(figures.tasks), "task"), figures.succeeded, *said, steps_text(totals.steps), *usage, infra]


def steps_text(steps: "list[float | None] | tuple[float | None, ...]") -> str:
    """Mean steps of each heat: `41.2 -> 14.3`."""
    return " \u2192 ".join("\u2013" if one is None else f"{one:.1f}" for one in steps)


def _rows(figures: Figures, limit: int) -> Iterator[list[str]]:
    heats = max(figures.totals.heats, 1)
    yield header(heats)
    for task in figures.tasks[:limit]:
        yield cells(task, heats)
    hidden = len(figures.tasks) - limit
    if hidden > 0:
        yield [f"and {hidden} more", *[""] * (len(header(heats)) - 1)]
    yield total_cells(figures) if figures.totals.heats else cells_of_nothing(figures)


def cells_of_nothing(figures: Figures) -> list[str]:
    """The total's cells for a run that has no rollout yet."""
    return [say.several(len(figures.tasks), "task"), "nothing yet", *["\u2013"] * (len(header(1)) - 2)]
