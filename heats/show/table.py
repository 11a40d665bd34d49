"""A run's figures as a table: for a terminal, and as plain text."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from heats.show import words as say
from heats.show.figures import RunFigures, TaskFigures, pass_at_k
from heats.show.sanitize import one_line

__all__ = ["RunFigures", "figures_table", "figures_text", "notes", "pass_at_k"]

_MEANING = {
    "pass": "pass rates by the hidden tests",
    "verified": "no grades: shares verified by the tests that were given",
    "none": "neither grades nor evidence: success is not known",
}


def figures_table(figures: RunFigures, limit: int = 60) -> Table:
    """The table for a terminal: one row a task, at most `limit` of them, and the total."""
    table = Table(title=Text(_MEANING[figures.basis]), title_justify="left", title_style="dim", header_style="bold")
    rows = list(_rows(figures, limit))
    for place, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if place < 2 else "right", no_wrap=place > 0)
    for row in rows[1:-1]:
        table.add_row(*(Text(cell) for cell in row))
    table.add_section()
    table.add_row(*(Text(cell, style="bold") for cell in rows[-1]))
    return table


def figures_text(figures: RunFigures, limit: int = 1000) -> str:
    """The same as plain text, columns aligned by spaces, with the notes under it."""
    rows = list(_rows(figures, limit))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [_MEANING[figures.basis]]
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *notes(figures)]) + "\n"


def notes(figures: RunFigures) -> list[str]:
    """What must be known to read the figures right."""
    totals = figures.totals
    found = [
        (totals.infrastructure_failed, "failed by infrastructure: counted as no success"),
        (totals.unknown if figures.basis != "none" else 0, "without a grade: in no share"),
        (totals.unfinished, "not finished: in no share"),
    ]
    lines = [f"{say.several(number, 'rollout')} {what}" for number, what in found if number]
    running = sum(task.status == "running" for task in figures.tasks)
    if running:
        lines.append(f"{say.several(running, 'task')} not finished")
    return [*lines, f"spent: {say.spent(figures.usage)}"]


def header(heats: int) -> list[str]:
    """Column names for a number of heats."""
    shares = [name for heat in range(heats) for name in (f"heat {heat}", "Sel-K" if heat < heats - 1 else "")]
    oracle = [f"pass@N {heat}" for heat in range(heats)]
    middle = [name for name in shares if name]
    return ["task", "status", *middle, "random", "final", *oracle, "steps", "calls", "tokens", "cost", "infra"]


def cells(task: TaskFigures, heats: int) -> list[str]:
    """One task's cells under `header`."""
    nothing = (None,) * (heats - len(task.heats))
    shares: list[float | None] = []
    for place, heat in enumerate((*task.heats, *nothing)):
        shares.append(None if heat is None else heat.pass_at_1)
        if place < heats - 1:
            shares.append(None if heat is None else heat.kept)
    oracle = [None if heat is None else heat.pass_at_n for heat in (*task.heats, *nothing)]
    said = [say.percent(one) for one in (*shares, task.random_pick, task.final, *oracle)]
    status = say.STATUS_WORDS.get(task.status, task.status)
    steps = [None if heat is None else heat.steps for heat in (*task.heats, *nothing)]
    usage = [str(task.usage.calls), say.count(task.usage.tokens), say.money(task.usage.cost_usd)]
    return [one_line(task.task, 48), status, *said, steps_text(steps), *usage, str(task.infrastructure_failed or "")]


def total_cells(figures: RunFigures) -> list[str]:
    """The total's cells under `header`."""
    totals = figures.totals
    shares = [share for pair in zip(totals.pass_at_1, (*totals.kept, None), strict=False) for share in pair][:-1]
    said = [say.percent(one) for one in (*shares, totals.random_pick, totals.final, *totals.pass_at_n)]
    usage = [str(figures.usage.calls), say.count(figures.usage.tokens), say.money(figures.usage.cost_usd)]
    verified = sum(task.status == "verified" for task in figures.tasks)
    status = f"{verified}/{len(figures.tasks)} verified"
    infra = str(totals.infrastructure_failed or "")
    return [f"{len(figures.tasks)} tasks", status, *said, steps_text(totals.steps), *usage, infra]


def steps_text(steps: "list[float | None] | tuple[float | None, ...]") -> str:
    """Mean steps of each heat: `41.2 -> 14.3`."""
    return " \u2192 ".join("\u2013" if one is None else f"{one:.1f}" for one in steps)


def _rows(figures: RunFigures, limit: int) -> Iterator[list[str]]:
    heats = max(figures.totals.heats, 1)
    yield header(heats)
    for task in figures.tasks[:limit]:
        yield cells(task, heats)
    hidden = len(figures.tasks) - limit
    if hidden > 0:
        yield [f"and {hidden} more", *[""] * (len(header(heats)) - 1)]
    yield total_cells(figures) if figures.totals.heats else cells_of_nothing(figures)


def cells_of_nothing(figures: RunFigures) -> list[str]:
    """The total's cells of a run that has no rollout yet."""
    return [f"{len(figures.tasks)} tasks", "nothing yet", *["\u2013"] * (len(header(1)) - 2)]
