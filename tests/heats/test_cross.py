"""Cross-execution: who wrote which tests, what runs and what is not run again, and one run of it in sandboxes."""

import asyncio
import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.llm.ledger import Ledger
from envs.base import Patch, Task, TestReport
from envs.existing_tests import TestRunner
from envs.regression import ExistingTests, StableRun
from heats.cli import main
from heats.config import ExecutionConfig
from heats.report.account import account
from heats.retries import RetriesConfig
from heats.runner import cross_tests as cross
from heats.runner import regression
from heats.runner.cross_tests import voices_of
from heats.runner.executed import executed
from heats.runner.rollout import TaskRun
from heats.runner.slots import Slots
from heats.store.cross_table import PLACES
from heats.store.store import RunStore, TaskStore
from sandbox.errors import SandboxLost
from tournament.base import Candidate

pytestmark = pytest.mark.timeout(180)


def added(path, *lines):
    body = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
    return f"{head}@@ -0,0 +1,{len(lines)} @@\n{body}"


def patch(*parts):
    return Patch("".join(parts).encode())


def test_authors_are_those_whose_patch_adds_tests_and_equal_tests_share_a_voice():
    source, tests = added("calc.py", "x = 1"), added("tests/test_x.py", "def test_x(): pass")
    found = voices_of(
        {
            "a": patch(source, tests),
            "b": patch(added("calc.py", "x = 2"), tests),
            "c": patch(source),
            "d": patch(source, added("tests/conftest.py", "import os"), added("tests/data.txt", "1")),
            "e": patch(source, added("test_y.py", "def test_y(): pass"), added("tests/data.txt", "1")),
        }
    )
    assert [(one.authors, one.files) for one in found] == [(("a", "b"), ("tests/test_x.py",)), (("e",), ("test_y.py",))]


class Bench:
    """Runs on paper: a tree passes an author's test if its patch says `fixed`."""

    def __init__(self, monkeypatch, fail=0):
        self.ran, self.fail = [], fail
        monkeypatch.setattr(cross, "run_on", self.run_on)
        monkeypatch.setattr(cross, "_read", self.read)

    async def read(self, run, voice, patch):
        return dict.fromkeys(voice.files, b"")

    async def run_on(self, env, task, patch, bench, runner, files, *, written, timeout_s):
        if self.fail:
            self.fail -= 1
            raise SandboxLost("gone")
        self.ran.append((*written, patch.sha256))
        outcome = "passed" if b"fixed" in patch.data else "failed"
        tests = {f"{path}::test_it": outcome for path in written}
        return TestReport(command=runner.on(files), status="failed", tests=tests), ""


async def play(directory, texts, limits=None, command="pytest", **switches):
    """Candidates with these patches, each with a test file of its own, ranked by one another's tests."""
    store = TaskStore(directory, "one")
    store.save_baseline(TestReport(command="pytest", status="failed"))
    on = {"evidence": True, "cross_execution": True, "regression": False, **switches}
    config = SimpleNamespace(retries=RetriesConfig(wait_s=0), execution=limits or ExecutionConfig(), **on)
    services = SimpleNamespace(
        config=config,
        env=None,
        slots=Slots(2),
        bench=lambda _: None,
        events=SimpleNamespace(emit=lambda *_, **__: None),
    )
    task = Task(id="one", statement="", image="", test_command=command)
    run = TaskRun(services=services, task=task, store=store, ledger=Ledger("run"))
    for name, text in texts.items():
        files = store.rollout(name).directory
        files.mkdir(parents=True, exist_ok=True)
        (files / "patch.diff").write_bytes(patch(added("a.py", text), added(f"test_{name[-1]}.py", "x")).data)

    async def there(name):
        return Candidate(id=name, summary="", patch="x", patch_key=texts[name], evidence_rank=2)

    coming = executed(run, 0, {name: there(name) for name in texts})
    return [await one for one in await _together(coming.values())]


async def _together(coroutines):
    tasks = [asyncio.ensure_future(one) for one in coroutines]
    await asyncio.wait(tasks)
    return tasks


TEXTS = {"heat-0/a": "fixed 1", "heat-0/b": "fixed 2", "heat-0/c": "wrong"}


