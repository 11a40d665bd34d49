"""A run in the terminal: its figures, one task in detail, and following a run that goes on elsewhere."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from heats.errors import UsageError
from heats.events import Event
from heats.show import words as say
from heats.show.diffs import DiffView, read_diff
from heats.show.drawings import decided
from heats.show.live import DisplayMode, open_display
from heats.show.reading import Basis, TaskFacts, find_basis, read_task, task_ids
from heats.show.sanitize import one_line
from heats.show.table import RunFigures
from heats.store import RunStore
from tournament.base import Match

MAX_PATCH = 8_000
_ROW_STYLES = {"add": "green", "del": "red", "hunk": "cyan", "note": "dim", "same": ""}
_STYLES = {True: "green", False: "red", None: "dim"}


def view_run(run: RunStore, console: Console, task: str | None = None) -> None:
    """Print a run: its figures, and in detail the task that is named or the only one there is.

    Raises:
        UsageError: the directory holds no run, or the run has no such task.
    """
    console.print(RunFigures.of(run).view(console.width))
    tasks = task_ids(run)
    if task is not None and task not in tasks:
        raise UsageError(f"no task {one_line(task, 80)} in {run.directory}: it has {one_line(', '.join(tasks), 200)}")
    if task is not None or len(tasks) == 1:
        console.print(task_detail(read_task(run, task or tasks[0]), find_basis(run)))


def task_detail(facts: TaskFacts, basis: Basis) -> RenderableType:
    """One task: verdict, each heat's rollouts and matches, the patch."""
    result = facts.result
    status = say.STATUS_WORDS[result.status] if result is not None else "running"
    head = Text(one_line(facts.id, 100), style="bold")
    head.append(f"  {status}  {one_line(result.detail, 200) if result is not None else ''}", style="default")
    parts: list[RenderableType] = [head]
    for heat in range(len(facts.heats)):
        parts += [Text(f"\nheat {heat}", style="bold"), _rollouts(facts, heat, basis)]
        bracket = facts.brackets[heat]
        for played in bracket.rounds if bracket is not None else ():
            parts += [_match(facts, match, basis) for match in played]
    patch = facts.store.rollout(facts.selected).patch() if facts.selected is not None else None
    if patch:
        parts += [Text(f"\npatch of {one_line(facts.selected or '', 40)}", style="bold")]
        parts.append(_diff(read_diff(patch.data, MAX_PATCH)))
    return Group(*parts)


def _rollouts(facts: TaskFacts, heat: int, basis: Basis) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name in ("rollout", "", "steps", "patch", "evidence", "success", "ended"):
        table.add_column(name, justify="right" if name in {"steps", "patch"} else "left")
    for one in facts.heats[heat]:
        mark = "selected" if one.id == facts.selected else "kept" if one.id in facts.kept(heat) else ""
        passed = one.passed(basis)
        ended = one.outcome.error or say.ending(one.outcome.exit) if one.outcome is not None else "not finished"
        table.add_row(
            Text(say.short(one.id)),
            Text(mark, style="cyan"),
            Text(str(one.outcome.steps) if one.outcome is not None else ""),
            Text(say.size(one.outcome.patch_bytes) if one.outcome is not None else ""),
            Text(say.STATUS_WORDS[one.evidence.verdict] if one.evidence is not None else ""),
            Text({True: "yes", False: "no", None: ""}[passed], style=_STYLES[passed]),
            Text(one_line(ended, 60)),
        )
    return table


def _match(facts: TaskFacts, match: Match, basis: Basis) -> Text:
    line = Text(f"  {one_line(match.id, 12):<7}", style="dim")
    for place, one in enumerate(match.contestants):
        found = facts.find(one)
        passed = found.passed(basis) if found is not None else None
        line.append(" : " if place else "", style="dim")
        line.append("\u25cf " if passed else "\u25cb ", style=_STYLES[passed])
        line.append(one_line(say.short(one), 30), style="bold" if one == match.winner else "dim")
        votes = sum(vote.choice == one for vote in match.votes)
        line.append(f" {votes}" if match.votes else "", style="cyan")
    return line.append(f"  {decided(match)}", style="dim")


def _diff(view: DiffView) -> Text:
    text = Text()
    signs = {"add": "+", "del": "-", "same": " "}
    for file in view.files:
        text.append(f"{file.name}  +{file.added} -{file.removed}\n", style="bold")
        for row in file.rows:
            text.append(f"{signs.get(row.kind, '')}{row.text}\n", style=_ROW_STYLES[row.kind])
    if view.cut:
        text.append(f"{say.size(view.cut)} more in patch.diff\n", style="dim")
    return text


def follow_run(run: RunStore, *, mode: DisplayMode = "auto", stream: TextIO | None = None, poll_s: float = 0.5) -> None:
    """Show a run that another process works on, until it ends; stop it with Ctrl-C, the run itself goes on.

    Args:
        poll_s: seconds between looks at the events.
    """
    with open_display(mode, stream=stream) as display:
        for event in tail_events(run.events_path, poll_s):
            display(event)
            if event.kind == "run_finished":
                return


def tail_events(path: Path, poll_s: float) -> Iterator[Event]:
    """The events in a file and those still to come. A line is read once it is whole; one that is none is left out."""
    while not path.exists():
        time.sleep(poll_s)
    rest = b""
    with path.open("rb") as file:
        while True:
            data = file.read(1 << 20)
            if not data:
                time.sleep(poll_s)
                continue
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    yield Event.model_validate_json(line)
                except ValidationError:
                    continue
