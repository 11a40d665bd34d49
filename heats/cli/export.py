"""`heats export`: a run in other tools' formats."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from core.registry import optional_module
from heats.cli.runs import RunArgument
from heats.cli.session import note_faults
from heats.errors import UsageError
from heats.export.harbor import export_harbor
from heats.export.leaderboard import export_leaderboard
from heats.export.predictions import export_atif, export_preds
from heats.export.table import export_csv, export_parquet
from heats.export.traces import export_docent, export_verifiers
from heats.export.training import export_training
from heats.store.store import RunStore


class Format(StrEnum):
    """What `heats export` writes."""

    PREDS = "preds"
    ATIF = "atif"
    CSV = "csv"
    PARQUET = "parquet"
    HARBOR = "harbor"
    TRAINING = "training"
    DOCENT = "docent"
    VERIFIERS = "verifiers"
    LEADERBOARD = "leaderboard"
    OTLP = "otlp"


WRITERS: Mapping[Format, Callable[[RunStore, Path], list[Path]]] = {
    Format.PREDS: export_preds,
    Format.ATIF: export_atif,
    Format.CSV: export_csv,
    Format.PARQUET: export_parquet,
    Format.HARBOR: export_harbor,
    Format.TRAINING: export_training,
    Format.DOCENT: export_docent,
    Format.VERIFIERS: export_verifiers,
    Format.LEADERBOARD: export_leaderboard,
}


def export(
    context: typer.Context,
    run: RunArgument,
    form: Annotated[
        Format, typer.Argument(help="Format to write: preds is SWE-bench predictions, otlp is OpenTelemetry spans.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Output directory; default the run directory.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", help="otlp: send the spans to this collector.", envvar="OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
    ] = None,
    content: Annotated[bool, typer.Option("--content", help="otlp: include prompts, replies and outputs.")] = False,
) -> None:
    """Write a run's results in other tools' formats, or send its spans to an OpenTelemetry collector."""
    given = context.get_parameter_source("endpoint")
    if form is not Format.OTLP and (content or (given is not None and given.name == "COMMANDLINE")):
        raise UsageError(f"{'--content' if content else '--endpoint'} is an option of the format otlp")
    store = RunStore(run)
    store.manifest  # noqa: B018 - says what is wrong with the directory before anything is written
    note_faults(run)
    if form is Format.OTLP:
        typer.echo(_spans(store, out or run, endpoint, content=content))
        return
    for path in WRITERS[form](store, out or run):
        typer.echo(path)


def _spans(run: RunStore, directory: Path, endpoint: str | None, *, content: bool) -> str:
    """Write `spans.otlp.jsonl`, or send the spans if there is an endpoint; returns the line to print.

    Raises:
        ExtraMissing: the extra `otel` is not installed.
        UsageError, RemoteFailed
    """
    otlp = optional_module("heats.tracing.otlp", "an export of spans")
    if endpoint:
        return f"{otlp.send(run, endpoint, content=content)} spans sent"
    path = directory / "spans.otlp.jsonl"
    otlp.write_spans(run, path, content=content)
    return str(path)
