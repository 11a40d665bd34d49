"""`heats grade`: predictions and runs are graded, reported and stored; what cannot be graded is never omitted."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from envs.base import Grade, Patch, Task, TestReport
from heats.cli import grade as command
from heats.cli import main
from heats.importing.attempts import ImportedAttempt
from heats.importing.regrade import report_of, submissions
from heats.runner.grading import Grader
from heats.store.store import GradeStore
from sandbox.errors import SandboxStartError


class SumEnv:
    """Passes the patch `+right`; `+broken` breaks the machine, `+flaky` once."""

    name = "sums"

    def __init__(self, **options):
        self.graded, self.options = [], options

    def tasks(self):
        return [Task(id=name, statement="?", image="") for name in ("a", "b", "c")]

    async def grade(self, task, patch, backend):
        first = patch.data not in self.graded
        self.graded.append(patch.data)
        if b"+broken" in patch.data or (b"+flaky" in patch.data and first):
            raise SandboxStartError("no space left")
        outcome = "pass" if b"+right" in patch.data or b"+flaky" in patch.data else "fail"
        return Grade(task_id=task.id, outcome=outcome, reason="said so")


class NoBackend:
    async def preflight(self, images):
        self.images = images

    async def reap(self):
        return 0

    async def close(self):
        pass


@pytest.fixture
def env(monkeypatch):
    env = SumEnv()

    async def backend(config):
        return NoBackend()

    monkeypatch.setattr(command, "open_backend", backend)
    monkeypatch.setattr("heats.sweep.dataset.open_env", lambda name, options: env)
    return env


def predictions(path, **lines):
    rows = {
        name: {"model_name_or_path": "org/m", "model_patch": f"+{line}\n" if line else ""}
        for name, line in lines.items()
    }
    path.write_text(json.dumps(rows))
    return str(path)


def heats(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["heats", "grade", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_predictions_are_graded_told_and_kept(env, tmp_path, monkeypatch, capsys):
    preds = predictions(tmp_path / "preds.json", a="right", b="wrong")
    assert heats(monkeypatch, preds, "-d", "sums:Env") == 0
    out = capsys.readouterr().out
    assert "resolved 1 of 2 submitted, of 3 tasks" in out
    grades = sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json") if path.name != "preds.json"
    )
    assert grades[0].startswith("preds.grades/own/a/org-m-")
    report = json.loads((tmp_path / "preds.grades/own/report.json").read_text())
    assert (report["resolved_ids"], report["unresolved_ids"], report["incomplete_ids"]) == (["a"], ["b"], ["c"])


async def test_what_was_mended_in_a_prediction_is_said_with_its_grade(tmp_path):
    diff = b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-wrong\n+right\n"
    env, grades = SumEnv(), GradeStore(tmp_path)
    attempts = [ImportedAttempt(source="p", instance="a", patch=diff.replace(b"\n", b"\r\n"))]
    grader = Grader(env=env, backend=NoBackend(), grades=grades, slot=nullcontext, retries=0)
    found, _ = submissions(attempts, env.tasks(), ["a"])
    [graded] = await grader.grade(found, lambda one: None)
    assert env.graded == [diff]
    assert graded.grade.reason == "said so (the diff file had CR LF line ends; they were read as LF)"


def test_the_same_command_goes_on_and_redo_starts_over(env, tmp_path, monkeypatch, capsys):
    preds = predictions(tmp_path / "preds.json", a="right")
    for more, graded in (((), 1), ((), 1), (("--redo",), 2)):
        assert heats(monkeypatch, preds, "-d", "sums:Env", *more) == 0
        assert len(env.graded) == graded
    predictions(tmp_path / "preds.json", a="wrong")
    assert heats(monkeypatch, preds, "-d", "sums:Env") == 0
    assert len(env.graded) == 3
    assert "resolved 0 of 1 submitted" in capsys.readouterr().out.splitlines()[-2]


def test_a_grade_that_says_nothing_takes_no_others_place(env, tmp_path, monkeypatch, capsys):
    preds = predictions(tmp_path / "preds.json", a="right")
    assert heats(monkeypatch, preds, "-d", "sums:Env") == 0

    async def down(task, patch, backend):
        raise SandboxStartError("no space left")

    monkeypatch.setattr(env, "grade", down)
    assert heats(monkeypatch, preds, "-d", "sums:Env", "--redo") == 3
    capsys.readouterr()
    assert heats(monkeypatch, preds, "-d", "sums:Env", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resolved_ids"] == ["a"]


def test_infrastructure_is_tried_again_told_and_counted(env, tmp_path, monkeypatch, capsys):
    preds = predictions(tmp_path / "preds.json", a="flaky", b="broken")
    assert heats(monkeypatch, preds, "-d", "sums:Env", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["resolved_ids"], told["error_ids"], told["total_instances"]) == (["a"], ["b"], 3)
    assert told["grades"][1]["reason"] == "no sandbox to grade in: no space left"


def test_only_chosen_tasks_are_graded(env, tmp_path, monkeypatch, capsys):
    preds = predictions(tmp_path / "preds.json", a="right", b="right")
    assert heats(monkeypatch, preds, "-d", "sums:Env", "-i", "b") == 0
    assert "resolved 1 of 1 submitted, of 1 task\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lines", "arguments", "message"),
    [
        ({"zz": "x"}, ("-d", "sums:Env"), "the data set has no task zz"),
        ({"a": "x"}, ("-d", "sums:Env", "-i", "c"), "nothing to grade"),
        ({"a": "x"}, (), "--dataset is needed"),
        ({"a": "x"}, ("-d", "./none.jsonl"), "no such file"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(env, tmp_path, monkeypatch, capsys, lines, arguments, message):
    assert heats(monkeypatch, predictions(tmp_path / "preds.json", **lines), *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


async def test_equal_patches_are_graded_once_and_empty_ones_are_counted(tmp_path):
    env = SumEnv()
    attempts = [ImportedAttempt(source=f"p:{n}", instance="a", patch=b"+right\n", model=f"m{n}") for n in (1, 2)]
    wanted, _ = submissions([*attempts, ImportedAttempt(source="p:3", instance="b")], env.tasks(), ["a", "b", "c"])
    grader = Grader(env=env, backend=NoBackend(), grades=GradeStore(tmp_path), slot=nullcontext, retries=0)
    graded = await grader.grade(wanted, lambda one: None)
    assert env.graded == [b"+right\n", b""]
    report = report_of(graded, [task.id for task in env.tasks()])
    assert (report["resolved_instances"], report["empty_patch_ids"], report["submitted_instances"]) == (1, ["b"], 2)


def test_one_unreadable_prediction_is_an_error_in_the_report_and_voids_no_other(env, tmp_path, monkeypatch, capsys):
    path = Path(predictions(tmp_path / "preds.json", a="right"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "b": {"model_patch": ["no text"]}}))
    assert heats(monkeypatch, str(path), "-d", "sums:Env", "--json") == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["resolved_ids"], told["error_ids"], told["submitted_instances"]) == (["a"], ["b"], 2)
    assert told["left_out"][0]["name"].endswith("preds.json:2")


class NamingEnv(SumEnv):
    """Names hidden tests in its grades, as SWE-bench's graders do."""

    async def grade(self, task, patch, backend):
        tests = {"tests/test_secret.py::test_a": "failed", "A sentence of a docstring.": "passed"}
        reason = "2 of 3 expected tests do not pass: tests/test_secret.py::test_a, Another sentence."
        report = TestReport(command="pytest", status="failed", tests=tests)
        return Grade(task_id=task.id, outcome="fail", reason=reason, report=report)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_hidden_tests_are_named_only_when_asked_for(env, tmp_path, monkeypatch, capsys, more):
    monkeypatch.setattr("heats.sweep.dataset.open_env", lambda name, options: NamingEnv())
    monkeypatch.setenv("COLUMNS", "200")
    path = predictions(tmp_path / "preds.json", a="wrong")
    assert heats(monkeypatch, path, "-d", "sums:Env", *more) == 0
    told = "".join(capsys.readouterr())
    assert "2 of 3 expected tests do not pass" in told
    assert "test_secret" not in told and "sentence" not in told
    assert heats(monkeypatch, path, "-d", "sums:Env", "--show-tests", *more) == 0
    assert "tests/test_secret.py::test_a" in "".join(capsys.readouterr())


