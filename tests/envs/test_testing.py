"""Running test commands: results of pytest, unittest and anything else."""

import sys
from pathlib import Path
from typing import Any

import pytest

from envs.base import Task, TestReport
from envs.testing import OUTPUT_TAIL, first_word, run_tests, tail_of

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
        **{"test_timeout_s": 300, **fields},
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
    options = "PYTEST_ADDOPTS='--deselect tests/test_a.py::test_plain[2]'"
    report = await run(suite, f"{options} {PYTEST} -k plain")
    assert dict(report.tests) == {"tests/test_a.py::test_plain[1]": "passed"}
    assert report.status == "passed"


async def test_nothing_is_left_in_the_tree(suite: Any) -> None:
    before = sorted(Path(suite.spec.workdir).iterdir())
    await run(suite, f"{PYTEST} -p no:cacheprovider")
    assert sorted(Path(suite.spec.workdir).iterdir()) == before


async def test_a_file_that_cannot_be_collected_is_an_error_in_the_runners_words(suite: Any) -> None:
    (Path(suite.spec.workdir) / "tests" / "test_b.py").write_text("import nosuch\n")
    report = await run(suite, f"{PYTEST} --continue-on-collection-errors")
    assert report.tests["tests/test_b.py"] == "error"
    assert "No module named 'nosuch'" in report.collection_errors["tests/test_b.py"]


async def test_where_a_failing_test_is_defined_is_told(suite: Any) -> None:
    report = await run(suite, PYTEST)
    place = report.places["tests/test_a.py::CaseTest::test_case"]
    assert (place.file, "def test_case" in TESTS.splitlines()[place.line - 1]) == ("tests/test_a.py", True)
    assert report.files == ("tests/test_a.py",)


@pytest.mark.parametrize(
    "command",
    [
        f"{PYTEST} -q --junitxml=own.xml",
        f"{sys.executable} -m pytest -p no:junitxml -p no:terminal",
        f"{PYTEST} -x --maxfail=1",
        f"PYTHONPATH=. {PYTEST}",
        f"cd tests && {PYTEST}",
        "make test",
        "sh run.sh | cat >log; exit ${PIPESTATUS[0]}",
    ],
)
async def test_options_scripts_and_redirections_do_not_displace_the_results(command: str, suite: Any) -> None:
    (Path(suite.spec.workdir) / "run.sh").write_text(f"set -e\nexport PYTHONPATH=tests\n{PYTEST} -q\n")
    (Path(suite.spec.workdir) / "Makefile").write_text(f"export PYTHONPATH := src\ntest:\n\tPYTHONPATH=. {PYTEST}\n")
    report = await run(suite, command)
    assert (report.source, report.runner, report.ended) == ("recorder", "pytest", True)
    assert len(report.tests) == 6


@pytest.mark.slow
async def test_results_of_parallel_workers_are_each_told_once(suite: Any) -> None:
    report = await run(suite, f"{PYTEST} -n 2 -x")
    assert (len(report.tests), len(report.ids("passed")), report.ended) == (6, 2, True)


UNITTESTS = """
import io, os, unittest

class T(unittest.TestCase):
    def test_ok(self):
        'Says what.'
    def test_noisy(self): print("skipped this test ... Ran 2 tests in 0.1s OK")
    def test_bad(self): self.fail()
    def test_worse(self): 1 / 0
    @unittest.skip("later")
    def test_later(self): pass
    @unittest.expectedFailure
    def test_known(self): self.fail()
    @unittest.expectedFailure
    def test_wonder(self): pass
    def test_sub(self):
        with self.subTest(i=1): self.fail()
    def test_inner(self):
        unittest.TextTestRunner(stream=io.StringIO()).run(unittest.TestSuite([Inner("test_x")]))
    def test_closes(self): os.closerange(3, 256)
    def test_zz_after(self): self.fail()

class Inner(unittest.TestCase):
    def test_x(self): pass

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError
    def test_a(self): pass

class Untidy(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): raise ValueError
    def test_a(self): pass
    def test_b(self): pass

if __name__ == "__main__":
    unittest.main()
"""


