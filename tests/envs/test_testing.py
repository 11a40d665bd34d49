"""Running test commands: what is read from pytest, unittest and anything else."""

import sys
from pathlib import Path
from typing import Any

import pytest

from envs.base import Task, TestReport
from envs.testing import first_word, parse_junit, parse_unittest, run_tests, verbose

PYTEST = f"{sys.executable} -m pytest -q"
TESTS = """
import unittest

import pytest


@pytest.mark.parametrize("n", [1, 2])
def test_plain(n):
    assert n == 1


class TestGroup:
    def test_inside(self):
        pass


class CaseTest(unittest.TestCase):
    def test_case(self):
        self.fail()


@pytest.mark.skip
def test_skipped():
    pass


@pytest.fixture
def broken():
    raise RuntimeError


def test_error(broken):
    pass
"""


def task(box: Any, command: str, **fields: Any) -> Task:
    return Task(
        id="t",
        statement="",
        image="host",
        workdir=box.spec.workdir,
        test_command=command,
        **{"test_timeout_s": 30, **fields},
    )


async def run(box: Any, command: str, **fields: Any) -> TestReport:
    return await run_tests(box, task(box, command, **fields))


@pytest.fixture
def suite(box: Any) -> Any:
    (Path(box.spec.workdir) / "tests").mkdir()
    (Path(box.spec.workdir) / "tests" / "test_a.py").write_text(TESTS)
    return box


async def test_pytest_is_read_by_node_id(suite: Any) -> None:
    report = await run(suite, PYTEST)
    assert dict(report.tests) == {
        "tests/test_a.py::test_plain[1]": "passed",
        "tests/test_a.py::test_plain[2]": "failed",
        "tests/test_a.py::TestGroup::test_inside": "passed",
        "tests/test_a.py::CaseTest::test_case": "failed",
        "tests/test_a.py::test_skipped": "skipped",
        "tests/test_a.py::test_error": "error",
    }
    assert (report.status, report.exit_code) == ("failed", 1)
    assert "2 failed" in report.output


async def test_options_of_the_user_stay_in_force(suite: Any) -> None:
    report = await run(suite, f"{PYTEST} -k plain", env={"PYTEST_ADDOPTS": "--deselect tests/test_a.py::test_plain[2]"})
    assert dict(report.tests) == {"tests/test_a.py::test_plain[1]": "passed"}
    assert report.status == "passed"


async def test_nothing_is_left_in_the_tree(suite: Any) -> None:
    before = sorted(Path(suite.spec.workdir).iterdir())
    await run(suite, f"{PYTEST} -p no:cacheprovider")
    assert sorted(Path(suite.spec.workdir).iterdir()) == before


async def test_a_file_that_cannot_be_collected_is_an_error(suite: Any) -> None:
    (Path(suite.spec.workdir) / "tests" / "test_b.py").write_text("import nosuch\n")
    report = await run(suite, f"{PYTEST} --continue-on-collection-errors -k 'plain or b'")
    assert report.tests["tests.test_b"] == "error"


async def test_unittest_is_read_from_its_text(suite: Any) -> None:
    path = Path(suite.spec.workdir) / "test_u.py"
    path.write_text(
        "import unittest\nclass T(unittest.TestCase):\n"
        "    def test_ok(self):\n        '''Says what.'''\n"
        "    def test_noisy(self): print('noise ...')\n"
        "    def test_bad(self): self.fail()\n"
        "    def test_worse(self): 1 / 0\n"
        "    @unittest.skip('later')\n    def test_later(self): pass\n"
        "    @unittest.expectedFailure\n    def test_known(self): self.fail()\n"
        "    @unittest.expectedFailure\n    def test_wonder(self): pass\n"
        "    def test_sub(self):\n        with self.subTest(i=1): self.fail()\n"
    )
    report = await run(suite, f"{sys.executable} -m unittest test_u")
    outcomes = {name.rsplit("_", 1)[1]: outcome for name, outcome in report.tests.items()}
    assert outcomes == {
        "ok": "passed", "noisy": "passed", "bad": "failed", "worse": "error",
        "later": "skipped", "known": "skipped", "wonder": "failed", "sub": "failed",
    }  # fmt: skip
    assert "test_u.T.test_ok" in report.tests


def test_ids_of_older_pythons_are_completed() -> None:
    text = "test_a (pkg.tests.T) ... ok\ntest_b (pkg.tests.T) ... FAIL\n\nFAIL: test_b (pkg.tests.T)\n\n"
    text += "Ran 2 tests in 0.1s\n"
    assert parse_unittest(text) == {"pkg.tests.T.test_a": "passed", "pkg.tests.T.test_b": "failed"}


def test_text_of_no_test_runner_has_no_tests() -> None:
    assert parse_unittest("test_a (pkg.tests.T) ... ok\n") == {}


async def test_anything_else_is_judged_by_its_exit_code(box: Any) -> None:
    assert (await run(box, "echo fine")).status == "passed"
    report = await run(box, "echo bad; exit 3")
    assert (report.status, report.exit_code, dict(report.tests)) == ("failed", 3, {})


@pytest.mark.parametrize(
    "command", ["nosuchtool --all", "A=1 B='x y' nosuchtool", "./nosuch.sh", f"{sys.executable} -m nosuchmodule -q"]
)
async def test_a_command_that_is_not_there_is_missing(command: str, box: Any) -> None:
    assert (await run(box, command)).status == "missing"


@pytest.mark.parametrize("command", ["sh -c 'nosuchtool'", "exit 127", "python3 -c 'import nosuch'"])
async def test_a_failure_further_inside_is_no_missing_command(command: str, box: Any) -> None:
    assert (await run(box, command)).status == "failed"


async def test_a_timeout_is_said(box: Any) -> None:
    report = await run(box, "sleep 20", test_timeout_s=0.3)
    assert (report.status, report.exit_code) == ("timeout", None)


async def test_only_the_tail_of_the_output_is_kept(box: Any) -> None:
    report = await run(box, "seq 1 9999; exit 1")
    assert report.output.endswith("9999\n")
    assert len(report.output) == 8000


@pytest.mark.parametrize(
    "data",
    [b"", b"<junk", b"<testsuites/>", b"<a/>", b'<!DOCTYPE x [<!ENTITY a "b">]><testsuites/>', b"\xff\xfe"],
)
def test_what_is_no_report_has_no_tests(data: bytes) -> None:
    assert parse_junit(data) == {}


def test_the_worst_outcome_of_a_name_counts() -> None:
    case = '<testcase classname="t" name="a" file="t.py">%s</testcase>'
    data = f"<testsuites><testsuite name='p'>{case % ''}{case % '<error/>'}</testsuite></testsuites>"
    assert parse_junit(data.encode()) == {"t.py::a": "error"}


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python -m unittest", "python -m unittest -v"),
        ("python -m unittest discover -s tests", "python -m unittest discover -v -s tests"),
        ("python -m unittest -q x", "python -m unittest -q x"),
        ("python -m pytest", "python -m pytest"),
    ],
)
def test_unittest_is_asked_to_name_its_tests(command: str, shown: str) -> None:
    assert verbose(command) == shown


def test_first_words() -> None:
    assert first_word("PYTHONPATH=/x python3 -m pytest") == "python3"
    assert first_word("'unclosed") == ""
