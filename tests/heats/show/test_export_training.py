"""Training data from a run: what is a success, what is preferred to what, and that other libraries read it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import HostileVoice

from agents.trajectory import Step
from heats.export.training import export_training
from heats.store.reader import read_task, task_ids
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]
Rows = dict[str, list[dict[str, Any]]]


def exported(run: RunStore, directory: Path) -> Rows:
    paths = export_training(run, directory)
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in paths}


def test_every_rollout_is_a_row_with_the_grade_as_its_reward(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=2)
    rows = exported(run, tmp_path)["rollouts"]
    graded = {(task, one.id): one for task in task_ids(run) for one in read_task(run, task).rollouts()}
    assert {(row["task"], row["rollout"]) for row in rows} == {
        key for key, one in graded.items() if not one.infrastructure_failed
    }
    for row in rows:
        assert row["reward"] == float(graded[row["task"], row["rollout"]].grade.outcome == "pass")
        assert row["group"] == f"{row['task']}/heat-{row['heat']}"
    assert any(row["parents"] for row in rows if row["heat"] == 1)


def test_only_successful_rollouts_are_there_to_be_imitated(make_run: MakeRun, tmp_path: Path) -> None:
    found = exported(make_run(tasks=2), tmp_path)
    assert 0 < len(found["sft"]) < len(found["rollouts"])
    assert {row["reward"] for row in found["sft"]} == {1.0}


def test_several_conversations_in_one_record_are_not_imitated_as_one(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=1)
    first = exported(run, tmp_path / "a")["sft"][0]
    files = run.task(first["task"]).rollout(first["rollout"])
    trajectory = files.trajectory()
    side = Step(id=len(trajectory.steps) + 1, source="system", content="You write titles.")
    files.save_trajectory(trajectory.model_copy(update={"steps": (*trajectory.steps, side)}))
    found = exported(run, tmp_path / "b")
    assert first["rollout"] in {row["rollout"] for row in found["rollouts"]}
    assert first["rollout"] not in {row["rollout"] for row in found["sft"]}


def test_conversations_answer_every_tool_call_and_hold_only_text(make_run: MakeRun, tmp_path: Path) -> None:
    for row in exported(make_run(tasks=1), tmp_path)["rollouts"]:
        calls = [call["id"] for message in row["messages"] for call in message.get("tool_calls", ())]
        answered = [message["tool_call_id"] for message in row["messages"] if message["role"] == "tool"]
        assert set(answered) <= set(calls)
        assert all(isinstance(message["content"], str) for message in row["messages"])


def test_a_pair_prefers_the_contestant_that_passed_whatever_the_votes_said(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=3)
    pairs = exported(run, tmp_path)["preferences"]
    assert pairs
    for pair in pairs:
        facts = read_task(run, pair["task"])
        assert facts.find(pair["chosen_rollout"]).grade.outcome == "pass"
        assert facts.find(pair["rejected_rollout"]).grade.outcome == "fail"
        match = next(one for one in facts.brackets[pair["heat"]].matches if one.id == pair["match"])
        assert {pair["chosen_rollout"], pair["rejected_rollout"]} <= set(match.contestants)
        chosen = facts.store.rollout(pair["chosen_rollout"]).patch().data.decode("utf-8", "replace")
        assert pair["chosen"] == [{"role": "assistant", "content": chosen}]
    lost = [pair for pair in pairs if pair["winner"] == pair["rejected_rollout"]]
    assert all(pair["rejected_votes"] >= pair["chosen_votes"] for pair in lost if pair["decided_by"] == "votes")


def test_a_critic_row_is_labelled_by_the_grade_and_shows_none_of_it(make_run: MakeRun, tmp_path: Path) -> None:
    rows = exported(make_run(tasks=2), tmp_path)["critic"]
    assert {row["label"] for row in rows} == {True, False}
    for row in rows:
        assert row["completion"][0]["content"].endswith(row["patch"])
        assert row["summary"] in row["completion"][0]["content"]


def test_without_grades_success_is_a_verified_patch(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tasks=1, graded=False)
    facts = read_task(run, task_ids(run)[0])
    for row in exported(run, tmp_path)["sft"]:
        assert facts.find(row["rollout"]).evidence.verdict == "verified"


def test_hostile_text_is_kept_and_every_line_is_json(make_run: MakeRun, tmp_path: Path) -> None:
    for rows in exported(make_run(tasks=1, voice=HostileVoice()), tmp_path).values():
        assert all(isinstance(row, dict) for row in rows)


def test_arrow_reads_every_file_as_one_table(make_run: MakeRun, tmp_path: Path) -> None:
    """Arrow is what `datasets.load_dataset("json")` reads with: each column needs one type over all rows."""
    reader = pytest.importorskip("pyarrow.json")
    for path in export_training(make_run(tasks=2), tmp_path):
        lines = len(path.read_text().splitlines())
        assert reader.read_json(path).num_rows == lines > 0
