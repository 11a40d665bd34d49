"""Test writers: rollouts that only write a failing test, and join cross-execution as further authors."""

import json
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest
from test_cross import BASE, RIGHT, WRONG, added, patch, repository

from heats.cli import main
from heats.report.spending import spending
from heats.runner.test_writers import voices_with
from heats.store.cross_table import reproductions, tabulate
from heats.store.records import CrossCell
from heats.store.store import RunStore
from tournament.base import Candidate

pytestmark = pytest.mark.timeout(240)
TESTS = added("tests/test_low.py", "x")


def cell(key, outcomes, words=None):
    tests = {f"tests/test_low.py::{name}": outcome for name, outcome in outcomes.items()}
    said = {f"tests/test_low.py::{name}": text for name, text in (words or {}).items()}
    return CrossCell(tests="d", patch=key, status="failed", outcomes=tests, words=said)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("AssertionError: -5 != 0", True),
        ("TypeError: clamp() takes 2 arguments", True),
        ("", True),
        ("ImportError: cannot import name 'clamp_all'", False),
        ("ModuleNotFoundError: No module named 'clamps'", False),
        ("SyntaxError: invalid syntax", False),
    ],
)
def test_a_writers_test_has_to_fail_by_what_it_checks(said, counts):
    base = cell("", {"low": "failed", "high": "passed", "odd": "error"}, {"low": said})
    assert reproductions(base, base.outcomes) == (["tests/test_low.py::low"] if counts else [])


def test_a_writers_tests_order_patches_and_its_guards_do_not():
    candidates = {"heat-0/rollout-00": patch(added("a.py", "1")), "heat-0/rollout-01": patch(added("a.py", "2"))}
    (voice,) = voices_with(candidates, {"heat-0/writer-00": patch(TESTS)})
    assert (voice.authors, voice.only_failing) == (("heat-0/writer-00",), True)
    field = [Candidate(id=name, summary="", patch_key=name[-2:]) for name in candidates]
    runs = [
        cell("", {"low": "failed", "guard": "passed"}),
        cell("00", {"low": "failed", "guard": "passed"}),
        cell("01", {"low": "passed", "guard": "failed"}),
    ]
    table = tabulate(field, [voice], {(voice.digest, one.patch): one for one in runs}, ())
    assert [row.test for row in table.rows] == ["tests/test_low.py::low"] and table.rows[0].counts
    assert table.ranks == {"heat-0/rollout-00": 0, "heat-0/rollout-01": 1}


def test_a_rollout_that_wrote_the_same_tests_keeps_its_voice_and_its_guards():
    mixed = patch(added("a.py", "1"), TESTS)
    (voice,) = voices_with({"heat-0/rollout-00": mixed}, {"heat-0/writer-00": patch(TESTS)})
    assert not voice.only_failing and set(voice.authors) == {"heat-0/rollout-00", "heat-0/writer-00"}


WRITTEN = "\n".join(
    (
        "import unittest",
        "from calc import clamp",
        "class TestLow(unittest.TestCase):",
        "    def test_low(self):",
        "        self.assertEqual(clamp(-7, 0, 3), 0)",
    )
)


@pytest.mark.bubblewrap
def test_writers_play_beside_the_rollouts_cannot_be_selected_and_decide(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for who in ("AUTHOR", "COMMITTER"):  # seeds follow from the commit, whose date would differ from run to run
        monkeypatch.setenv(f"GIT_{who}_DATE", "2026-01-01T00:00:00Z")
    repository(tmp_path / "repo", BASE)
    ways = [[f"sed -i 's/    return x/{body}/' calc.py"] for body in (RIGHT[0], WRONG[0], RIGHT[1], WRONG[1])]
    write = [f"cat > tests/test_low.py <<'END'\n{WRITTEN}\nEND"]
    rules = [{"when": "Do not fix the problem", "commands": write}, {"when": "", "variants": ways}]
    Path("script.json").write_text(json.dumps({"rules": rules}))
    asked = "--sandbox bubblewrap --rollouts 4 --iterations 1 --seed 1 --json --progress quiet --out out"
    asked += " -c execution.test_writers=1"
    command = ["heats", "solve", "--repo", "repo", "--issue", "clamp", "--test", "python3 -m unittest"]
    monkeypatch.setattr(sys, "argv", [*command, "--model", "fake:script.json", *shlex.split(asked)])
    with pytest.raises(SystemExit):
        main()
    store = RunStore(tmp_path / "out")
    (folder,) = (tmp_path / "out" / "tasks").iterdir()
    task = store.task(json.loads((folder / "task.json").read_text())["id"])
    table = json.loads((folder / "heat-0" / "cross.json").read_text())
    patches = {one: task.rollout(one).patch().data.decode() for one in task.rollouts(0)}
    kinds = Counter(any(body in text for body in RIGHT) for text in patches.values())
    assert len(patches) == 4 and kinds[True] and kinds[False], "the seed is to give both kinds"
    assert table["voices"] == ["heat-0/writer-00"]
    assert any(body in patches[task.result().selected] for body in RIGHT)
    assert "test writers" in [row.name for row in spending(store.charges(), {})]
