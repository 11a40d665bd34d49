"""Selecting the tasks of a sweep, and their sources."""

import pytest

from envs.base import Task
from heats.errors import UsageError
from heats.sweep.dataset import TaskFilter, find_dataset, read_options

TASKS = [Task(id=f"{project}__{number}", statement="s", image="") for project in ("b", "a") for number in range(3)]


def ids(**choice):
    return [task.id for task in TaskFilter(**choice).of(TASKS)]


def test_without_flags_all_tasks_come_in_their_order():
    assert ids() == [task.id for task in TASKS]


def test_a_filter_matches_from_the_start_of_an_id():
    assert ids(pattern="a__") == ["a__0", "a__1", "a__2"]
    assert ids(pattern=".*__1") == ["b__1", "a__1"]


def test_a_slice_is_taken_of_what_the_filter_left():
    assert ids(pattern="a", part="1:") == ["a__1", "a__2"]
    assert ids(part="::-3") == ["a__2", "b__2"]


def test_shuffling_gives_the_same_order_every_time_and_comes_before_the_slice():
    assert sorted(ids(shuffle=True)) == sorted(ids())
    assert ids(shuffle=True) == ids(shuffle=True) != ids()
    assert ids(shuffle=True, part=":2") == ids(shuffle=True)[:2]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"pattern": "("}, "not a regular expression"),
        ({"part": "5"}, "expected a:b"),
        ({"part": "a:b"}, "expected a:b"),
        ({"part": "::0"}, "expected a:b"),
        ({"pattern": "nothing"}, "tasks of the data set is left"),
        ({"only": ["a__1", "zz"]}, "no task zz"),
    ],
)
def test_a_choice_that_cannot_be_made_says_why(choice, said):
    with pytest.raises(UsageError, match=said):
        ids(**choice)


def test_a_data_set_is_known_by_its_name(tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "bench" / "one").mkdir(parents=True)
    (tmp_path / "bench" / "one" / "task.toml").write_text("")
    found = [
        find_dataset(name, {})
        for name in ("demo", str(tmp_path / "rows.jsonl"), str(tmp_path / "bench"), "my.pack:Env", "verified", "o/r")
    ]
    assert [one.env for one in found] == ["demo", "swebench", "harbor", "my.pack:Env", "swebench", "swebench"]
    assert [one.name for one in found][1:3] == ["rows", "bench"]


@pytest.mark.parametrize("name", ["rows.jsonl", "./nowhere", "/nowhere/at/all"])
def test_a_file_that_is_not_there_is_no_name_on_the_hub(name):
    with pytest.raises(UsageError, match="no such file"):
        find_dataset(name, {})


def test_options_are_yaml():
    assert read_options(["a=1", "b=[x, y]", "c="]) == {"a": 1, "b": ["x", "y"], "c": None}
    with pytest.raises(UsageError, match="expected key=value"):
        read_options(["a-b=1"])
