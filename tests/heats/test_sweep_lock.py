"""`lock.json`: what a run is made of, and a second run held to it."""

import json
import sys
from pathlib import Path

import pytest

from heats.cli import main
from heats.cli.sweep import shareable
from heats.config import load_config
from heats.store.lock import Lock, LockedData, other_conditions, other_work

QUICK = ("--sandbox", "bubblewrap", "--agent", "noop", "-k", "1", "--iterations", "1", "--progress", "plain")


@pytest.fixture
def sweep(monkeypatch, capsys, tmp_path):
    """Run `heats sweep` in this process; returns exit code and stderr."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["heats", "sweep", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().err

    return go


@pytest.fixture
def first(sweep, tmp_path) -> Path:
    """The lock of a finished run on two tasks."""
    code, err = sweep("demo", "-i", "csv", "-i", "roman", *QUICK, "--seed", "7", "--out", "first")
    assert code == 0, err
    return tmp_path / "first" / "lock.json"


def held(path: Path) -> Lock:
    return Lock.model_validate_json(path.read_bytes())


def altered(path: Path, **changes) -> Path:
    lock = held(path)
    copy = path.with_name("altered.json")
    copy.write_text(lock.model_copy(update=changes).model_dump_json())
    return copy


@pytest.mark.bubblewrap
def test_a_run_is_repeated_from_its_lock_alone(sweep, first, tmp_path):
    code, err = sweep("--from-lock", first, "--sandbox", "bubblewrap", "--out", "second")
    assert code == 0 and "differs from the lock" not in err, err
    one, two = held(first), held(tmp_path / "second" / "lock.json")
    assert one == two
    assert one.config["seed"] == 7 and set(one.tasks) == {"csv", "roman"}


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-k", "3"), "the setting rollouts is 3, not 1"),
        (("-i", "bucket"), "not among the tasks: bucket"),
        (("-c", "agent.templates.observation=changed"), "the setting agent.templates.observation is changed, not"),
    ],
)
def test_other_work_is_refused_before_anything_is_written(sweep, first, tmp_path, arguments, said):
    code, err = sweep("--from-lock", first, *arguments, "--sandbox", "bubblewrap", "--out", "second")
    assert (code, said in err, err.count("\n")) == (2, True, 1), err
    assert not (tmp_path / "second").exists()


@pytest.mark.bubblewrap
def test_a_task_that_reads_differently_now_is_refused(sweep, first):
    lock = altered(first, tasks={**held(first).tasks, "csv": "0" * 16})
    code, err = sweep("--from-lock", lock, "--sandbox", "bubblewrap", "--out", "second")
    assert (code, "other statements, commits or images: csv" in err) == (2, True), err


@pytest.mark.bubblewrap
def test_other_versions_are_named_and_the_run_goes_on(sweep, first):
    lock = altered(first, programs={**held(first).programs, "aiohttp": "0.1"})
    code, err = sweep("--from-lock", lock, "--sandbox", "bubblewrap", "--out", "second")
    assert code == 0 and "differs from the lock: aiohttp is" in err, err


@pytest.mark.bubblewrap
def test_a_resumed_run_names_what_changed_since_it_began(sweep, first):
    path = altered(first, programs={**held(first).programs, "heats": "0.0.1"})
    path.replace(first)
    code, err = sweep("demo", "-i", "csv", "-i", "roman", *QUICK, "--seed", "7", "--out", "first")
    assert code == 0 and "changed since this run began: heats is" in err, err


@pytest.mark.bubblewrap
def test_tasks_added_later_are_in_the_lock(sweep, first):
    code, err = sweep("demo", "-i", "bucket", *QUICK, "--seed", "7", "--out", "first")
    assert code == 0, err
    assert set(held(first).tasks) == {"csv", "roman", "bucket"}


@pytest.mark.parametrize("given", [(), ("--from-lock", "nowhere.json")])
def test_a_sweep_needs_a_data_set_or_a_lock(sweep, given):
    code, err = sweep(*given)
    assert (code, err.count("\n")) == (2, 1) and ("name a data set" in err or "holds no lock" in err), err


@pytest.mark.parametrize("layer", ["default", "paper", "quick"])
def test_the_settings_of_a_lock_load_to_the_same_settings(layer):
    config = load_config([layer, "model.name=m", "policy.name=agreement", "tournament.judge.view=probe"])
    assert load_config(base=json.loads(json.dumps(config.identity()))).identity() == config.identity()


def test_hidden_tests_that_changed_are_other_work_and_images_other_conditions():
    lock = Lock(
        config={}, tasks={"a": "1"}, contents={"a": "x"}, images={"img": "sha256:1"}, models={"m": {"vllm": "1"}}
    )
    now = lock.model_copy(
        update={"contents": {"a": "y"}, "images": {"img": "sha256:2"}, "models": {"m": {"vllm": "2"}}}
    )
    assert other_work(lock, now) == ["other hidden tests or files: a"]
    assert other_conditions(lock, now) == ["m: vllm is 2, not 1", "other images under the same names: img"]


def test_settings_of_a_later_version_are_named_and_not_refused():
    lock, now = Lock(config={"a": 1}, tasks={}), Lock(config={"a": 1, "b": {"c": 2}}, tasks={})
    assert other_work(lock, now) == []
    assert other_conditions(lock, now) == ["settings that it does not know have their defaults: b"]


def test_what_the_second_run_does_not_use_makes_no_difference():
    lock = Lock(config={}, tasks={"a": "1", "b": "2"}, contents={"a": "x", "b": "y"}, images={"i": "1", "j": "2"})
    now = Lock(config={}, tasks={"a": "1"}, contents={"a": "x"}, images={"i": "1"})
    assert other_work(lock, now) == other_conditions(lock, now) == []


def test_values_that_may_be_secret_stay_out_of_a_lock():
    assert shareable({"path": "tasks", "env_values": {"KEY": "secret"}}) == {"path": "tasks"}


def test_another_option_of_the_data_set_is_other_work():
    """`-O grader=official` graded a repeated run with another grader, and nothing said so."""
    data = LockedData(name="verified", env="swebench", options={"source": "/here/rows.jsonl", "grader": "own"})
    one = Lock(data=data, config={}, tasks={})
    moved = data.model_copy(update={"options": {"source": "/there/rows.jsonl", "grader": "own"}})
    other = data.model_copy(update={"options": {"source": "/here/rows.jsonl", "grader": "official"}})
    assert other_work(one, one.model_copy(update={"data": moved})) == []
    assert other_work(one, one.model_copy(update={"data": other})) == [
        "the data set's option grader is official, not own"
    ]