async def test_every_authors_tests_run_on_the_base_and_on_every_patch(tmp_path, monkeypatch):
    bench = Bench(monkeypatch)
    ranked = await play(tmp_path, TEXTS)
    assert [one.evidence_rank - 2 * PLACES for one in ranked] == [1, 1, 0]
    assert len(bench.ran) == len(set(bench.ran)) == 3 * 4
    table = json.loads((tmp_path / "heat-0" / "cross.json").read_text())
    assert table["voices"] == ["heat-0/a", "heat-0/b", "heat-0/c"]


async def test_what_ran_is_not_run_again(tmp_path, monkeypatch):
    Bench(monkeypatch)
    await play(tmp_path, TEXTS)
    (tmp_path / "heat-0" / "cross.json").unlink()
    lines = (tmp_path / "cross.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cross.jsonl").write_text("".join(lines[:-2]) + lines[-2][:20])  # two lost, one of them torn
    bench = Bench(monkeypatch)
    assert [one.evidence_rank - 2 * PLACES for one in await play(tmp_path, TEXTS)] == [1, 1, 0]
    assert len(bench.ran) == 2
    assert [one.evidence_rank - 2 * PLACES for one in await play(tmp_path, TEXTS)] == [1, 1, 0]
    assert len(bench.ran) == 2


async def test_a_candidate_that_comes_only_after_a_resume_is_in_the_table(tmp_path, monkeypatch):
    bench = Bench(monkeypatch)
    await play(tmp_path, TEXTS)
    ranked = await play(tmp_path, {**TEXTS, "heat-0/d": "fixed 3"})
    assert [one.evidence_rank - 2 * PLACES for one in ranked] == [1, 1, 0, 1]
    assert len(bench.ran) == len(set(bench.ran)) == 4 * 5


async def test_sandboxes_that_fail_are_tried_again_and_cost_a_voice_at_most(tmp_path, monkeypatch):
    Bench(monkeypatch, fail=1)
    assert [one.evidence_rank - 2 * PLACES for one in await play(tmp_path / "once", TEXTS)] == [1, 1, 0]
    Bench(monkeypatch, fail=10_000)
    assert [one.evidence_rank - 2 * PLACES for one in await play(tmp_path / "always", TEXTS)] == [0, 0, 0]


async def test_runs_beyond_the_budget_are_left_out_and_said(tmp_path, monkeypatch):
    bench = Bench(monkeypatch)
    await play(tmp_path, TEXTS, ExecutionConfig(sandboxes=5))
    assert len(bench.ran) == 5
    table = json.loads((tmp_path / "heat-0" / "cross.json").read_text())
    assert table["left_out"] == [
        "7 runs: the task's budget for evidence is spent (execution.task_s, execution.sandboxes)"
    ]
    assert table["ranks"] == {} or len(set(table["voices"])) == 1


class OwnTests:
    """The project's own tests on paper: two pass on the base, and a patch that says `wrong` breaks the second."""

    def __init__(self, monkeypatch):
        self.chosen, self.ran = [], []
        monkeypatch.setattr(regression, "choose_existing", self.choose)
        monkeypatch.setattr(regression, "run_stable", self.run_stable)

    async def choose(self, env, task, bench, change, *, budget_s, **_):
        self.chosen.append(budget_s)
        runner = TestRunner(kind="pytest", command="pytest")
        return ExistingTests(runner=runner, files=("test_own.py",), stable=("test_own.py::x", "test_own.py::y"))

    async def run_stable(self, env, task, patch, bench, existing):
        self.ran.append(patch.sha256)
        failing = {"test_own.py::y": "failed"} if b"wrong" in patch.data else {}
        return StableRun(status="failed", failing=failing, words=dict.fromkeys(failing, "1 != 2"))


async def test_by_auto_a_task_without_a_test_command_is_ordered_by_both_kinds_and_nothing_runs_twice(
    tmp_path, monkeypatch
):
    written, own = Bench(monkeypatch), OwnTests(monkeypatch)
    auto = {"command": None, "cross_execution": "auto", "regression": "auto"}
    ranked = await play(tmp_path, TEXTS, **auto)
    assert [one.evidence_rank - 2 * PLACES for one in ranked] == [1, 1, 0]
    assert "1 of 2 that pass without the change fail (test_own.py::y)" in ranked[2].evidence
    assert (len(own.chosen), len(own.ran), len(written.ran)) == (1, 3, 12)
    (tmp_path / "heat-0" / "cross.json").unlink()
    await play(tmp_path, {**TEXTS, "heat-0/d": "fixed 3"}, **auto)
    assert (len(own.chosen), len(own.ran)) == (1, 4)


