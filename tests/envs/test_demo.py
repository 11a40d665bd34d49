"""Every built-in task fails as it is, is fixed by its gold patch, and cannot be solved by overfitting."""

import ast
import sys
from importlib.resources import files
from typing import Any

import pytest

from envs.base import Patch, Task
from envs.demo import DemoEnv
from envs.errors import TaskError
from envs.patches import check_patch
from envs.verify import Bench, baseline, verify
from sandbox.errors import SandboxLost

pytestmark = pytest.mark.slow

TASKS = files("envs.demo") / "tasks"
IDS = sorted(entry.name for entry in TASKS.iterdir())
OVERFIT = [name for name in IDS if (TASKS / name / "hidden" / "overfit.patch").is_file()]


@pytest.fixture
def env(workdir: str) -> DemoEnv:
    return DemoEnv(workdir=workdir, test_command=f"{sys.executable} -m pytest -q", toolbox=False)


def task(env: DemoEnv, name: str) -> Task:
    return next(task for task in env.tasks() if task.id == name)


def hidden(name: str, patch: str) -> Patch:
    return Patch((TASKS / name / "hidden" / f"{patch}.patch").read_bytes())


def test_there_are_tasks_of_every_kind() -> None:
    kinds = [DemoEnv().about(name).edits for name in IDS]
    assert len(IDS) >= 16
    assert (kinds.count("one") >= 9, kinds.count("two") >= 4, kinds.count("many") >= 3) == (True,) * 3
    assert len(OVERFIT) >= 4


@pytest.mark.parametrize("name", IDS)
async def test_some_visible_tests_fail_and_the_gold_patch_passes_all(name: str, env: DemoEnv, backend: Any) -> None:
    report = await baseline(env, task(env, name), Bench(backend=backend))
    assert report.ids("failed")
    assert report.ids("passed")
    check_patch(hidden(name, "gold").data)
    grade = await env.grade(task(env, name), hidden(name, "gold"), backend)
    assert grade is not None
    assert (grade.outcome, "all" in grade.reason) == ("pass", True), grade.reason


@pytest.mark.parametrize("name", OVERFIT)
async def test_an_overfit_passes_the_visible_tests_and_fails_the_hidden(name: str, env: DemoEnv, backend: Any) -> None:
    patch = hidden(name, "overfit")
    found = await verify(env, task(env, name), patch, Bench(backend=backend))
    assert found.verdict == "verified"
    grade = await env.grade(task(env, name), patch, backend)
    assert grade is not None
    assert grade.outcome == "fail"


async def test_the_empty_patch_and_a_bad_one_fail(env: DemoEnv, backend: Any) -> None:
    for data in (b"", b"junk\n", hidden("roman", "gold").data):
        grade = await env.grade(task(env, "csv"), Patch(data), backend)
        assert grade is not None
        assert grade.outcome == "fail"


async def test_an_exit_in_the_source_fails(env: DemoEnv, backend: Any) -> None:
    data = (
        b"diff --git a/numerals/__init__.py b/numerals/__init__.py\n--- a/numerals/__init__.py\n"
        b'+++ b/numerals/__init__.py\n@@ -1 +1,2 @@\n """Roman numerals."""\n+import os; os._exit(0)\n'
    )
    grade = await env.grade(task(env, "roman"), Patch(data), backend)
    assert grade is not None
    assert (grade.outcome, "did not run" in grade.reason) == ("fail", True)


async def test_a_broken_sandbox_is_neither_pass_nor_fail(env: DemoEnv, backend: Any) -> None:
    async def lost(*_: Any) -> Any:
        raise SandboxLost("gone")

    backend.start = lost
    grade = await env.grade(task(env, "csv"), hidden("csv", "gold"), backend)
    assert grade is not None
    assert grade.outcome == "invalid"


def test_nothing_hidden_is_in_a_task() -> None:
    for entry in DemoEnv().tasks():
        text = entry.model_dump_json()
        for path in (TASKS / entry.id / "hidden" / "tests").iterdir():
            names = [node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)]
            assert not any(name in text for name in names)
        assert "gold" not in text
        assert "hidden" not in text


async def test_nothing_hidden_is_in_the_sandbox(env: DemoEnv, backend: Any, workdir: str) -> None:
    from envs.machine import prepared, spec_for

    async with prepared(env, task(env, "csv"), backend, spec_for(task(env, "csv"))) as sandbox:
        found = await sandbox.exec(
            "find . -path ./.git -prune -o -type f -print | sort; git log --oneline | wc -l", timeout=60
        )
    assert "hidden" not in found.text()
    assert "gold" not in found.text()
    assert found.text().strip().endswith("1")


def test_commits_are_the_same_every_time() -> None:
    assert [task.base_commit for task in DemoEnv().tasks()] == [task.base_commit for task in DemoEnv().tasks()]
    assert DemoEnv(only=["roman"]).tasks()[0].base_commit == "59191dd8d62c19bf448dfa8e421daaab8aa7fda0"


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(TaskError, match="no built-in task nosuch; known: bucket"):
        DemoEnv(only=["nosuch"])
