"""Exports contain what the run contains, in other tools' formats."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hostile import HostileVoice

from heats.cli.export import WRITERS, Format
from heats.errors import UsageError
from heats.export.leaderboard import export_leaderboard
from heats.export.predictions import export_atif, export_preds
from heats.export.table import export_csv
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]


def test_predictions_are_the_final_choices_in_both_forms(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=2)
    whole, lines, *_ = export_preds(run, tmp_path / "out")
    preds = json.loads(whole.read_text())
    assert list(preds) == ["demo__task-000", "demo__task-001"]
    assert [json.loads(line) for line in lines.read_text().splitlines()] == list(preds.values())
    selected = run.task("demo__task-000").result().selected
    one = preds["demo__task-000"]
    assert one["model_name_or_path"] == "heats+builtin:repair"
    assert one["model_patch"].encode() == run.task("demo__task-000").rollout(selected).patch().data


def test_a_task_that_still_runs_makes_no_prediction(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=1)
    (run.task("demo__task-000").directory / "result.json").unlink()
    whole, lines, *_ = export_preds(run, tmp_path)
    assert json.loads(whole.read_text()) == {}
    assert lines.read_text() == ""


def test_the_csv_has_a_row_for_every_rollout_and_marks_the_choice(make_run: MakeRun, tmp_path: Path) -> None:
    (path,) = export_csv(make_run(tasks=2), tmp_path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 8
    assert sum(row["selected"] == "1" for row in rows) == 2
    assert {row["grade"] for row in rows} <= {"pass", "fail", "invalid"}


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", "\x1b[1m=x"])
def test_no_cell_is_a_formula(make_run: MakeRun, tmp_path: Path, text: str) -> None:
    (path,) = export_csv(make_run(tasks=1, voice=lambda said: text + said), tmp_path)
    with path.open(newline="") as file:
        assert all(not cell.startswith(("=", "@", "+", "-")) for row in csv.reader(file) for cell in row)


def as_swebench_sweep(run: RunStore) -> RunStore:
    path = run.directory / "run.json"
    manifest = json.loads(path.read_text())
    config = {"rollouts": 8, "iterations": 2, "select_k": 4, "sandbox": {"network": "none"}, "agent": {"name": "bash"}}
    manifest["identity"] |= {"env": "swebench", "config": {**config, "tournament": {"selector": "rtv"}}}
    path.write_text(json.dumps(manifest))
    return RunStore(run.directory)


def test_a_leaderboard_submission_has_one_prediction_and_the_whole_trace_of_each_task(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = as_swebench_sweep(make_run(tasks=2))
    (place,) = export_leaderboard(run, tmp_path)
    preds = [json.loads(line) for line in (place / "all_preds.jsonl").read_text().splitlines()]
    assert [one["instance_id"] for one in preds] == ["demo__task-000", "demo__task-001"]
    for one in preds:
        trace = json.loads((place / "trajs" / f"{one['instance_id']}.json").read_text())
        assert trace["selected"] == run.task(one["instance_id"]).result().selected
        assert len(trace["rollouts"]) == 16 and len(trace["tournaments"]) == 2
        assert trace["rollouts"][trace["selected"]]["trajectory"]["schema_version"] == "ATIF-v1.7"


def test_a_leaderboard_submission_says_that_there_were_several_attempts(make_run: MakeRun, tmp_path: Path) -> None:
    (place,) = export_leaderboard(as_swebench_sweep(make_run(tasks=1)), tmp_path)
    metadata = yaml.safe_load((place / "metadata.yaml").read_text())
    assert metadata["tags"]["system"] == {"attempts": "2+"}
    assert metadata["tags"]["model"] == ["builtin:repair"]
    assert "heats' grader" in (place / "README.md").read_text()


def test_only_a_sweep_over_swebench_rows_is_submitted(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only a sweep over SWE-bench rows"):
        export_leaderboard(make_run(tasks=1), tmp_path)
    assert not list(tmp_path.glob("leaderboard"))


def valid(document: dict) -> None:
    """The rules of ATIF that Harbor's models enforce."""
    assert [step["step_id"] for step in document["steps"]] == list(range(1, len(document["steps"]) + 1))
    for step in document["steps"]:
        agent_only = {"reasoning_content", "tool_calls", "metrics"} & step.keys()
        assert step["source"] == "agent" or not agent_only
        calls = {call["tool_call_id"] for call in step.get("tool_calls", ())}
        assert all(isinstance(call["arguments"], dict) for call in step.get("tool_calls", ()))
        results = step.get("observation", {}).get("results", ())
        assert all(result["source_call_id"] in calls | {None} for result in results)


def test_every_rollout_with_a_trajectory_becomes_an_atif_document(make_run: MakeRun, tmp_path: Path) -> None:
    paths = export_atif(make_run(tasks=1, voice=HostileVoice()), tmp_path)
    documents = [json.loads(path.read_text()) for path in paths]
    assert len({document["trajectory_id"] for document in documents}) == len(paths) > 10
    for document in documents:
        valid(document)
        assert document["schema_version"] == "ATIF-v1.7"


def test_every_format_has_a_writer() -> None:
    assert {*WRITERS, Format.OTLP} == set(Format)