async def test_by_auto_nothing_runs_where_all_patches_are_the_same(tmp_path, monkeypatch):
    written, own = Bench(monkeypatch), OwnTests(monkeypatch)
    auto = {"command": None, "cross_execution": "auto", "regression": "auto"}
    ranked = await play(tmp_path, {"heat-0/a": "fixed", "heat-0/b": "fixed"}, **auto)
    assert [one.evidence_rank for one in ranked] == [2 * PLACES, 2 * PLACES]
    assert not own.chosen and not written.ran


BASE = {
    "calc.py": "def clamp(x, low, high):\n    return x\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": "import unittest\nfrom calc import clamp\n\n\nclass TestClamp(unittest.TestCase):\n"
    "    def test_high(self):\n        self.assertEqual(clamp(5, 0, 3), 3)\n",
}
RIGHT = "    return max(low, min(x, high))", "    return low if x < low else min(x, high)"
WRONG = "    return min(x, high)", "    return high if x > high else x"


def fix(was, body):
    head = "diff --git a/calc.py b/calc.py\n--- a/calc.py\n+++ b/calc.py\n@@ -1,2 +1,2 @@\n"
    return f"{head} def clamp(x, low, high):\n-{was}\n+{body}\n"


def repository(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t"]
    for step in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *step], check=True)


def attempt(body, number):
    lines = (
        "import unittest",
        "from calc import clamp",
        f"class Test{number}(unittest.TestCase):",
        "  def test_low(self):",
    )
    return fix("    return x", body) + added(
        f"tests/test_{number}.py", *lines, f"    self.assertEqual(clamp(-{number + 1}, 0, 3), 0)"
    )


@pytest.mark.bubblewrap
def test_attempts_tests_part_what_the_users_tests_cannot(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    repository(tmp_path / "repo", BASE)
    Path("attempts").mkdir()
    for number, body in enumerate((WRONG[0], RIGHT[0], WRONG[1], RIGHT[1])):
        (tmp_path / "attempts" / f"p{number}.diff").write_text(attempt(body, number))
    asked = "--selector random -c cross_execution=on --sandbox bubblewrap --json --progress quiet --out out"
    command = ["heats", "select", "attempts", "--repo", "repo", "--test", "python3 -m unittest", *shlex.split(asked)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        main()
    told = json.loads(capsys.readouterr().out)["tasks"][0]
    assert [place["source"][-7:] for place in told["ranking"][:2]] in (["p1.diff", "p3.diff"], ["p3.diff", "p1.diff"])
    table = json.loads((RunStore(tmp_path / "out").task(told["task"]).directory / "heat-0" / "cross.json").read_text())
    assert len(table["rows"]) == 4 and all(row["counts"] for row in table["rows"])
    assert sorted(table["ranks"].values()) == [0, 0, 1, 1]
    said = account(RunStore(tmp_path / "out"), told["task"])
    assert "- Heat 0: Tests that 4 attempts wrote and that some patches fail: passes 4 of 4." in said


KEPT = {
    "calc.py": "def clamp(x, low, high):\n    return min(x, high)\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": BASE["tests/test_calc.py"],
}


@pytest.mark.bubblewrap
def test_without_a_test_command_the_projects_own_tests_decide(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    repository(tmp_path / "repo", KEPT)
    Path("attempts").mkdir()
    for number, body in enumerate(("    return max(x, low)", RIGHT[0])):
        (tmp_path / "attempts" / f"p{number}.diff").write_text(fix("    return min(x, high)", body))
    asked = "--selector random --sandbox bubblewrap --json --progress quiet --out out"
    monkeypatch.setattr(sys, "argv", ["heats", "select", "attempts", "--repo", "repo", *shlex.split(asked)])
    with pytest.raises(SystemExit) as ended:
        main()
    told = json.loads(capsys.readouterr().out)["tasks"][0]
    assert (ended.value.code, told["ranking"][0]["source"][-7:]) == (0, "p1.diff")
    assert told["ledger"]["sandbox_s"] > 0
    said = account(RunStore(tmp_path / "out"), told["task"])
    assert "The project's own tests: all 1 that pass without the change pass with it" in said
