"""Other tools' files: what is read from each format, the task of each attempt, and what is left out."""

import json
import re
import sys
from pathlib import Path

import pytest

from agents.importers import read_trajectory
from heats.errors import UsageError
from heats.importing.read import read_attempts
from heats.importing.tasks import NamedBy, at_tasks

sys.path.insert(0, str(Path(__file__).parent))
from foreign_files import ID, OPENHANDS_EVENTS, OPENHANDS_TYPED, SHAPES, diff, lines, swe_agent_record, write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
UNNAMED = {"patches"}
COUNTS = {"SWE-bench predictions": 2, "inspect_ai log, JSON": 2, "Trae Agent selector": 2, "patches": 2}


def has_record(shape):
    """Whether files of this format contain steps, and not only patches."""
    return not shape.endswith("predictions") and shape not in ("Trae Agent selector", "patches")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_its_attempts_with_their_task_and_patch(shape, tmp_path):
    SHAPES[shape](tmp_path)
    reading = read_attempts([tmp_path])
    assert reading.left_out == ()
    assert len(reading.attempts) == COUNTS.get(shape, 1)
    first = reading.attempts[0]
    assert first.instance == ("" if shape in UNNAMED else ID)
    assert (first.trajectory is not None) == has_record(shape)
    assert (first.patch == diff().encode()) == (shape != "Harbor job")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if has_record(shape)])
def test_a_record_keeps_what_was_asked_called_and_seen(shape, tmp_path):
    SHAPES[shape](tmp_path)
    trajectory = read_attempts([tmp_path]).attempts[0].trajectory
    assert trajectory is not None
    assert "user" in {step.source for step in trajectory.steps}
    step = next(step for step in trajectory.steps if step.source == "agent")
    assert "cat note.txt" in step.tool_calls[0].arguments
    assert "old" in step.observations[0].content
    assert step.observations[0].tool_call_id == step.tool_calls[0].id


@pytest.mark.parametrize("shape", SHAPES)
def test_no_answer_of_a_data_set_and_no_score_is_read(shape, tmp_path):
    SHAPES[shape](tmp_path)
    for one in read_attempts([tmp_path]).attempts:
        told = one.trajectory.model_dump_json() if one.trajectory else ""
        assert "GOLD" not in told + one.statement + one.patch.decode()


def test_the_page_of_formats_has_a_row_for_every_shape_and_no_other():
    table = PAGE.read_text(encoding="utf-8").partition("## Attempts")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    assert sorted(rows[2:]) == sorted(SHAPES)


def test_one_file_of_a_batch_is_read_like_the_batch(tmp_path):
    SHAPES["SWE-agent 1, stopped batch"](tmp_path)
    for suffix in ("traj", "pred", "patch"):
        (one,) = read_attempts([tmp_path / ID / f"{ID}.{suffix}"]).attempts
        assert (one.instance, one.patch) == (ID, diff().encode())
    SHAPES["Harbor job"](tmp_path / "job")
    (one,) = read_attempts([tmp_path / "job" / "shop__a1b2c3" / "agent" / "trajectory.json"]).attempts
    assert one.instance == ID


def test_patches_of_several_folders_are_never_taken_for_attempts_at_one_task(tmp_path):
    """Each folder may be another instance: they shared a tournament, and preds.json named an instance 'attempts'."""
    for number in (1, 2):
        write(tmp_path / f"task-{number}" / "model.patch", diff(str(number)))
    attempts = read_attempts([tmp_path]).attempts
    with pytest.raises(UsageError, match=r"--task ID .* --tasks-from folder"):
        at_tasks(attempts, nameless=True)
    assert {one.instance for one in at_tasks(attempts, named_by=NamedBy.FOLDER)} == {"task-1", "task-2"}
    assert {one.instance for one in at_tasks(attempts, ["mine"])} == {"mine"}


def test_an_attempt_without_a_name_is_not_counted_to_the_only_task_that_has_one(tmp_path):
    lines(tmp_path / "all_preds.jsonl", {"instance_id": "a", "model_patch": diff()})
    write(tmp_path / "other.diff", diff("odd"))
    attempts = read_attempts([tmp_path]).attempts
    with pytest.raises(UsageError, match="others are at a"):
        at_tasks(attempts, nameless=True)
    assert [one.instance for one in at_tasks(attempts, named_by=NamedBy.FILE)] == ["other", "a"]


def test_a_renamed_record_is_not_named_after_its_file(tmp_path):
    write(tmp_path / "runs" / "0.traj", swe_agent_record(patch=diff()))
    write(tmp_path / "runs" / "1.traj", swe_agent_record(ID, diff()))
    assert [one.instance for one in read_attempts([tmp_path]).attempts] == ["", ID]


def test_one_bad_line_does_not_void_the_other_predictions(tmp_path):
    good = {"instance_id": "a", "model_patch": diff()}
    path = lines(tmp_path / "preds.jsonl", good, {"instance_id": "b", "model_patch": ["x"]}, {"instance_id": "c"}, 3)
    with path.open("a") as file:
        file.write('{"instance_id": "d", "model_pat\n')
    reading = read_attempts([path])
    assert [one.instance for one in reading.attempts] == ["a"]
    assert [(one.source.rpartition(":")[2], one.instance) for one in reading.left_out] == [
        ("2", "b"),
        ("3", ""),
        ("4", ""),
        ("5", ""),
    ]