def test_predictions_of_the_directory_one_stands_in_are_graded(env, tmp_path, monkeypatch, capsys):
    predictions(tmp_path / "preds.json", a="right")
    monkeypatch.chdir(tmp_path)
    assert heats(monkeypatch, ".", "-d", "sums:Env") == 0
    assert (tmp_path.with_name(f"{tmp_path.name}.grades") / "own" / "report.json").exists()


@pytest.mark.parametrize("directory", ["runs/x", "runs/a", "/a/runs/a"])
def test_rollouts_of_a_run_keep_their_names(directory):
    """Even in a run directory that is named after its task."""
    attempt = ImportedAttempt(source=f"{directory}/a/heat-0/rollout-03", instance="a", patch=b"x")
    [one], _ = submissions([attempt], SumEnv().tasks(), ["a", "b", "c"])
    assert (one.name, one.patch) == ("heat-0/rollout-03", Patch(b"x"))


def test_an_attempt_at_a_task_that_the_data_set_lacks_does_not_void_the_others():
    given = [
        ImportedAttempt(source="p:1", instance="a", patch=b"x"),
        ImportedAttempt(source="p:2", instance="zz", patch=b"x"),
    ]
    found, left_out = submissions(given, SumEnv().tasks(), ["a", "b", "c"])
    assert [one.task.id for one in found] == ["a"]
    assert [(one.source, one.reason) for one in left_out] == [("p:2", "the data set has no task zz")]
