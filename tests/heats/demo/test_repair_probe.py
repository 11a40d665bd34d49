"""The helper scripts, run as the sandbox runs them."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heats.demo.commands import helpers

SOURCE = """LIMIT = 10


def rebate(total):
    if total > LIMIT:
        return total - 1
    return total


def label(total):
    return f"{total} EUR"
"""
TEST = """import unittest

from shop import label, rebate


class ShopTest(unittest.TestCase):
    def test_limit(self):
        self.assertEqual(rebate(10), 9)

    def test_below(self):
        self.assertEqual(rebate(3), 3)

    def test_label(self):
        self.assertEqual(label(3), "3 EUR")
"""
COMMANDS = {"unittest": "-m unittest -q", "pytest": "-m pytest -q -p no:cacheprovider", "script": "check.py"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/shop.py").write_text(SOURCE)
    (tmp_path / "repo/test_shop.py").write_text(TEST)
    (tmp_path / "repo/check.py").write_text("import shop\n\nassert shop.rebate(10) == 9\n")
    (tmp_path / "helpers").mkdir()
    for name, text in helpers().items():
        (tmp_path / "helpers" / name).write_text(text)
    return tmp_path / "repo"


def call(repo: Path, verb: str, want: dict[str, Any], command: str = "unittest") -> str:
    path = repo.parent / f"{verb}.json"
    text = COMMANDS.get(command)
    path.write_text(json.dumps({"command": f"{sys.executable} {text}" if text else command, "seconds": 100, **want}))
    script = str(repo.parent / "helpers/repair_run.py")
    done = subprocess.run(
        [sys.executable, script, verb, str(path)], cwd=repo, capture_output=True, text=True, timeout=300
    )
    assert not done.stderr, done.stderr
    return done.stdout


def lines(output: str, kind: str) -> list[dict[str, Any]]:
    data = [json.loads(line.removeprefix("repair ")) for line in output.splitlines() if line.startswith("repair ")]
    return [item for item in data if item["k"] == kind]


@pytest.mark.parametrize("command", ["unittest", "pytest", "script"])
def test_the_faulty_function_ranks_first(repo: Path, command: str) -> None:
    output = call(repo, "locate", {"words": []}, command)
    assert lines(output, "run")[0]["failing"] == 1
    assert lines(output, "ranking")[0]["units"][0]["n"] == "rebate"
    assert "total - 1" in lines(output, "code")[0]["src"]


def test_a_command_that_only_a_shell_understands_is_recorded_too(repo: Path) -> None:
    output = call(repo, "locate", {"words": []}, f"true && {sys.executable} -m unittest -q")
    assert lines(output, "run")[0]["how"] == "shell"
    assert lines(output, "ranking")[0]["units"][0]["n"] == "rebate"


@pytest.mark.slow
@pytest.mark.parametrize(("prefix", "how"), [("", "pytest"), ("true && ", "shell")])
def test_a_command_that_sets_its_own_python_path_is_recorded_too(repo: Path, prefix: str, how: str) -> None:
    """The path in the command once hid the recording plug-in, so that no edit was ever found to help."""
    packages = Path(pytest.__file__).parent.parent
    command = f"{prefix}PYTHONPATH={packages} {sys.executable} {COMMANDS['pytest']}"
    output = call(repo, "locate", {"words": []}, command)
    (run,) = lines(output, "run")
    assert (run["how"], run["failing"], run["tests"]) == (how, 1, 3)


def candidate(line: int, col: int, old: str, new: str) -> dict[str, Any]:
    return {"text": f"E{line}", "edits": [{"path": "shop.py", "line": line, "col": col, "old": old, "new": new}]}


def test_edits_are_tried_and_taken_back(repo: Path) -> None:
    call(repo, "locate", {"words": []})
    right = candidate(5, 14, ">", ">=")
    wrong = [candidate(5, 14, ">", "<"), candidate(5, 14, ">", "> )"), candidate(5, 14, "?", "<")]
    output = call(repo, "check", {"tag": "c", "base": [], "candidates": [right, *wrong]})
    results = [line.split(": ")[1] for line in output.splitlines()]
    assert results == ["failing 0 of 1 (all pass)", "failing 1 of 1", "does not parse", "did not apply"]
    assert (repo / "shop.py").read_text() == SOURCE
    assert sorted(path.name for path in repo.iterdir()) == ["check.py", "shop.py", "test_shop.py"]


def test_an_edit_that_breaks_another_test_is_told(repo: Path) -> None:
    call(repo, "locate", {"words": []})
    output = call(repo, "check", {"tag": "c", "base": [], "candidates": [candidate(5, 8, "total > LIMIT", "True")]})
    assert output.strip().endswith("failing 0 of 1, broke 1")


def test_an_endless_loop_is_stopped(repo: Path) -> None:
    call(repo, "locate", {"words": []})
    looping = candidate(7, 5, "return total", "while 1: pass")
    assert "timed out" in call(repo, "check", {"tag": "d", "base": [], "candidates": [looping]})


def test_apply_leaves_the_edit(repo: Path) -> None:
    call(repo, "apply", {"base": candidate(5, 14, ">", ">=")["edits"]})
    assert "total >= LIMIT" in (repo / "shop.py").read_text()


def test_scripts_are_written_for_python_3_8() -> None:
    for text in helpers().values():
        ast.parse(text, feature_version=(3, 8))
