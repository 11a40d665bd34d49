"""One unusable task does not void the others: it is left out, named, and reflected in the exit code."""

import json
import sys

import pytest

from envs.demo import DemoEnv
from heats.cli import main
from heats.errors import UsageError
from heats.store.events import read_events
from heats.sweep.dataset import TaskFilter, choose

HALF = """
from envs.demo import DemoEnv


class Env(DemoEnv):
    def __init__(self, **options):
        super().__init__(only=("csv",), **options)

    def listing(self):
        return ["bad", "csv", "ungradable"]

    async def unusable(self, *, grading):
        return {"bad": "it has no image", **({"ungradable": "it names no tests"} if grading else {})}
"""


class Half(DemoEnv):
    """A data set of three tasks, one of which is usable."""

    def __init__(self):
        super().__init__(only=("csv", "money"))

    def listing(self):
        return ["bad", "csv", "money"]

    async def unusable(self, *, grading):
        return {"bad": "it has no image", **({"money": "it names no tests"} if grading else {})}


async def test_what_cannot_be_used_is_left_out_and_keeps_its_place_in_a_slice():
    chosen = await choose(Half(), TaskFilter(part="0:2"), grading=True)
    assert ([task.id for task in chosen.tasks], chosen.left_out) == (["csv"], {"bad": "it has no image"})
    ungraded = await choose(Half(), TaskFilter(), grading=False)
    assert [task.id for task in ungraded.tasks] == ["csv", "money"]


async def test_where_nothing_is_left_the_reason_is_told_and_what_would_help():
    with pytest.raises(UsageError, match=r"no chosen task can be used: money: it names no tests \(-c grade=false"):
        await choose(Half(), TaskFilter(only=["money"]), grading=True)
    with pytest.raises(UsageError, match=r"bad: it has no image$"):
        await choose(Half(), TaskFilter(only=["bad"]), grading=True)
    with pytest.raises(UsageError, match="no task zz"):
        await choose(Half(), TaskFilter(only=["zz"]), grading=True)


def test_a_sweep_names_what_it_left_out_and_ends_with_3(tmp_path, monkeypatch, capsys):
    (tmp_path / "half.py").write_text(HALF)
    monkeypatch.syspath_prepend(str(tmp_path))
    flags = ["half:Env", "-k", "1", "--iterations", "1", "--agent", "noop", "--model", "builtin:repair", "-c", "seed=3"]
    flags += ["--sandbox", "local", "--unsafe", "-c", "evidence=false", "--out", str(tmp_path / "run")]
    for more in (["--json", "--progress", "plain"], ["--progress", "quiet"]):
        monkeypatch.setattr(sys, "argv", ["heats", "sweep", *flags, *more])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 3
        out, err = capsys.readouterr()
        if "--json" in more:
            names = [one["name"] for one in json.loads(out)["left_out"]]
            assert names == ["bad", "ungradable"]
            assert "left out: bad: it has no image; ungradable: it names no tests" in err
        else:
            assert "left out: 2 tasks that cannot be used\n  bad: it has no image" in out
    assert "left_out" in {event.kind for event in read_events(tmp_path / "run" / "events.jsonl")}
    assert (tmp_path / "run" / "tasks" / "csv").is_dir()
    assert "left out: bad: it has no image" in (tmp_path / "run" / "report.html").read_text()
