"""The run store: who may use a directory, and when a rollout counts as finished."""

import json
import subprocess
import sys

import pytest

from envs.base import Patch
from heats.errors import RunInUse, UsageError
from heats.store.events import EventLog
from heats.store.records import Manifest, Outcome, TaskResult
from heats.store.store import RunStore, TaskStore
from tournament.base import Bracket, Vote


def manifest(**identity):
    return Manifest(run_id="r", command="solve", identity=identity)


def test_a_second_process_is_refused_and_told_who_holds_the_run(tmp_path):
    store = RunStore.open(tmp_path / "run", manifest())
    code = (
        "import sys; from pathlib import Path; from heats.store.store import RunStore\n"
        "from heats.store.records import Manifest\n"
        "from heats.errors import RunInUse\n"
        "try: RunStore.open(Path(sys.argv[1]), Manifest(run_id='r', command='solve', identity={}))\n"
        "except RunInUse as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=True)
    assert f"in use by process {__import__('os').getpid()}" in told.stdout
    store.close()


def test_the_directory_is_free_again_after_close(tmp_path):
    RunStore.open(tmp_path, manifest()).close()
    RunStore.open(tmp_path, manifest()).close()


def test_another_configuration_is_refused_and_the_key_named(tmp_path):
    store = RunStore.open(tmp_path, manifest(config={"votes": 8, "seed": 1}))
    store.task("t").save_baseline(_report())
    store.close()
    with pytest.raises(UsageError, match=r"config\.votes"):
        RunStore.open(tmp_path, manifest(config={"votes": 4, "seed": 1}))


def test_a_run_that_never_began_takes_a_corrected_configuration(tmp_path):
    RunStore.open(tmp_path, manifest(model="mistyped")).close()
    store = RunStore.open(tmp_path, manifest(model="right"))
    assert store.manifest.identity == {"model": "right"}
    store.close()


def test_a_foreign_directory_is_not_taken(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        RunStore.open(tmp_path, manifest())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_held_run_cannot_be_set_aside(tmp_path):
    store = RunStore.open(tmp_path, manifest())
    with pytest.raises(RunInUse):
        RunStore.hold(tmp_path)
    store.close()


def test_a_rollout_is_finished_only_with_outcome_and_matching_patch(tmp_path):
    files = RunStore(tmp_path).task("t").rollout("heat-0/rollout-00")
    assert files.outcome() is None
    patch = Patch(b"diff --git a/x b/x\n")
    files.finish(Outcome(rollout="heat-0/rollout-00", exit="submitted", patch_sha256=patch.sha256), patch)
    assert files.outcome().exit == "submitted"
    (files.directory / "patch.diff").write_bytes(b"something else")
    assert files.outcome() is None


def test_rollouts_are_listed_by_number_also_beyond_a_hundred(tmp_path):
    task = TaskStore(tmp_path, "t")
    for number in (100, 11, 99, 2):
        (tmp_path / "heat-0" / f"rollout-{number:02d}").mkdir(parents=True)
    assert [name.rpartition("-")[2] for name in task.rollouts(0)] == ["02", "11", "99", "100"]


def test_votes_survive_in_order_and_by_contestants(tmp_path):
    events = EventLog(tmp_path / "events.jsonl")
    task = RunStore(tmp_path).task("t")
    vote = Vote(order=("a", "b"), labels=("K1", "Q2"), choice="b", reason="tests")
    journal = task.journal(0, events)
    journal.add_votes("r0-m0", ("a", "b"), [vote])
    journal.close()
    again = task.journal(0, events)
    assert again.votes("r0-m0", ("a", "b")) == (vote,)
    assert again.votes("r0-m0", ("b", "a")) == ()
    again.close()
    events.close()


def test_hostile_task_ids_stay_inside_the_run(tmp_path):
    store = RunStore(tmp_path / "run")
    for task_id in ("../../x", "/etc/passwd", "a/b", "x" * 300, "con", "\N{PILE OF POO}"):
        assert store.task(task_id).directory.resolve().parent == (tmp_path / "run" / "tasks").resolve()


def test_the_manifest_is_private_and_plain(tmp_path):
    store = RunStore.open(tmp_path / "run", manifest(config={"seed": 1}))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["identity"] == {"config": {"seed": 1}}
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    store.close()


def _report():
    from envs.base import TestReport

    return TestReport(command="pytest", status="failed", exit_code=1)


def test_a_random_choice_is_still_read_from_records_that_call_it_by_lot():
    result = TaskResult.model_validate({"task": "one", "status": "unverified", "by_lot": True})
    bracket = {"selector": "rtv", "seed": 0, "group_size": 2, "votes_per_match": 2, "by_lot": ["a"]}
    assert result.by_chance and TaskResult.model_validate_json(result.model_dump_json()) == result
    assert Bracket.model_validate(bracket).by_chance == ("a",)
