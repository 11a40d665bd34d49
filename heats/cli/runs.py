"""`heats report`: what to make of a run directory."""

from pathlib import Path
from typing import Annotated

import typer

from heats.cli.session import print_json
from heats.show import RunFigures, write_report
from heats.show.table import figures_text
from heats.store import RunStore

RunArgument = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="HTML file; RUN/report.html if not given.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Write one self-contained HTML file about a run, and print its table."""
    store = RunStore(run)
    store.manifest  # noqa: B018 - says what is wrong with the directory before anything is written
    path = write_report(store, out or run / "report.html")
    figures = RunFigures.of(store)
    if json:
        print_json({**figures.as_dict(), "report": str(path)})
        return
    typer.echo(figures_text(figures))
    typer.echo(f"\nreport   {path}")
