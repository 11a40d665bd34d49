"""A growing trajectory on disk: readable at every moment, and append-only."""

import os
from pathlib import Path

import pytest

from agents.llm.ledger import Usage
from agents.trajectory import Exit, Observation, Step, Trajectory
from heats.store.steplog import StepLog, read_steps
from heats.store.store import RolloutStore


def growing(count: int, usage: int = 0) -> Trajectory:
    steps = tuple(Step(id=number, source="agent", content=f"é {number}") for number in range(1, count + 1))
    return Trajectory(
        id="r", task_id="t", agent="bash", model="m", seed=0, steps=steps, usage=Usage(calls=usage), duration_s=1.5
    )


def more(trajectory: Trajectory, *steps: Step) -> Trajectory:
    return trajectory.model_copy(update={"steps": (*trajectory.steps, *steps)})


def test_what_was_saved_is_read_back_at_every_step(tmp_path: Path) -> None:
    log, so_far = StepLog(tmp_path / "log"), growing(2, usage=3)
    log.save(so_far)
    for number in (3, 4):
        so_far = more(so_far, Step(id=number, source="agent", content="asked"))
        log.save(so_far)
        assert read_steps(tmp_path / "log") == so_far
        done = so_far.steps[-1].model_copy(update={"observations": (Observation(tool_call_id="x", content="ok"),)})
        so_far = so_far.model_copy(update={"steps": (*so_far.steps[:-1], done), "usage": Usage(calls=number)})
        log.save(so_far)
        assert read_steps(tmp_path / "log") == so_far


def test_a_step_is_written_once_and_not_with_all_before_it(tmp_path: Path) -> None:
    log, so_far = StepLog(tmp_path / "log"), growing(1)
    log.save(so_far)
    sizes = []
    for number in range(2, 40):
        so_far = more(so_far, Step(id=number, source="agent", content="x" * 100))
        before = (tmp_path / "log").stat().st_size
        log.save(so_far)
        sizes.append((tmp_path / "log").stat().st_size - before)
    assert max(sizes) - min(sizes) < 5


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_line_is_left_out(tmp_path: Path, cut: int) -> None:
    log = StepLog(tmp_path / "log")
    log.save(growing(3))
    os.truncate(tmp_path / "log", (tmp_path / "log").stat().st_size - cut)
    assert read_steps(tmp_path / "log") == growing(2)


def test_a_step_that_a_full_disk_cuts_does_not_cost_the_whole_trajectory(tmp_path: Path, monkeypatch) -> None:
    """The next step was appended to the remaining fragment, and the whole file became unreadable."""
    log, so_far = StepLog(tmp_path / "log"), growing(2)
    log.save(so_far)
    really = os.write
    monkeypatch.setattr(os, "write", lambda file, data: really(file, data[:7]))
    with pytest.raises(OSError, match="No space"):
        log.save(growing(3).model_copy(update={"steps": (*so_far.steps, growing(3).steps[2])}))
    monkeypatch.undo()
    log.save(so_far := more(so_far, Step(id=3, source="agent", content="after")))
    assert read_steps(tmp_path / "log") == so_far


def test_an_attempt_that_starts_over_replaces_the_one_before(tmp_path: Path) -> None:
    files = RolloutStore(tmp_path / "r", "r")
    files.save_trajectory(growing(5).model_copy(update={"exit": Exit(kind="submitted")}))
    files.save_trajectory(growing(2))
    assert files.trajectory() == growing(2)
    RolloutStore(tmp_path / "r", "r").save_trajectory(growing(1))
    assert files.trajectory() == growing(1)


def test_an_ended_trajectory_is_one_file(tmp_path: Path) -> None:
    files, ended = RolloutStore(tmp_path / "r", "r"), growing(3).model_copy(update={"exit": Exit(kind="submitted")})
    files.save_trajectory(growing(3))
    files.save_trajectory(ended)
    assert files.trajectory() == ended
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["trajectory.json"]


@pytest.mark.parametrize("content", [b"", b"\n", b"not json\n", b'{"id": "r"}\n'])
def test_a_file_that_is_no_log_is_no_trajectory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    assert read_steps(tmp_path / "log") is None
