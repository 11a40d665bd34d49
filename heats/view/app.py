"""`heats view` on a terminal: browse a run with the keyboard, while it is running or afterwards."""

from pathlib import Path
from typing import ClassVar

from textual.app import App

from heats.errors import UsageError
from heats.store.files import read_record
from heats.store.reader import find_basis, task_ids
from heats.store.records import Manifest
from heats.store.store import RunStore
from heats.view.print_run import check_task
from heats.view.screens import RunScreen, RunsScreen
from heats.view.task_screens import TaskScreen


class ViewApp(App[None]):
    """Runs, tasks, brackets, rollouts and steps.

    Args:
        runs: run directories, at least one.
        task: task to open at once.
    """

    TITLE = "heats"
    ENABLE_COMMAND_PALETTE = False
    CSS: ClassVar[str] = """
    #title { height: 1; padding: 0 1; background: $boost; }
    #search { height: 3; }
    #rows { height: 1fr; }
    #pane { padding: 0 1; }
    #content { width: auto; min-width: 100%; }
    TaskScreen #parts { width: 36; border-right: solid $panel; }
    RolloutScreen #parts { height: 45%; border-bottom: solid $panel; }
    RolloutScreen #pane { height: 1fr; }
    RolloutScreen VerticalScroll { padding: 0 1; }
    """

    def __init__(self, runs: list[Path], task: str | None = None) -> None:
        super().__init__()
        self.runs = [RunStore(path) for path in runs]
        self.first_task = task

    def on_mount(self) -> None:
        """Open the requested screen."""
        if len(self.runs) > 1:
            self.push_screen(RunsScreen([run.directory for run in self.runs]))
            return
        (run,) = self.runs
        self.push_screen(RunScreen(run))
        tasks = task_ids(run)
        if self.first_task is not None or len(tasks) == 1:
            self.push_screen(TaskScreen(run, self.first_task or tasks[0], find_basis(run)))


def find_runs(path: Path, task: str | None = None) -> list[Path]:
    """The run at a path, or the runs in a directory, the latest first.

    Raises:
        UsageError: there is no run, or it has no such task.
    """
    if (path / "run.json").is_file():
        check_task(RunStore(path), task)
        return [path]
    heads = path.glob("*/run.json") if path.is_dir() else ()
    found = [one.parent for one in heads if read_record(one, Manifest) is not None]
    if not found:
        raise UsageError(f"{path} is not a heats run directory and contains none")
    if task is not None and len(found) > 1:
        raise UsageError(f"--task needs one run; {path} has {len(found)}")
    return sorted(found, key=lambda one: (one / "run.json").stat().st_mtime, reverse=True)