@pytest.mark.parametrize(("command", "prefix"), [("-m unittest test_u", "test_u"), ("test_u.py", "__main__")])
async def test_unittest_is_recorded_and_fixtures_are_no_tests(command: str, prefix: str, box: Any) -> None:
    (Path(box.spec.workdir) / "test_u.py").write_text(UNITTESTS)
    report = await run(box, f"{sys.executable} {command}")
    outcomes = {name.removeprefix(prefix + "."): outcome for name, outcome in report.tests.items()}
    assert outcomes == {
        "T.test_ok": "passed", "T.test_noisy": "passed", "T.test_bad": "failed", "T.test_worse": "error",
        "T.test_later": "skipped", "T.test_known": "skipped", "T.test_wonder": "failed", "T.test_sub": "failed",
        "T.test_inner": "passed", "T.test_closes": "passed", "T.test_zz_after": "failed", "Inner.test_x": "passed",
        "Broken.test_a": "error", "Untidy.test_a": "passed", "Untidy.test_b": "error",
    }  # fmt: skip
    assert report.places[f"{prefix}.Broken.test_a"].file == "test_u.py"


async def test_a_module_that_unittest_cannot_import_is_no_test(box: Any) -> None:
    (Path(box.spec.workdir) / "test_u.py").write_text("import nosuch\n")
    report = await run(box, f"{sys.executable} -m unittest discover -f")
    assert dict(report.tests) == {"test_u": "error"}
    assert "No module named 'nosuch'" in report.collection_errors["test_u"]


async def test_runners_that_tests_start_do_not_report(box: Any) -> None:
    """pytest's own plugins are tested by running pytest, in the same process and in others."""
    (Path(box.spec.workdir) / "test_p.py").write_text(
        "import os, pytest, subprocess, sys\npytest_plugins = 'pytester'\n"
        "def test_inside(pytester):\n    pytester.makepyfile('def test_x(): assert 0')\n"
        "    assert pytester.runpytest_inprocess().ret == 1\n    assert pytester.runpytest_subprocess().ret == 1\n"
        "def test_environment():\n    assert 'PYTHONPATH' not in os.environ\n"
    )
    report = await run(box, PYTEST)
    assert dict(report.tests) == {"test_p.py::test_inside": "passed", "test_p.py::test_environment": "passed"}


async def test_a_run_that_breaks_off_is_told_with_the_test_it_broke_off_in(box: Any) -> None:
    (Path(box.spec.workdir) / "test_p.py").write_text("import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\n")
    report = await run(box, PYTEST)
    assert (report.status, report.ended) == ("passed", False)
    assert dict(report.tests) == {"test_p.py::test_a": "passed", "test_p.py::test_b": "error"}


async def test_the_sitecustomize_of_an_image_is_still_loaded(box: Any) -> None:
    folder = Path(box.spec.workdir) / "image"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import os\nos.environ['OF_THE_IMAGE'] = '1'\n")
    (folder.parent / "test_p.py").write_text("import os\ndef test_a(): assert os.environ['OF_THE_IMAGE']\n")
    report = await run(box, f"PYTHONPATH={folder} {PYTEST}")
    assert dict(report.tests) == {"test_p.py::test_a": "passed"}


async def test_ids_with_addresses_are_the_same_every_time(box: Any) -> None:
    (Path(box.spec.workdir) / "test_p.py").write_text(
        "import pytest\n@pytest.mark.parametrize('f', [lambda: 1], ids=repr)\ndef test_a(f): pass\n"
    )
    assert (await run(box, PYTEST)).tests == (await run(box, PYTEST)).tests


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


def test_first_words() -> None:
    assert first_word("PYTHONPATH=/x python3 -m pytest") == "python3"
    assert first_word("'unclosed") == ""


def test_what_failing_tests_print_is_not_pushed_out_by_tests_that_pass() -> None:
    """`pytest -rA`, the command of SWE-bench's rows, prints passing tests after the failures."""
    passes = "=== PASSES ===\n" + "___ test_ok ___\nprinted\n" * 900
    heading, end = "=== short test summary info ===\n", "FAILED t.py::test_x\n=== 1 failed ===\n"
    failures = "=== FAILURES ===\n___ test_x ___\nE       assert 1 == 2\n"
    text = tail_of(failures + passes + heading + "PASSED t.py::test_ok\n" * 900 + end)
    assert text == failures + heading + end
    assert tail_of(failures) == failures
    assert len(tail_of("x" * 100_000 + "\n" + passes)) == OUTPUT_TAIL
    assert len(tail_of("=" * 1_000_000)) == OUTPUT_TAIL
