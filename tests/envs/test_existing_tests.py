"""Which existing tests concern a change, how a project runs them, and what a row may tell of that."""

import json
from typing import Any

import pytest
from swebench_shop import make_row

from core.diff import parse_diff
from envs.existing_tests import Change, TestRunner, change_of, concerned, detect_runner, runner_of_command
from envs.swebench.rows import make_instance
from envs.swebench.visible import visible_runner


class PaperTree:
    """A tree on paper: path -> text."""

    def __init__(self, **files: str) -> None:
        self.texts = {path.replace("__", "/"): text for path, text in files.items()}

    @property
    def files(self) -> list[str]:
        return list(self.texts)

    async def read(self, path: str) -> str:
        return self.texts.get(path, "")

    async def users(self, words: Any) -> dict[str, list[str]]:
        return {word: [path for path, text in self.texts.items() if word in text] for word in words}


def tree(files: dict[str, str]) -> PaperTree:
    found = PaperTree()
    found.texts = files
    return found


FIX = b"""diff --git a/shop/cart.py b/shop/cart.py
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -1,4 +1,4 @@ def grand_total(items):
     total = 0
-    return total
+    return sum(items)
 # that is all
 def other():
"""


def test_a_change_is_its_files_and_the_functions_around_its_lines() -> None:
    change = change_of([parse_diff(FIX), parse_diff(FIX)])
    assert (change.sources, change.tests, change.words) == ({"shop/cart.py": 2}, {}, ("grand_total",))


async def test_tests_concern_a_change_by_name_by_use_and_by_directory() -> None:
    found = tree(
        {
            "shop/cart.py": "",
            "tests/test_cart.py": "",
            "tests/test_sums.py": "from shop.cart import grand_total",
            "tests/test_mail.py": "import smtplib",
            "tests/conftest.py": "grand_total",
        }
    )
    change = Change(sources={"shop/cart.py": 1}, words=("grand_total",))
    assert await concerned(found, change) == ["tests/test_sums.py", "tests/test_cart.py"]


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]", "tests/test_a.py": ""}, "pytest"),
        ({"tests/test_a.py": "def test_a(): pass"}, "pytest"),
        ({"tests/test_a.py": "import unittest\nclass A(unittest.TestCase): pass"}, "unittest"),
        ({"tests/runtests.py": "", "django/__init__.py": ""}, "django"),
        ({"bin/test": "", "sympy/__init__.py": ""}, "sympy"),
        ({"package.json": json.dumps({"scripts": {"test": "jest --ci"}})}, "jest"),
        ({"package.json": json.dumps({"scripts": {"test": "node run.js"}})}, "npm"),
        ({"go.mod": ""}, "go"),
        ({"Cargo.toml": ""}, "cargo"),
        ({"setup.py": ""}, None),
    ],
)
async def test_a_project_says_by_its_files_how_it_runs_tests(files: dict[str, str], kind: str | None) -> None:
    found = await detect_runner(tree(files))
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("kind", "command", "file", "whole"),
    [
        ("pytest", "pytest -q", "tests/test_a.py", "pytest -q tests/test_a.py"),
        ("django", "./tests/runtests.py", "tests/admin/tests.py", "./tests/runtests.py admin.tests"),
        ("unittest", "python3 -m unittest -v", "tests/test_a.py", "python3 -m unittest -v tests.test_a"),
        ("go", "go test", "cart/cart_test.go", "go test ./cart"),
        ("cargo", "cargo test", "tests/cart.rs", "cargo test --test cart"),
        ("npm", "npm test", "a.test.js", "npm test -- a.test.js"),
        ("command", "make check", "tests/test_a.py", "make check"),
    ],
)
def test_chosen_files_are_run_as_the_runner_takes_them(kind: Any, command: str, file: str, whole: str) -> None:
    assert TestRunner(kind=kind, command=command).on([file]) == whole


@pytest.mark.parametrize(
    ("command", "alone"),
    [
        ("python3 -m pytest -q", "python3 -m pytest -q test_x.py"),
        ("PYTHONPATH=/x pytest tests -n 2 tests/unit", "PYTHONPATH=/x pytest -n 2 test_x.py"),
        ("python3 -m unittest discover -q", "python3 -m unittest -v test_x"),
        ("python3 -m unittest discover -s tests", "python3 -m unittest discover -s tests"),
        ("pytest -q && ruff check", "pytest -q && ruff check"),
        ("make check", "make check"),
    ],
)
def test_a_plain_test_command_is_narrowed_to_single_files(command: str, alone: str) -> None:
    assert runner_of_command(command).on(["test_x.py"]) == alone


HIDDEN = "tests/secret/test_hidden.py"
HIDDEN_PATCH = f"""diff --git a/{HIDDEN} b/{HIDDEN}
new file mode 100644
--- /dev/null
+++ b/{HIDDEN}
@@ -0,0 +1 @@
+def test_hidden_name(): pass
"""
SCRIPT = """#!/bin/bash
: '>>>>> Start Test Output'
{}
: '>>>>> End Test Output'
"""


@pytest.mark.parametrize(
    ("command", "seen"),
    [
        (f"pytest -rA {HIDDEN}", "pytest -rA"),
        (f"pytest -rA {HIDDEN}::test_hidden_name", "pytest -rA"),
        ("pytest -rA -k test_hidden_name", "pytest -rA"),
        (f"pytest --no-header tests/other.py --deselect {HIDDEN}", "pytest --no-header"),
        ("pytest -rA tests/secret", "pytest -rA"),
        (
            "./tests/runtests.py --settings=test_sqlite --parallel 1 secret.test_hidden",
            "./tests/runtests.py --settings=test_sqlite --parallel 1",
        ),
        (
            f"PYTHONWARNINGS='ignore::UserWarning' bin/test -C {HIDDEN}",
            "PYTHONWARNINGS=ignore::UserWarning bin/test -C",
        ),
        (f"tox -epy39 -- {HIDDEN}", None),
        ("make check", None),
    ],
)
@pytest.mark.parametrize("scripted", [False, True])
def test_no_hidden_name_is_in_what_a_row_tells_of_its_runner(command: str, seen: str | None, scripted: bool) -> None:
    row = make_row("0" * 40, test_cmd=command, test_patch=HIDDEN_PATCH, test_files=[HIDDEN])
    row |= {"FAIL_TO_PASS": [f"{HIDDEN}::test_hidden_name"], "PASS_TO_PASS": [f"{HIDDEN}::test_hidden_kept[1]"]}
    row |= {"test_cmd": "", "eval_script": SCRIPT.format(command)} if scripted else {}
    found = visible_runner(make_instance(row))
    assert (found.command if found else None) == seen
    assert "hidden" not in str(found) and "secret" not in str(found)