def test_one_damaged_file_does_not_void_a_folder(tmp_path):
    SHAPES["mini-swe-agent 2"](tmp_path)
    write(tmp_path / "b" / "b.traj.json", '{"messages": [')
    write(tmp_path / "c" / "c.patch", "hello")
    write(tmp_path / "log.eval", "no zip")
    reading = read_attempts([tmp_path])
    assert [one.instance for one in reading.attempts] == [ID]
    reasons = {Path(one.source).name: one.reason for one in reading.left_out}
    assert set(reasons) == {"b.traj.json", "c.patch", "log.eval"}
    assert "not a diff" in reasons["c.patch"]


def test_several_predictions_of_one_task_in_one_file_are_several_attempts(tmp_path):
    rows = [{"instance_id": "a", "model_patch": diff(line)} for line in ("fixed", "wrong", "fixed")]
    lines(tmp_path / "all_preds.jsonl", *rows)
    assert [one.instance for one in read_attempts([tmp_path]).attempts] == ["a", "a", "a"]


def test_a_patch_that_is_none_is_named_and_its_record_stays(tmp_path):
    SHAPES["SWE-agent 1, stopped batch"](tmp_path)
    write(tmp_path / ID / f"{ID}.patch", "hello")
    reading = read_attempts([tmp_path])
    assert [one.patch for one in reading.attempts] == [diff().encode()]
    assert [Path(one.source).suffix for one in reading.left_out] == [".patch"]


def test_rows_of_a_data_set_are_not_taken_for_attempts(tmp_path):
    """Their `patch` is the reference answer."""
    row = {"instance_id": "a", "base_commit": "x", "patch": diff("GOLD"), "problem_statement": "It is old."}
    path = lines(tmp_path / "rows.jsonl", row)
    with pytest.raises(UsageError, match="a row of a data set, not an attempt"):
        read_attempts([path])
    SHAPES["mini-swe-agent 2"](tmp_path)
    assert [one.instance for one in read_attempts([tmp_path]).attempts] == [ID]


def test_a_trial_without_a_record_is_told(tmp_path):
    SHAPES["Harbor job"](tmp_path)
    write(tmp_path / "shop__zz" / "result.json", {"trial_name": "shop__zz", "task_name": "b"})
    reading = read_attempts([tmp_path])
    assert len(reading.attempts) == 1
    assert [Path(one.source).name for one in reading.left_out] == ["shop__zz"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["preds.jsonl", "preds.json", "x.traj.json"])
def test_a_byte_order_mark_is_read_over(tmp_path, encoding, name):
    SHAPES["mini-swe-agent 2"](tmp_path / "made")
    record = (tmp_path / "made" / ID / f"{ID}.traj.json").read_text()
    row = json.dumps({"instance_id": ID, "model_patch": diff()})
    text = {"preds.jsonl": f"{row}\n", "preds.json": f"[{row}]", "x.traj.json": record}[name]
    (tmp_path / name).write_bytes(text.encode(encoding))
    (one,) = read_attempts([tmp_path / name]).attempts
    assert (one.instance, one.patch) == (ID, diff().encode())


def test_a_patch_and_joined_lines_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.diff").write_bytes(b"\xef\xbb\xbf" + diff().encode())
    row = json.dumps({"instance_id": "a", "model_patch": diff()}).encode()
    (tmp_path / "joined.jsonl").write_bytes(b"\xef\xbb\xbf" + row + b"\n\xef\xbb\xbf" + row + b"\n")
    assert [one.patch for one in read_attempts([tmp_path]).attempts] == [diff().encode()] * 3


@pytest.mark.parametrize("events", [OPENHANDS_EVENTS, OPENHANDS_TYPED], ids=["listed", "typed"])
def test_openhands_events_alone_are_a_trajectory(tmp_path, events):
    trajectory = read_trajectory(write(tmp_path / "saved.json", events))
    assert trajectory.agent == "OpenHands"
    acted = [step for step in trajectory.steps if step.source == "agent"]
    assert (acted[0].content, acted[0].observations[0].exit_code) == ("look", 0)


@pytest.mark.tool("inspect")
@pytest.mark.slow
def test_logs_that_inspect_itself_wrote_are_read_compressed_or_not(tmp_path, tool_env):
    import subprocess

    script = Path(__file__).with_name("inspect_writes.py")
    python = tool_env("inspect") / "bin" / "python"
    subprocess.run([python, script, tmp_path], check=True, capture_output=True, timeout=100)
    for suffix in ("eval", "json"):
        (path,) = tmp_path.glob(f"*.{suffix}")
        first, second = read_attempts([path]).attempts
        assert (first.instance, first.patch, first.model) == (ID, diff().encode(), "mockllm/model")
        assert first.trajectory.steps[1].observations[0].content.startswith("old")
        assert second.instance == ID
