"""Rollouts as Parquet: the rows of the CSV, with types."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import HostileVoice

from core.errors import ExtraMissing
from heats.export.table import COLUMNS, export_csv, export_parquet
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]


def test_parquet_has_the_rows_of_the_csv_with_types(make_run: MakeRun, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = make_run(tasks=2, infra_share=0.2)
    (path,) = export_parquet(run, tmp_path)
    table = parquet.read_table(path)
    with export_csv(run, tmp_path)[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(COLUMNS) == list(rows[0])
    for mine, theirs in zip(table.to_pylist(), rows, strict=True):
        assert {
            name: "" if value is None else str(int(value) if isinstance(value, bool) else value)
            for name, value in mine.items()
        } == theirs
    assert sum(table.column("selected").to_pylist()) == 2
    assert table.column("steps").null_count == 0
    assert table.column("verdict").null_count > 0


def test_hostile_text_is_a_plain_string(make_run: MakeRun, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (path,) = export_parquet(make_run(tasks=1, voice=HostileVoice()), tmp_path)
    for row in parquet.read_table(path).to_pylist():
        assert all("\x1b" not in value and "\n" not in value for value in row.values() if isinstance(value, str))


def test_a_run_without_rollouts_is_an_empty_table(make_run: MakeRun, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    run = make_run(tasks=1, rollouts=0, heats=0)
    assert parquet.read_table(export_parquet(run, tmp_path)[0]).num_rows == 0


def test_without_the_extra_it_says_what_to_install(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraMissing, match=r"heats\[parquet\]"):
        export_parquet(make_run(tasks=1), tmp_path)
