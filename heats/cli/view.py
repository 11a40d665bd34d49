"""`heats view`: a run in the terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from heats.store.store import RunStore
from heats.view.print_run import view_run


def view(
    run: Annotated[Path, typer.Argument(help="Run directory, or directory of runs.")] = Path("runs"),
    task: Annotated[str | None, typer.Option("--task", "-i", help="Open this task directly.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print to standard output instead of opening the interactive view.")
    ] = False,
) -> None:
    """Browse a run in the terminal: tasks, brackets, rollouts, steps. A run in progress is followed."""
    from heats.view.app import ViewApp, find_runs  # the terminal library is slow to import and needed only here

    runs = find_runs(run, task)
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        for path in runs:
            view_run(RunStore(path), Console(highlight=False, markup=False, emoji=False), task)
        return
    ViewApp(runs, task).run()
