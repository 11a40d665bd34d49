"""Rows of SWE-bench data sets from every kind of source, and the images they name."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import ExtraMissing
from envs import open_env
from envs.errors import TaskError
from envs.swebench.rows import image_name, make_instance, read_rows

ROW: dict[str, Any] = {
    "instance_id": "pallets__flask-1",
    "repo": "pallets/flask",
    "version": "2.0",
    "base_commit": "a" * 40,
    "problem_statement": "It fails.\u2028Always.",
    "hints_text": "look at the router",
    "patch": "diff --git a/GOLD b/GOLD\n",
    "test_patch": "",
    "FAIL_TO_PASS": '["tests/test_a.py::test_a"]',
    "PASS_TO_PASS": "[]",
    "test_cmd": "pytest -rA tests/test_a.py",
}


def ids(source: Path, split: str = "test") -> list[str]:
    return [row["instance_id"] for row in read_rows(str(source), split).rows]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.json", json.dumps([ROW])),
        ("rows.json", json.dumps({"x": ROW})),
        ("rows.jsonl", json.dumps(ROW, ensure_ascii=False) + "\n\n"),
        ("folder/test.jsonl", json.dumps(ROW) + "\n"),
        ("folder/whatever.json", json.dumps([ROW])),
    ],
)
def test_rows_are_read_from_json(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert ids(file.parent if "/" in name else file) == ["pallets__flask-1"]


@pytest.mark.parametrize("name", ["rows.parquet", "hub/data/test-00000-of-00001.parquet", "split/test.parquet"])
def test_rows_are_read_from_parquet(tmp_path: Path, name: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True, parents=True)
    parquet.write_table(pyarrow.Table.from_pylist([ROW]), file)
    assert ids(file if name == "rows.parquet" else tmp_path / name.split("/")[0]) == ["pallets__flask-1"]


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    ipc = pytest.importorskip("pyarrow.ipc")
    table = pyarrow.Table.from_pylist([ROW])
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "dataset_info.json").write_text("{}")
    with ipc.new_stream(tmp_path / "test" / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    assert ids(tmp_path) == ["pallets__flask-1"]


def task_repository(root: Path) -> Path:
    for name, split in (("pallets__flask-1", "test"), ("pallets__flask-2", "deprecated")):
        folder = root / "tasks" / name
        (folder / "test_assets" / "tests").mkdir(parents=True)
        (folder / "test_assets" / "tests" / "dot.png").write_bytes(b"\x89PNG")
        meta = f"instance_id: {name}\nrepo: pallets/flask\nversion: '2.0'\nbase_commit: {'a' * 40}\nsplit: {split}\n"
        (folder / "task.yaml").write_text(meta + "image: org/img:1\nlog_parser: parse_log_pytest\n")
        (folder / "problem_statement.md").write_text("It fails.")
        (folder / "gold.patch").write_bytes(b"diff --git a/GOLD b/GOLD\r\n")
        (folder / "tests.json").write_text('{"FAIL_TO_PASS": ["a"], "PASS_TO_PASS": []}')
        (folder / "eval.sh").write_text("#!/bin/bash\n")
    (root / "sweb.yaml").write_text("datasets: [org/x]\nsplits: [test]\n")
    return root


def test_a_task_repository_is_read_split_by_split_and_byte_by_byte(tmp_path: Path) -> None:
    [row] = read_rows(str(task_repository(tmp_path))).rows
    instance = make_instance(row)
    assert (instance.id, instance.log_parser, instance.fail_to_pass) == ("pallets__flask-1", "pytest", ("a",))
    assert instance.patch.endswith("\r\n")
    assert list(instance.assets) == ["tests/dot.png"]
    assert "_assets" not in instance.row
    assert ids(tmp_path, "deprecated") == ["pallets__flask-2"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no rows"),
        ([{**ROW, "base_commit": None}], "pallets__flask-1: it has no base_commit"),
        (["x"], "row 1: not an object"),
        ([{**ROW, "FAIL_TO_PASS": "all of them"}], "FAIL_TO_PASS is not a list of names"),
        ("not json", "cannot read the data set"),
    ],
)
def test_what_is_no_data_set_is_said_in_one_line(tmp_path: Path, rows: Any, message: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    with pytest.raises(TaskError, match=message) as caught:
        read_rows(str(file))
    assert "\n" not in str(caught.value)


def test_a_name_on_the_hub_says_what_to_do_where_its_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ExtraMissing, match=r"heats\[hub\]"):
        read_rows("verified")


def test_a_name_on_the_hub_says_what_to_do_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        @staticmethod
        def snapshot_download(name: str, **options: Any) -> str:
            raise ConnectionError(f"cannot reach the host\nfor {name}")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    with pytest.raises(TaskError, match=r"SWE-bench/SWE-bench_Verified.*offline, give a file") as caught:
        read_rows("verified")
    assert "\n" not in str(caught.value)


def test_a_name_on_the_hub_is_read_from_its_parquet_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    parquet.write_table(pyarrow.Table.from_pylist([ROW]), tmp_path / "data" / "test-00000-of-00001.parquet")

    class Hub:
        @staticmethod
        def snapshot_download(name: str, **options: Any) -> str:
            assert (name, options["repo_type"]) == ("org/data", "dataset")
            return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    assert [row["instance_id"] for row in read_rows("org/data").rows] == ["pallets__flask-1"]


def test_a_file_that_is_not_there_is_no_name_on_the_hub() -> None:
    with pytest.raises(TaskError, match=r"unknown data set \./rows"):
        read_rows("./rows.jsonl")


@pytest.mark.parametrize(
    ("row", "template", "name"),
    [
        ({}, "swebench/sweb.eval.x86_64.{instance_id}:latest", "swebench/sweb.eval.x86_64.pallets_1776_flask-1:latest"),
        ({}, "sweb.eval.x86_64.{instance_id}:v2", "sweb.eval.x86_64.pallets__flask-1:v2"),
        ({}, "mine:1", "mine:1"),
        ({}, "{repo}-{version}", "pallets__flask-2.0"),
        ({"image": "a", "image_name": "b"}, None, "a"),
        ({"image_name": "b", "docker_image": "c"}, None, "b"),
        ({"docker_image": "c"}, None, "c"),
        ({"image": "a"}, "mine:1", "mine:1"),
    ],
)
def test_images_are_named_by_template_or_row(row: dict[str, str], template: str | None, name: str) -> None:
    assert image_name({**ROW, **row}, template) == name


def test_the_published_image_is_the_default() -> None:
    assert image_name(ROW).startswith("swebench/sweb.eval.") and "_1776_" in image_name(ROW)
    with pytest.raises(TaskError, match="image-template"):
        image_name(ROW, "x{id}")


def test_a_task_holds_nothing_of_the_answer(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([ROW]))
    env = open_env("swebench", {"source": str(tmp_path / "rows.json")})
    [task] = env.tasks()
    assert task.statement == ROW["problem_statement"]
    told = task.model_dump_json()
    for secret in ("GOLD", "test_a", "router", "pytest"):
        assert secret not in told
    [hinted] = open_env("swebench", {"source": str(tmp_path / "rows.json"), "hints": True}).tasks()
    assert hinted.statement.endswith("look at the router")


def test_an_unknown_instance_or_option_is_said(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps([ROW]))
    with pytest.raises(TaskError, match="no instance nobody"):
        open_env("swebench", {"source": str(tmp_path / "rows.json"), "only": ["nobody"]})
    with pytest.raises(TaskError, match="invalid options"):
        open_env("swebench", {"source": str(tmp_path / "rows.json"), "imaeg": "x"})
