"""The inner screens of `heats view`: the parts of a task, and one rollout."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import DataTable, Footer, Static, TabbedContent, TabPane

from agents.trajectory import Step
from core.ids import heat_name
from core.sanitize import one_line
from heats import formatting as say
from heats.store.reader import Basis, TaskFacts, read_task
from heats.store.store import RunStore
from heats.view.list_screen import LOOK_EVERY_S, Line, ListScreen
from heats.view.text import bracket_pane, evidence_pane, mark, patch_pane, step_pane, summary_pane, verdict_pane
from heats.view.watch import Watcher


class TaskScreen(ListScreen):
    """The parts of a task on the left; the selected one on the right."""

    def __init__(self, run: RunStore, task: str, basis: Basis) -> None:
        super().__init__()
        self.run, self.task_id, self.basis = run, task, basis
        self.watcher = Watcher(run)
        self.facts: TaskFacts | None = None
        self.panes: dict[str, Callable[[], RenderableType]] = {}

    def compose(self) -> ComposeResult:
        """Parts, pane, keys."""
        with Horizontal():
            with Vertical(id="parts"):
                yield from self.rows()
            with VerticalScroll(id="pane"):
                yield Static(id="content")
        yield Footer()

    def on_mount(self) -> None:
        """Read the task, then look again every second."""
        self.table.show_header = False
        self.table.add_columns("part", "about")
        self.title_text(Text(one_line(self.task_id, 60), style="bold"))
        self.watcher.look()
        self.read()
        self.set_interval(LOOK_EVERY_S, self.look)

    def look(self) -> None:
        """Read the task again if new events concern it."""
        if self.task_id in self.watcher.look():
            self.read()

    def read(self) -> None:
        """Read the task."""
        facts = self.facts = read_task(self.run, self.task_id)
        lines = [self._part("verdict", "Verdict", "", lambda: verdict_pane(facts, self.basis))]
        if facts.selected is not None:
            data = facts.store.rollout(facts.selected).patch().data
            lines.append(self._part("patch", "Patch", say.size(len(data)), lambda: patch_pane(data)))
        for heat in range(len(facts.heats)):
            bracket = facts.brackets[heat]
            rounds = say.several(len(bracket.rounds), "round") if bracket is not None else "goes on"
            key = heat_name(heat)
            lines.append(self._part(key, f"Heat {heat}", rounds, partial(bracket_pane, facts, heat, self.basis)))
            lines += [self._rollout(facts, one.id) for one in facts.heats[heat]]
        self.fill(lines)
        self.show_pane()

    def _part(self, key: str, name: str, about: str, pane: Callable[[], RenderableType]) -> Line:
        self.panes[key] = pane
        return Line(key, (Text(name, style="bold"), Text(about, style="dim")), f"{name} {about}")

    def _rollout(self, facts: TaskFacts, rollout: str) -> Line:
        one = facts.find(rollout)
        assert one is not None
        store = facts.store.rollout(rollout)
        self.panes[rollout] = lambda: summary_pane(one, store.summary(), self.basis)
        sign, style = mark(None if one.infrastructure_failed else one.passed(self.basis))
        kept = any(rollout in facts.kept(heat) for heat in range(len(facts.heats)))
        about = "selected" if rollout == facts.selected else "kept" if kept else ""
        ended = say.ending(one.outcome.exit) if one.outcome is not None else "running"
        name = Text.assemble("  ", (sign, style), f" {say.short(rollout)}")
        return Line(
            rollout, (name, Text(about or ended, style="cyan" if about else "dim")), f"{rollout} {about} {ended}"
        )

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the part under the cursor."""
        self.show_pane()

    def show_pane(self) -> None:
        """Show the part under the cursor."""
        pane = self.panes.get(self.current() or "")
        if pane is not None:
            self.query_one("#content", Static).update(pane())
            self.query_one("#pane", VerticalScroll).scroll_home(animate=False)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a rollout; other parts are read in place."""
        key = event.row_key.value or ""
        if "/" in key:
            self.app.push_screen(RolloutScreen(self.run, self.task_id, key, self.basis))
        else:
            self.query_one("#pane").focus()


class RolloutScreen(ListScreen):
    """One rollout: its steps, summary, patch and evidence."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "tab('steps')", "Steps"),
        Binding("s", "tab('summary')", "Summary"),
        Binding("p", "tab('patch')", "Patch"),
        Binding("e", "tab('evidence')", "Evidence"),
    ]

    def __init__(self, run: RunStore, task: str, rollout: str, basis: Basis) -> None:
        super().__init__()
        self.run, self.task_id, self.rollout, self.basis = run, task, rollout, basis
        self.watcher = Watcher(run)
        self.steps: dict[str, Step] = {}

    def compose(self) -> ComposeResult:
        """One tab per part."""
        with TabbedContent(initial="steps"):
            with TabPane("Steps", id="steps"):
                with Vertical(id="parts"):
                    yield from self.rows()
                with VerticalScroll(id="pane"):
                    yield Static(id="content")
            for name in ("summary", "patch", "evidence"):
                with TabPane(name.capitalize(), id=name), VerticalScroll():
                    yield Static(id=f"{name}-content")
        yield Footer()

    def on_mount(self) -> None:
        """Read the rollout, then look again every second."""
        self.table.add_columns("step", "by", "", "what")
        self.watcher.look()
        self.read()
        self.set_interval(LOOK_EVERY_S, self.look)

    def look(self) -> None:
        """Read the rollout again if new events concern its task."""
        if self.task_id in self.watcher.look():
            self.read()

    def read(self) -> None:
        """Read the rollout."""
        task = read_task(self.run, self.task_id)
        one = task.find(self.rollout)
        files = task.store.rollout(self.rollout)
        trajectory = files.trajectory()
        if one is None:
            return
        self.title_text(Text(f"{one_line(self.task_id, 60)}  {self.rollout}", style="bold"))
        self.query_one("#summary-content", Static).update(summary_pane(one, files.summary(), self.basis))
        self.query_one("#patch-content", Static).update(patch_pane(files.patch().data))
        self.query_one("#evidence-content", Static).update(evidence_pane(one.evidence))
        steps = trajectory.steps if trajectory is not None else ()
        self.steps = {str(step.id): step for step in steps}
        self.fill([_step(step) for step in steps])

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the step under the cursor."""
        step = self.steps.get(event.row_key.value or "")
        if step is not None:
            self.query_one("#content", Static).update(step_pane(step))
            self.query_one("#pane", VerticalScroll).scroll_home(animate=False)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Focus the step."""
        self.query_one("#pane").focus()

    def action_tab(self, name: str) -> None:
        """Switch to a tab."""
        self.query_one(TabbedContent).active = name
        if name == "steps":
            self.table.focus()
        else:
            self.query_one(f"#{name} VerticalScroll").focus()


def _step(step: Step) -> Line:
    calls = [say.command(call.arguments) for call in step.tool_calls]
    bad = next((one for one in step.observations if one.exit_code != 0), None)
    code = "" if bad is None else str(bad.exit_code) if bad.exit_code is not None else bad.status
    what = Text(one_line(calls[0] if calls else step.content, 160))
    shown = (
        Text(str(step.id), style="dim"),
        Text(step.source, style="dim"),
        Text(one_line(code, 20), style="red"),
        what,
    )
    everything = "\n".join([step.content, *calls, *(one.content for one in step.observations)])
    return Line(str(step.id), shown, everything)
