"""The check before anything is spent: broken tests are not failing tests, and the runner's own words say why."""

import sys

import pytest
from little_repo import PYTEST, UNITTEST, Repo

from envs.base import TestReport
from envs.baseline import names, setup_problem
from envs.bench import VerifyRules
from envs.errors import BaselineUnusable, TestCommandMissing

TEST = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.fail()\n"
NEW = "import unittest\nfrom price import yet_to_come\n"
LOADING = "tests cannot be loaded on the untouched tree"
NONE = "no tests ran on the untouched tree"


async def refused(workdir: str, files: dict[str, str], command: str, **rules: object) -> str:
    with pytest.raises((BaselineUnusable, TestCommandMissing)) as caught:
        await Repo(workdir, files, command, **rules).baseline()
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "command", "start", "words"),
    [
        ({"test_a.py": NEW}, UNITTEST, LOADING, "cannot import name 'yet_to_come'"),
        ({"test_a.py": TEST, "test_b.py": "import nosuch\n"}, UNITTEST, LOADING, "No module named 'nosuch'"),
        ({"a.py": ""}, UNITTEST, NONE, "Ran 0 tests"),
        ({"test_a.py": TEST}, f"{UNITTEST} test_nosuch", LOADING, "No module named 'test_nosuch'"),
        ({"test_a.py": TEST}, f"{UNITTEST} test_a.T.test_nosuch", LOADING, "has no attribute 'test_nosuch'"),
        ({"run.sh": "nosuchtool --all\n"}, "sh run.sh", NONE, "nosuchtool: not found"),
        ({"Makefile": "test:\n\tnosuchtool\n"}, "make test", NONE, "nosuchtool"),
        ({"Makefile": "test:\n\ttrue\n"}, "make tset", NONE, "No rule to make target 'tset'"),
        ({"Makefile": "a:\n"}, f"{sys.executable} nosuch.py", NONE, "can't open file"),
        ({"check.py": "import nosuch\n"}, f"{sys.executable} check.py", LOADING, "No module named 'nosuch'"),
        ({"a.py": ""}, "echo 'npm error Missing script: \"test\"'; exit 1", NONE, "Missing script"),
        ({"a.py": ""}, "echo 'No tests found, exiting with code 1'; exit 1", NONE, "No tests found"),
        ({"a.py": ""}, "echo 'error: could not compile `shop` (lib test)'; exit 101", LOADING, "could not compile"),
        ({"a.py": ""}, "nosuchrunner", "the test command is missing in the sandbox: nosuchrunner", "not found"),
    ],
)
async def test_a_set_up_that_does_not_work(
    files: dict[str, str], command: str, start: str, words: str, workdir: str
) -> None:
    said = await refused(workdir, files, command)
    assert (said.startswith(start), words in said) == (True, True), said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "options", "start", "words"),
    [
        ({"test_a.py": "import nosuch\n"}, "", LOADING, "test_a.py (E   ModuleNotFoundError: No module"),
        ({"test_a.py": "raise FutureWarning('old\\nSee https://x')\n"}, "", LOADING, "(E   FutureWarning: old"),
        ({"test_a.py": "def (\n"}, "", LOADING, "SyntaxError"),
        ({"a.py": ""}, "", f"{NONE}: pytest found no tests", "no tests ran"),
        ({"tests/__init__.py": ""}, "tests", f"{NONE}: pytest found no tests", "no tests ran"),
        ({"test_a.py": TEST}, "-k nosuch", f"{NONE}: pytest found no tests", "1 deselected"),
        ({"test_a.py": TEST}, "nosuch/", f"{NONE}: wrong arguments for pytest", "file or directory not found: nosuch/"),
        ({"test_a.py": TEST}, "test_a.py::nosuch", f"{NONE}: wrong arguments for pytest", "not found"),
        ({"test_a.py": TEST}, "--cov-of-nosuch", f"{NONE}: wrong arguments for pytest", "unrecognized arguments"),
        ({"test_a.py": TEST}, "-p nosuch_plugin", NONE, "Error importing plugin"),
        ({"test_a.py": TEST, "conftest.py": "import nosuch\n"}, "", LOADING, "No module named 'nosuch'"),
        ({"test_a.py": TEST, "pytest.ini": "[pytest]\nrequired_plugins = pytest-nosuch\n"}, "", NONE, "pytest-nosuch"),
    ],
)  # fmt: skip
async def test_a_set_up_that_does_not_work_for_pytest(
    files: dict[str, str], options: str, start: str, words: str, workdir: str
) -> None:
    said = await refused(workdir, files, f"{PYTEST} {options}")
    assert (said.startswith(start), words in said) == (True, True), said


async def test_a_time_out_on_the_base_is_refused_and_can_be_allowed(workdir: str) -> None:
    files = {"test_a.py": TEST.replace("self.fail()", "__import__('time').sleep(60)")}
    said = await refused(workdir, files, UNITTEST, timeout_s=0.5)
    assert said.startswith("the tests do not finish within 0.5 s on the untouched tree: run fewer of them")
    report = await Repo(workdir, files, UNITTEST, timeout_s=0.5, allow_collection_errors=True).baseline()
    assert report.status == "timeout"


async def test_tests_of_what_is_yet_to_be_written_can_be_allowed(workdir: str) -> None:
    said = await refused(workdir, {"test_a.py": NEW}, UNITTEST)
    assert said.endswith("; --allow-collection-errors continues anyway")
    report = await Repo(workdir, {"test_a.py": NEW}, UNITTEST, allow_collection_errors=True).baseline()
    assert dict(report.tests) == {"test_a": "error"}
    with pytest.raises(BaselineUnusable):
        await Repo(workdir, {"a.py": ""}, UNITTEST, allow_collection_errors=True).baseline()


@pytest.mark.parametrize(
    "command",
    ["echo 'cat: out.txt: No such file or directory'; exit 1", "echo 'user not found'; exit 3", "false", "true"],
)
async def test_a_command_that_fails_without_naming_tests_is_a_failing_test(command: str, workdir: str) -> None:
    report = await Repo(workdir, {}, command).baseline()
    assert (report.tests, report.source) == ({}, "")


async def test_what_must_pass_has_to_be_among_the_tests(workdir: str) -> None:
    said = await refused(workdir, {"test_a.py": TEST}, UNITTEST, must_pass=["test_a.T.test_b"])
    assert said == "--must-pass test_a.T.test_b: the test command runs no such test; did you mean test_a.T.test_a?"
    assert (await Repo(workdir, {"test_a.py": TEST}, UNITTEST, must_pass=["test_a.T"]).baseline()).failing


def test_ids_of_files_classes_and_functions_name_their_tests() -> None:
    test = "tests/t.py::T::test_a[1]"
    assert all(names(wanted, test) for wanted in ("tests/t.py", "tests/t.py::T", "tests/t.py::T::test_a", test))
    assert not any(names(wanted, test) for wanted in ("tests/t", "tests/t.py::T::test", "t.py"))


def test_a_base_that_runs_out_of_memory_is_refused_whatever_is_allowed(workdir: str) -> None:
    repo = Repo(workdir, {}, "x")
    report = TestReport(command="x", status="oom")
    assert "ran out of memory" in str(setup_problem(report, repo.env.task, VerifyRules(allow_collection_errors=True)))
