"""`heats report`: write a report on a run directory."""

from pathlib import Path
from typing import Annotated

import typer

from heats.cli.session import note_faults, print_json
from heats.errors import UsageError
from heats.report.compare import compare as compare_runs
from heats.report.compare import comparison_text, write_comparison
from heats.report.plots import write_comparison_plot, write_plots
from heats.report.report import build_report
from heats.report.servers import served
from heats.report.table import figures_text
from heats.store.reader import read_events
from heats.store.store import RunStore

RunArgument = Annotated[Path, typer.Argument(help="Run directory.", show_default=False)]


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directory; several with --compare.", show_default=False)],
    compare: Annotated[bool, typer.Option("--compare", help="Compare the runs with the first one.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="HTML file to write; default RUN/report.html, or compare.html next to the first run with --compare.",
        ),
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Write plots as PNG and SVG to this directory (needs heats[plots]).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
) -> None:
    """Write one self-contained HTML report on a run, or a comparison of several, and print its table."""
    stores = [RunStore(path) for path in runs]
    for store in stores:
        store.manifest  # noqa: B018 - says what is wrong with a directory before anything is written
        note_faults(store.directory)
    if compare:
        _compare(stores, out or stores[0].directory.parent / "compare.html", plots, json=json)
        return
    if len(stores) > 1:
        raise UsageError("several runs need --compare")
    (store,) = stores
    path = out or store.directory / "report.html"
    figures = build_report(store, path)
    drawn = [] if plots is None else write_plots(store, plots)
    if json:
        print_json({**figures.as_dict(), "report": str(path), "plots": [str(one) for one in drawn]})
        return
    typer.echo(figures_text(figures))
    for server in served(read_events(store)):
        typer.echo(server)
    _say_files(path, drawn)


def _compare(stores: list[RunStore], path: Path, plots: Path | None, *, json: bool) -> None:
    found = compare_runs(stores)
    write_comparison(found, path)
    drawn = [] if plots is None else write_comparison_plot(found, plots)
    if json:
        print_json({**found.as_dict(), "report": str(path), "plots": [str(one) for one in drawn]})
        return
    typer.echo(comparison_text(found))
    _say_files(path, drawn)


def _say_files(path: Path, drawn: list[Path]) -> None:
    typer.echo(f"\nreport   {path}")
    for one in drawn:
        typer.echo(f"plot     {one}")
