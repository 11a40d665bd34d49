"""The outer screens of `heats view`: the runs in a directory, and the tasks of a run."""

from pathlib import Path

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.widgets import DataTable, Footer

from core.sanitize import one_line
from heats import formatting as say
from heats.report.figures import TaskFigures
from heats.report.table import cells, header
from heats.store.reader import Basis, find_basis, read_task, task_ids
from heats.store.store import RunStore
from heats.view.list_screen import LOOK_EVERY_S, Line, ListScreen
from heats.view.task_screens import TaskScreen
from heats.view.text import VERDICT_STYLES
from heats.view.watch import Watcher


class RunsScreen(ListScreen):
    """The runs in a directory."""

    def __init__(self, directories: list[Path]) -> None:
        super().__init__()
        self.directories = directories

    def compose(self) -> ComposeResult:
        """Title, table, keys."""
        yield from self.rows()
        yield Footer()

    def on_mount(self) -> None:
        """Read the runs' manifests; tasks are read when a run is opened."""
        self.table.add_columns("run", "command", "tasks", "ended", "state")
        self.title_text(Text.assemble(("heats", "bold"), f"  {say.several(len(self.directories), 'run')}"))
        self.fill([self._line(directory) for directory in self.directories])

    def _line(self, directory: Path) -> Line:
        watcher = Watcher(RunStore(directory))
        watcher.look()
        view = watcher.view
        ended = ", ".join(f"{number} {say.STATUS_WORDS.get(one, one)}" for one, number in sorted(view.statuses.items()))
        told = (
            watcher.run.manifest.command,
            str(view.planned_tasks),
            one_line(ended, 80),
            view.status or "not finished",
        )
        cells = (Text(one_line(directory.name, 60), style="bold"), *(Text(one_line(text, 80)) for text in told))
        return Line(str(directory), cells, f"{directory.name} {' '.join(told)}")

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a run."""
        self.app.push_screen(RunScreen(RunStore(Path(event.row_key.value or ""))))


class RunScreen(ListScreen):
    """The tasks of a run, updated while it is running."""

    def __init__(self, run: RunStore) -> None:
        super().__init__()
        self.run = run
        self.watcher = Watcher(run)
        self.basis: Basis = "none"
        self.tasks: dict[str, TaskFigures] = {}
        self.reading = False

    def compose(self) -> ComposeResult:
        """Title, table, keys."""
        yield from self.rows()
        yield Footer()

    def on_mount(self) -> None:
        """Read the run, then look again every second."""
        self.title_text(Text(f"reading {self.run.directory.name} ..."))
        self.look()
        self.set_interval(LOOK_EVERY_S, self.look)

    def look(self) -> None:
        """Read what changed since the last look, unless a read is still in progress."""
        if not self.reading:
            self.reading = True
            self.read()

    @work(thread=True)
    def read(self) -> None:
        """Read what changed in a thread, so that the screen stays responsive with large runs."""
        first = not self.tasks
        changed = self.watcher.look()
        basis = find_basis(self.run) if first or changed else self.basis
        found = {
            task: TaskFigures.of(read_task(self.run, task), basis)
            for task in (task_ids(self.run) if first or changed else ())
            if first or task in changed or basis != self.basis
        }
        if self.is_running:
            self.app.call_from_thread(self._take, basis, found)

    def _take(self, basis: Basis, found: dict[str, TaskFigures]) -> None:
        self.reading = False
        if not self.is_running:  # closed while it was being read
            return
        self.basis = basis
        if found:
            self._show(found)
        view = self.watcher.view
        title = Text.assemble((one_line(self.run.directory.name, 60), "bold"), "  ")
        title.append(f"{sum(view.statuses.values())}/{len(self.tasks)} tasks ended  {say.spent(view.usage)}  ")
        title.append("" if self.watcher.over else "not finished", style="cyan")
        self.title_text(title)

    def _show(self, found: dict[str, TaskFigures]) -> None:
        heats = max((len(task.heats) for task in (*self.tasks.values(), *found.values())), default=1)
        self.tasks |= found
        if len(self.table.columns) != len(header(heats)):
            self.table.clear(columns=True)
            self.table.add_columns(*header(heats))
        self.fill([self._line(task, heats) for task in self.tasks.values()])

    def _line(self, task: TaskFigures, heats: int) -> Line:
        said = cells(task, heats)
        shown = [Text(said[0], style="bold"), Text(said[1], style=VERDICT_STYLES.get(task.ending, ""))]
        shown += [Text(cell, justify="right") for cell in said[2:]]
        return Line(task.task, tuple(shown), f"{task.task} {said[1]}")

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a task."""
        self.app.push_screen(TaskScreen(self.run, event.row_key.value or "", self.basis))
