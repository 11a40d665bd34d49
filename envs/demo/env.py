"""The built-in tasks as an env.

Agents may see `tasks/<id>/task.yaml` and `tasks/<id>/repo/`. Only `grade` and this project's own tests read
`tasks/<id>/hidden/` (tests and gold patch), and the hidden tests enter a sandbox only after the patch.
"""

import ast
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from typing import Literal

import yaml

from core.record import Record
from core.syntax import parse_python
from envs.base import Grade, Patch, Task, TestReport
from envs.basetree import BaseTree, make_base_tree
from envs.bench import Bench
from envs.bounded import check_untrusted
from envs.chance import SourceFiles
from envs.copying import Target
from envs.errors import PatchRejected, SetupFailed, TaskError
from envs.patched import PatchedRun, run_patched
from envs.sentinel import Layout, Planting, plant
from envs.worktree import put_tree, take_patch
from sandbox.base import Sandbox, SandboxBackend
from sandbox.errors import SandboxError

TEST_COMMAND = "PYTHONPATH=/opt/heats/toolbox python3 -m pytest -q"
SAMPLE = ("bucket", "csv", "intervals", "inventory", "ledger", "lru-cache", "money", "retry")
"""A small sample for a quick look, balanced by kind like the full set: the first five, two and one task of each kind.
"""


class DemoTask(Record):
    """The contents of a `task.yaml`. `edits`: number of places the shortest fix changes; `many` needs new logic."""

    title: str
    edits: Literal["one", "two", "many"]
    issue: str


class DemoEnv:
    """All built-in tasks, or a selection.

    Args:
        image: sandbox image; it needs git and Python. If empty, the backend's default.
        workdir: directory of the tree in the sandbox.
        only: ids of the tasks to use; empty for all.
        test_command: runs the visible tests; it must run pytest.
        toolbox: the command uses the pytest that is mounted into sandboxes.

    Raises:
        TaskError: an id in `only` does not exist.
    """

    name = "demo"

    def __init__(
        self,
        *,
        image: str = "",
        workdir: str = "/testbed",
        only: Iterable[str] = (),
        test_command: str = TEST_COMMAND,
        toolbox: bool = True,
    ) -> None:
        self._folder = package_files("envs.demo") / "tasks"
        known = sorted(entry.name for entry in self._folder.iterdir() if (entry / "task.yaml").is_file())
        self._ids = tuple(only) or tuple(known)
        unknown = [task for task in self._ids if task not in known]
        if unknown:
            raise TaskError(f"no built-in task {', '.join(unknown)}; known: {', '.join(known)}")
        self._common = {"image": image, "workdir": workdir, "test_command": test_command, "toolbox": toolbox}

    @cached_property
    def _trees(self) -> Mapping[str, BaseTree]:
        return {task: make_base_tree(read_files(self._folder / task / "repo")) for task in self._ids}

    def about(self, task_id: str) -> DemoTask:
        """Title and kind of a task, for display."""
        return DemoTask.model_validate(yaml.safe_load((self._folder / task_id / "task.yaml").read_text("utf-8")))

    def tasks(self) -> Sequence[Task]:
        """The tasks, ordered by id. Commit ids are the same on every machine."""
        return tuple(
            Task(
                id=task_id,
                statement=f"{self.about(task_id).title}\n\n{self.about(task_id).issue.strip()}\n",
                base_commit=self._trees[task_id].commit,
                test_timeout_s=60.0,
                **self._common,
            )
            for task_id in self._ids
        )

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Put the task's repository into the sandbox.

        Raises:
            SetupFailed, SandboxError
        """
        await put_tree(sandbox, task.workdir, self._trees[task.id])

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Take the attempt's diff.

        Raises:
            PatchRejected, SandboxError
        """
        return await take_patch(sandbox, task.workdir, self._trees[task.id])

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Run visible and hidden tests on the patched tree in a fresh sandbox; all of them must pass.

        Args:
            task: one of this env's tasks.
            patch: the submission.
            backend: starts the sandbox used for grading.
        """
        if not patch:
            return Grade(task_id=task.id, outcome="fail", reason="no patch")
        try:
            await check_untrusted(patch.data)
        except PatchRejected as error:
            return Grade(task_id=task.id, outcome="fail", reason=f"the patch breaks the rules: {error}")
        hidden = self._hidden_tests(task.id)
        expected = {test for path, data in hidden.items() for test in names_of_tests(path, data)}
        targets = [Target((test,), (test.split("::")[0],), None, test.split("::")[1]) for test in sorted(expected)]

        async def sentinels(files: SourceFiles) -> list[Planting]:
            return [plant(hidden, targets, Layout(None, (True, False)), random.SystemRandom())]

        unknown = TestReport(command=task.test_command or "", status="indeterminate")
        bench = Bench(backend=backend)
        try:
            run = await run_patched(self, task, patch, bench, unknown, prepare=sentinels, hidden=hidden)
        except (SandboxError, SetupFailed) as error:
            return Grade(task_id=task.id, outcome="invalid", reason=str(error))
        return grade_of(task, run, expected)

    def _hidden_tests(self, task_id: str) -> dict[str, bytes]:
        return {f"tests/{path}": data for path, data in read_files(self._folder / task_id / "hidden" / "tests").items()}


def read_files(folder: Traversable) -> dict[str, bytes]:
    """All files below a folder by relative path, without Python's caches."""
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith(("__pycache__", ".")):
            found.update({f"{entry.name}/{path}": data for path, data in read_files(entry).items()})
        elif entry.is_file() and not entry.name.endswith(".pyc"):
            found[entry.name] = entry.read_bytes()
    return found


def names_of_tests(path: str, source: bytes) -> list[str]:
    """Ids, without parameters, of the test functions that a test file defines."""
    tree = parse_python(source)
    return [
        f"{path}::{node.name}" for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"
    ]


def grade_of(task: Task, run: PatchedRun, expected: Iterable[str]) -> Grade:
    """Grade a run: all expected tests must be reported, all tests must pass, and no sentinel may be missing.

    Args:
        task: the graded task.
        run: the run on the patched tree, with sentinels planted.
        expected: ids of the hidden tests, without parameters.
    """
    report = run.report
    if report is None:
        return Grade(task_id=task.id, outcome="fail", reason=run.problem)
    if report.status in ("missing", "indeterminate"):
        reason = f"the tests could not be run: {report.output.strip()[-200:] or report.status}"
        return Grade(task_id=task.id, outcome="invalid", reason=reason, report=report)
    tests, whole = report.tests, run.runs[0].tests
    seen = {test.split("[")[0] for test in tests}
    absent = sorted(set(expected) - seen)
    bad = sorted(test for test, outcome in tests.items() if outcome != "passed")
    beside = run.plantings[0].sentinels
    forged = [one for one in beside if one.must_fail and "passed" in one.outcomes(whole).values()]
    reason = ""
    if absent or not beside or not all(one.outcomes(whole) for one in beside):
        reason = f"hidden tests did not run ({report.status}): {', '.join(absent[:3]) or 'planted tests are missing'}"
    elif bad:
        reason = f"{len(bad)} of {len(tests)} tests do not pass: {', '.join(bad[:3])}"
    elif forged:
        reason = f"the test results are forged: a changed copy of {forged[0].target.ids[0]} was reported as passed"
    outcome: Literal["pass", "fail"] = "fail" if reason else "pass"
    return Grade(task_id=task.id, outcome=outcome, reason=reason or f"all {len(tests)} tests pass", report=report)
