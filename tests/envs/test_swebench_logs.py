"""Parsing test runners' output test by test, with the ids that SWE-bench's rows use."""

from typing import Any

import pytest

from envs.errors import TaskError
from envs.swebench.logs import PARSERS, find
from envs.swebench.plan import changed_files, make_eval_script, make_plan
from envs.swebench.rows import Instance

PYTEST = """
tests/test_a.py::test_x PASSED                                   [ 10%]
=========================== short test summary info ============================
PASSED tests/test_a.py::test_x
PASSED tests/test_a.py::test_p[a b]
PASSED tests/test_a.py::test_path[/usr/lib/x.py]
SKIPPED [2] tests/test_a.py:7: later
XFAIL tests/test_a.py::test_odd - known
XPASS tests/test_a.py::test_better
FAILED tests/test_a.py::test_y - assert 1 == 2
ERROR tests/test_b.py - ImportError: x
"""
DJANGO = """
Testing against Django installed in '/testbed/django' with 1 processes
test_one (app.tests.T.test_one) ... ok
test_two (app.tests.T.test_two)
#15789: a docstring ... ok
test_three (app.tests.T.test_three) ... skipped 'no database'
test_four (app.tests.T.test_four) ... FAIL
test_five (app.tests.T.test_five) ... ERROR
test_six (app.tests.T.test_six) ... Internal Server Error: /
ok
======================================================================
FAIL: test_four (app.tests.T.test_four)
Ran 6 tests in 0.001s
"""
SYMPY = """
sympy/core/tests/test_symbol.py[4]
test_one ok
test_two F
test_three E
test_four f
test_five ok                                                          [FAIL]
________________________________________________________________________________
"""


def test_pytest_summaries_are_read_with_ids_cut_at_the_first_space() -> None:
    tests = PARSERS["pytest"](PYTEST)
    assert tests == {
        "tests/test_a.py::test_x": "passed",
        "tests/test_a.py::test_p[a": "passed",
        "tests/test_a.py::test_path[/usr/lib/x.py]": "passed",
        "tests/test_a.py::test_odd": "passed",
        "tests/test_a.py::test_y": "failed",
        "tests/test_b.py": "error",
    }


def test_other_forms_of_pytest_ids_are_written_as_the_rows_write_them() -> None:
    assert PARSERS["sphinx"](PYTEST)["tests/test_a.py::test_p[a b]"] == "passed"
    assert PARSERS["sphinx"](PYTEST)["tests/test_a.py::test_y"] == "failed"
    assert PARSERS["requests"](PYTEST)["tests/test_a.py::test_path[/x.py]"] == "passed"
    assert PARSERS["pytest_options"]("PASSED t.py::t[http://x/y]")["t.py::t[http://x/y]"] == "passed"
    coloured = "\x1b[32mPASSED\x1b[0m tests/test_a.py::\x1b[1mtest_x\x1b[0m"
    assert PARSERS["astropy"](coloured) == {"tests/test_a.py::test_x": "passed"}


def test_django_tests_are_known_by_their_docstring_where_they_have_one() -> None:
    assert PARSERS["django"](DJANGO) == {
        "test_one (app.tests.T.test_one)": "passed",
        "#15789: a docstring": "passed",
        "test_three (app.tests.T.test_three)": "skipped",
        "test_four (app.tests.T.test_four)": "failed",
        "test_five (app.tests.T.test_five)": "error",
        "test_six (app.tests.T.test_six)": "passed",
    }


def test_sympy_tests_are_read_line_by_line() -> None:
    expected = {"test_one": "passed", "test_two": "failed", "test_three": "error", "test_five": "passed"}
    assert PARSERS["sympy"](SYMPY) == expected


def test_only_an_id_that_was_cut_in_a_parameter_is_found_by_its_beginning() -> None:
    tests: dict[str, Any] = {"t.py::t[log(a)]": "passed", "t.py::t[log(b)]": "passed", "t.py::u[x]": "failed"}
    assert find("t.py::t[log(a)]", tests) == "passed"
    assert find("t.py::t[log(", tests) == "passed"
    assert find("t.py::t", tests) is None
    assert find("t.py::t[log(", {**tests, "t.py::t[log(c)]": "failed"}) is None


def instance(**fields: Any) -> Instance:
    known = {"id": "a__b-1", "repo": "a/b", "version": "1", "base_commit": "c" * 40, "problem_statement": "x"}
    return Instance(**{**known, "fail_to_pass": ("t",), "test_command": "pytest -rA t.py", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fail_to_pass": ()}, "names no tests"),
        ({"log_parser": "karma"}, "log parser karma is not supported: use --grader official"),
        ({"eval_type": "fail_only"}, "evaluation type fail_only"),
        ({"test_command": ""}, "neither eval_script nor test_cmd"),
        ({"eval_script": "pytest"}, "does not say where its tests start"),
        ({"test_patch": "rubbish\ndiff --git\n@@"}, "test patch cannot be read"),
    ],
)
def test_a_row_that_cannot_be_graded_here_says_why(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make_plan(instance(**fields))


NEW = "diff --git a/t/new.py b/t/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/t/new.py\n@@ -0,0 +1 @@\n+x\n"
OLD = "diff --git a/t/old.py b/t/old.py\n--- a/t/old.py\n+++ b/t/old.py\n@@ -1 +1 @@\n-x\n+y\n"


def test_test_files_are_told_apart_by_whether_the_base_has_them() -> None:
    given = instance(test_patch=NEW + OLD, test_files=("t/other.py",))
    assert changed_files(given) == (("t/old.py", "t/other.py"), ("t/new.py",))


def test_an_evaluation_script_is_split_at_its_marks_and_the_tests_end_with_their_own_exit_code() -> None:
    script = "#!/bin/bash\ninstall\n: '>>>>> Start Test Output'\npytest -rA\n: '>>>>> End Test Output'\ngit checkout\n"
    plan = make_plan(instance(eval_script=script))
    assert (plan.before, plan.commands) == (("install",), ("pytest -rA",))
    text = plan.script("/testbed", {"t.py": "/tmp/x"}, "abc")
    assert text.index("install") < text.index("cp /tmp/x /testbed/t.py") < text.index("Start Test Output abc")
    assert text.endswith("HEATS_CODE=$?\necho '>>>>> End Test Output abc'\nexit $HEATS_CODE\n")


def test_only_what_stands_between_the_unguessable_marks_is_read() -> None:
    plan = make_plan(instance())
    forged = "PASSED t.py::early\n>>>>> Start Test Output\nPASSED t.py::guess\n"
    real = ">>>>> Start Test Output n1\nPASSED t.py::t\n>>>>> End Test Output n1\nPASSED t.py::late\n"
    assert plan.read(forged + real, "n1") == {"t.py::t": "passed"}
    assert plan.read(forged, "n1") == {}


def test_a_row_with_a_test_command_gets_an_evaluation_script_for_the_official_grader() -> None:
    given = instance(test_patch=NEW + OLD)
    script = make_eval_script(given, "/testbed")
    restored = f"git checkout {'c' * 40} t/old.py"
    assert script.count(restored) == 2
    assert "rm -f t/new.py" in script
    assert script.index("git apply -v -") < script.index("Start Test Output") < script.index("pytest -rA t.py")
