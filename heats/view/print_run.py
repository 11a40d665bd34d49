"""Print a run to a terminal or a pipe: its figures, and one task in detail."""

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from core.sanitize import one_line
from heats import formatting as say
from heats.errors import UsageError
from heats.report.table import RunFigures
from heats.store.reader import Basis, TaskFacts, find_basis, read_task, task_ids
from heats.store.store import RunStore
from heats.view.text import bracket_pane, mark, patch_pane, verdict_pane


def view_run(run: RunStore, console: Console, task: str | None = None) -> None:
    """Print a run: its figures and, in detail, the given task or the only one.

    Args:
        run: the run.
        console: where to print.
        task: id of the task to show in detail.

    Raises:
        UsageError: the directory is not a run, or the run has no such task.
    """
    check_task(run, task)
    console.print(RunFigures.of(run).view(console.width))
    tasks = task_ids(run)
    if task is not None or len(tasks) == 1:
        console.print(task_detail(read_task(run, task or tasks[0]), find_basis(run)))


def check_task(run: RunStore, task: str | None) -> None:
    """Check that a run has a task.

    Raises:
        UsageError: it does not.
    """
    tasks = task_ids(run)
    if task is not None and task not in tasks:
        raise UsageError(f"no task {one_line(task, 80)} in {run.directory}: it has {one_line(', '.join(tasks), 200)}")


def task_detail(facts: TaskFacts, basis: Basis) -> RenderableType:
    """One task: verdict, each heat's rollouts and matches, the patch."""
    parts: list[RenderableType] = [Text(one_line(facts.id, 100), style="bold"), verdict_pane(facts, basis)]
    for heat in range(len(facts.heats)):
        parts += [Text(f"\nheat {heat}", style="bold"), _rollouts(facts, heat, basis)]
        parts.append(bracket_pane(facts, heat, basis))
    if facts.selected is not None:
        parts.append(Text(f"\npatch of {one_line(facts.selected, 40)}", style="bold"))
        parts.append(patch_pane(facts.store.rollout(facts.selected).patch().data))
    return Group(*parts)


def _rollouts(facts: TaskFacts, heat: int, basis: Basis) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name in ("rollout", "", "steps", "patch", "evidence", "success", "ended"):
        table.add_column(name, justify="right" if name in {"steps", "patch"} else "left")
    for one in facts.heats[heat]:
        kept = "selected" if one.id == facts.selected else "kept" if one.id in facts.kept(heat) else ""
        passed = one.passed(basis)
        ended = one.outcome.error or say.ending(one.outcome.exit) if one.outcome is not None else "not finished"
        table.add_row(
            Text(say.short(one.id)),
            Text(kept, style="cyan"),
            Text(str(one.outcome.steps) if one.outcome is not None else ""),
            Text(say.size(one.outcome.patch_bytes) if one.outcome is not None else ""),
            Text(say.STATUS_WORDS[one.evidence.verdict] if one.evidence is not None else ""),
            Text({True: "yes", False: "no", None: ""}[passed], style=mark(passed)[1]),
            Text(one_line(ended, 60)),
        )
    return table
