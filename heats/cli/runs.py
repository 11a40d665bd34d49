"""`heats report` and `heats export`: what to make of a run directory."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from heats.cli.session import print_json
from heats.show import RunFigures, export_atif, export_csv, export_harbor, export_parquet, export_preds, write_report
from heats.show.table import figures_text
from heats.store import RunStore

RunArgument = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]


class Format(StrEnum):
    """What `heats export` writes."""

    PREDS = "preds"
    ATIF = "atif"
    CSV = "csv"
    PARQUET = "parquet"
    HARBOR = "harbor"


WRITERS: Mapping[Format, Callable[[RunStore, Path], list[Path]]] = {
    Format.PREDS: export_preds,
    Format.ATIF: export_atif,
    Format.CSV: export_csv,
    Format.PARQUET: export_parquet,
    Format.HARBOR: export_harbor,
}


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


def export(
    run: RunArgument,
    form: Annotated[Format, typer.Argument(help="preds (SWE-bench), atif, csv, parquet or harbor.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Directory; the run's own if not given.")] = None,
) -> None:
    """Write a run's results in other tools' formats."""
    store = RunStore(run)
    store.manifest  # noqa: B018 - as above
    for path in WRITERS[form](store, out or run):
        typer.echo(path)
