"""Export rollouts as a table with one row each: CSV for spreadsheets, Parquet with the same columns for data frames."""

import csv
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from core.registry import optional_module
from core.sanitize import one_line
from heats.store.files import write_bytes
from heats.store.reader import RolloutFacts, TaskFacts, read_task, task_ids
from heats.store.store import RunStore

COLUMNS = {
    "task": "string",
    "rollout": "string",
    "heat": "int32",
    "kept": "bool_",
    "selected": "bool_",
    "grade": "string",
    "verdict": "string",
    "rank": "int32",
    "fixed": "int32",
    "broken": "int32",
    "still_failing": "int32",
    "exit": "string",
    "steps": "int32",
    "duration_s": "float64",
    "calls": "int64",
    "prompt_tokens": "int64",
    "cached_tokens": "int64",
    "completion_tokens": "int64",
    "reasoning_tokens": "int64",
    "cost_usd": "float64",
    "patch_bytes": "int64",
    "patch_sha256": "string",
    "seed": "int64",
    "model": "string",
    "temperature": "float64",
    "detail": "string",
}
"""Column names and their Arrow types."""


def export_csv(run: RunStore, directory: Path) -> list[Path]:
    """Write `rollouts.csv`: one row per rollout, with its outcome, evidence, grade and cost.

    Returns:
        The file written.
    """
    text = StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in _rows(run):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    path = directory / "rollouts.csv"
    write_bytes(path, text.getvalue().encode("utf-8", "replace"), mode=0o644)
    return [path]


def export_parquet(run: RunStore, directory: Path) -> list[Path]:
    """Write `rollouts.parquet`: the same rows with typed columns; missing values are null.

    Returns:
        The file written.

    Raises:
        ExtraMissing: the extra `parquet` is not installed.
    """
    arrow, parquet = optional_module("pyarrow", "Parquet"), optional_module("pyarrow.parquet", "Parquet")
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in COLUMNS.items()])
    data = BytesIO()
    with parquet.ParquetWriter(data, schema, compression="zstd") as writer:
        for task in task_ids(run):
            rows = list(_task_rows(read_task(run, task)))
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    path = directory / "rollouts.parquet"
    write_bytes(path, data.getvalue(), mode=0o644)
    return [path]


def _rows(run: RunStore) -> Iterator[dict[str, Any]]:
    for task in task_ids(run):
        yield from _task_rows(read_task(run, task))


def _task_rows(task: TaskFacts) -> Iterator[dict[str, Any]]:
    for heat, rollouts in enumerate(task.heats):
        for one in rollouts:
            row: dict[str, Any] = dict.fromkeys(COLUMNS)
            row |= {"task": one_line(task.id, 400), "rollout": one.id, "heat": heat}
            row |= {"kept": one.id in task.kept(heat), "selected": one.id == task.selected}
            yield row | _row(one)


def _row(one: RolloutFacts) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if one.outcome is not None:
        outcome = one.outcome
        row |= outcome.model_dump(include={"exit", "steps", "duration_s", "seed", "patch_sha256", "patch_bytes"})
        row |= outcome.usage.model_dump(exclude={"sandbox_s"})
        detail = outcome.error or outcome.detail
        row |= {"model": one_line(outcome.model, 400) or None, "temperature": outcome.temperature}
        row |= {"detail": one_line(detail, 400) or None}
    if one.evidence is not None:
        evidence = one.evidence
        row |= {"verdict": evidence.verdict, "rank": evidence.rank}
        row |= {name: len(getattr(evidence, name)) for name in ("fixed", "broken", "still_failing")}
    if one.grade is not None:
        row["grade"] = one.grade.outcome
    return row


def _cell(value: Any) -> Any:
    """A cell's text: one line that no spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return "" if value is None else value
