"""How the command line presents verdicts: strength, required tests, and a base that never worked."""

import json
import subprocess

import pytest
from doubles import one_line

from heats.errors import ExitCode
from heats.store.store import RunStore

TEST = """import unittest
import note


class NoteTest(unittest.TestCase):
    def test_fixed(self):
        self.assertEqual(note.text(), "fixed")

    def test_other(self):
        self.fail("needs a network")
"""


@pytest.fixture
def commit(repo):
    """Commit files to the repository."""

    def go(**files):
        for name, text in {"note": "def text():\n    return ''\n", **files}.items():
            (repo / f"{name}.py").write_text(text)
        git = ["git", "-C", repo, "-c", "user.name=T", "-c", "user.email=t@example.org"]
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "tests"], check=True)

    return go


@pytest.fixture
def fixed(tmp_path):
    """A model that fixes the module."""
    script = tmp_path / "fix.json"
    command = "printf 'def text():\\n    return %s\\n' '\"fixed\"' > note.py"
    script.write_text(json.dumps({"rules": [{"commands": [command]}]}))
    return f"fake:{script}"


@pytest.mark.slow
def test_a_fix_is_verified_by_its_tests_although_another_one_fails_without_it_too(solve, commit, fixed):
    commit(test_note=TEST)
    code, out, _ = solve("--json", test="python3 -m unittest", model=fixed)
    result = json.loads(out)
    assert (code, result["status"], result["strength"]) == (ExitCode.DONE, "verified", "confirmed"), result["detail"]
    assert (result["strength_reasons"], result["fixed"]) == ([], ["test_note.NoteTest.test_fixed"])
    assert "1 fail with and without the patch: test_note.NoteTest.test_other" in result["detail"]


@pytest.mark.slow
def test_what_must_pass_decides(solve, commit, fixed):
    commit(test_note=TEST)
    other = ["--must-pass", "test_note.NoteTest.test_other"]
    code, out, _ = solve(*other, "--json", test="python3 -m unittest", model=fixed)
    assert (code, json.loads(out)["status"]) == (ExitCode.NOT_VERIFIED, "unverified")
    assert "1 test that must pass still failing" in json.loads(out)["detail"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": "python3 -m unittest test_nosuch"}, "No module named 'test_nosuch'"),
        ({"test": "python3 -m unitest"}, "No module named unitest"),
        ({"test": "sh nosuch.sh"}, "nosuch.sh"),
        ({"test": "python3 -m unittest", "must-pass": "test_note.NoteTest.test_fix"}, "did you mean test_note"),
    ],
)
def test_a_base_that_never_worked_ends_before_anything_is_spent(solve, commit, tmp_path, options, words):
    commit(test_note=TEST)
    code, _, err = solve(**options)
    assert (code, words in one_line(err)) == (ExitCode.PREFLIGHT, True), err
    assert RunStore(tmp_path / "run").charges() == []


@pytest.mark.slow
def test_tests_of_what_is_yet_to_be_written_are_allowed_and_only_pass(solve, commit, fixed):
    commit(note="", test_note=TEST.replace("import note", "from note import text").replace("note.text", "text"))
    assert solve(test="python3 -m unittest", model=fixed)[0] == ExitCode.PREFLIGHT
    wanted = ["--allow-collection-errors", "--must-pass", "test_note.NoteTest.test_fixed"]
    code, out, _ = solve(*wanted, "--redo", "--json", test="python3 -m unittest", model=fixed)
    result = json.loads(out)
    assert (code, result["status"], result["strength"]) == (ExitCode.PASSES, "passes", "report"), result["detail"]
    assert "never failed on the base" in result["strength_reasons"][0]
