"""The live picture of a run, drawn with rich. Dynamic text is inserted as `Text`, never as markup."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agents.llm.ledger import Usage
from core.sanitize import one_line
from heats import formatting as say
from heats.view.live_model import MatchView, RolloutView, RunView, TaskView, amount, word
from heats.view.plain import grading, progress
from heats.view.text import VERDICT_STYLES

_STATE_STYLES = {"running": "cyan", "submitted": "green"}


def draw(run: RunView, usage: Usage, elapsed: float, height: int) -> RenderableType:
    """The whole picture: header, one task in detail or a table of the running tasks, ledger.

    Args:
        run: the run so far.
        usage: what the run has spent.
        elapsed: seconds since the display was opened.
        height: number of lines available.
    """
    parts: list[RenderableType] = [_head(run, elapsed)]
    if run.planned_tasks <= 1:
        task = next(iter(run.running.values()), None) or (run.finished[-1] if run.finished else None)
        parts += _one_task(task, height - 6) if task is not None else []
        parts += [Text(grading(counts), style="cyan") for counts in run.grading.values()]
    else:
        parts += _many_tasks(run, height - 6)
    parts += [Text(f"! {one_line(text, 200)}", style="yellow", no_wrap=True) for text in run.warnings]
    parts.append(Text(say.spent(usage), style="dim"))
    return Group(*parts)


def _head(run: RunView, elapsed: float) -> Text:
    head = Text("", no_wrap=True, overflow="ellipsis").append("heats ", style="bold")
    model, sandbox = one_line(word(run.about, "model"), 60), one_line(word(run.about, "sandbox"), 30)
    rollouts, heats = amount(run.about, "rollouts"), amount(run.about, "iterations")
    plan = f"{say.several(rollouts, 'rollout')} x {say.several(heats, 'heat')}"
    head.append(f"{say.clock(elapsed)}  ", style="bold cyan")
    head.append("  ".join(part for part in (model, sandbox, plan if run.about else "starting") if part), style="dim")
    return head


def _one_task(task: TaskView, room: int) -> list[RenderableType]:
    title = Text().append(one_line(task.id, 80), style="bold")
    title.append(f"  {progress(task)}", style="dim")
    matches = task.heat_matches()
    bracket = list(_bracket(matches)) if matches else []
    rollouts = _rollout_table(task.heat_rollouts(), max(room - len(bracket) - 3, 4))
    parts: list[RenderableType] = [title, rollouts, *bracket]
    if task.verdict or task.status:
        verdict = task.verdict or task.status
        said, style = say.STATUS_WORDS.get(verdict, one_line(verdict, 20)), VERDICT_STYLES.get(verdict, "bold")
        line = Text().append(said, style=style)
        line.append(f"  {one_line(', '.join(task.selected), 80)}  {one_line(task.reason, 160)}")
        parts.append(line)
    return parts


def _rollout_table(rollouts: list[RolloutView], room: int) -> Table:
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for name, justify in (("rollout", "left"), ("state", "left"), ("steps", "right"), ("tests", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("last command", ratio=1, no_wrap=True, overflow="ellipsis")
    shown = sorted(rollouts, key=lambda one: one.state != "running")[:room]
    for one in sorted(shown, key=lambda one: one.id):
        style = _STATE_STYLES.get(one.state, "yellow")
        mark = "" if one.exit_code in {0, None} else f"[{one.exit_code}] "
        table.add_row(
            Text(one_line(one.id.rpartition("/")[2], 30)),
            Text(one_line(one.state, 20).replace("_", " "), style=style),
            Text(str(one.steps)),
            Text(_tests(one), style=VERDICT_STYLES.get(one.verdict, "dim")),
            Text(mark + one_line(one.command, 160), style="dim"),
        )
    if len(rollouts) > len(shown):
        table.add_row(Text(f"and {len(rollouts) - len(shown)} more", style="dim"))
    return table


def _tests(rollout: RolloutView) -> str:
    if rollout.grade:
        return {"pass": "passes", "fail": "fails", "invalid": "not graded"}.get(rollout.grade, "")
    return "running" if rollout.verifying else say.STATUS_WORDS.get(rollout.verdict, "")


def _bracket(matches: list[MatchView]) -> Iterable[Text]:
    rounds: dict[str, list[MatchView]] = {}
    for match in matches:
        rounds.setdefault(match.id.partition("-")[0], []).append(match)
    for name, played in list(rounds.items())[:8]:
        line = Text("", no_wrap=True, overflow="ellipsis").append(f"{one_line(name, 8):>4}  ", style="dim")
        for match in played:
            _match(line, match)
        yield line


def _match(line: Text, match: MatchView) -> None:
    won = match.winner if match.decided_by not in ("bye", "unheard") else ""
    for place, one in enumerate(match.contestants):
        style = "bold green" if one == won else "dim" if match.winner else "default"
        line.append(" : " if place else "", style="dim")
        line.append(one_line(say.short(one), 20), style=style)
        if match.votes:
            line.append(f" {say.votes(match.votes.get(one, 0))}", style="cyan" if not match.winner else "dim")
    line.append("    ")


def _many_tasks(run: RunView, room: int) -> list[RenderableType]:
    done = sum(run.statuses.values())
    head = Text().append(f"{done}/{run.planned_tasks} tasks  ", style="bold")
    for status, number in sorted(run.statuses.items()):
        said = say.STATUS_WORDS.get(status, one_line(status, 20))
        head.append(f"{number} {said}  ", style=VERDICT_STYLES.get(status, "default"))
    head.append(f"{say.several(run.rollouts_finished, 'rollout')} finished", style="dim")
    graded = run.grades["pass"] + run.grades["fail"]
    if graded:
        head.append(f"  pass@1 so far {say.percent(run.grades['pass'] / graded)} of {graded} graded", style="bold")
    if run.left_s:
        head.append(f"  about {say.duration(run.left_s)} left", style="dim")
    table = Table(box=None, pad_edge=False, expand=True, show_header=False)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(justify="right", no_wrap=True)
    recent = list(run.finished)[-max(min(5, room // 3), 1) :]
    shown = list(run.running.values())[: max(room - len(recent) - 3, 2)]
    for task in recent:
        said = say.STATUS_WORDS.get(task.status, one_line(task.status, 20))
        reason = Text().append(said, style=VERDICT_STYLES.get(task.status, "default"))
        reason.append(f"  {one_line(task.reason, 120)}", style="dim")
        table.add_row(Text(one_line(task.id, 60), style="dim"), reason, "")
    for task in shown:
        table.add_row(Text(one_line(task.id, 60)), Text(progress(task)), Text(say.clock(run.now - task.started)))
    for name, counts in list(run.grading.items())[: max(room // 4, 2)]:
        table.add_row(Text(one_line(name, 60)), Text(grading(counts), style="cyan"), "")
    if len(run.running) > len(shown):
        table.add_row(Text(f"and {len(run.running) - len(shown)} more", style="dim"), "", "")
    bar = Table.grid(expand=True)  # a bar alone does not end its line, and what follows would be drawn beyond the edge
    bar.add_row(ProgressBar(total=max(run.planned_tasks, 1), completed=done, complete_style="green"))
    return [head, bar, table]
