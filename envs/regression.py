"""A project's existing tests in fresh sandboxes: selected and run on the base, then run on patched trees.

Tests that pass in two runs on the base are stable; only these are evidence about a patch.
"""

import asyncio
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from core.record import Record
from envs.base import Env, Patch, Task, TestOutcome, TestReport
from envs.base_results import BaseResult, BaseResults
from envs.baseline import without_flaky
from envs.bench import Bench
from envs.existing_tests import (
    Change,
    KnowsTestRunner,
    TestRunner,
    concerned,
    detect_runner,
    is_test_file,
    runner_of_command,
)
from envs.gitscripts import clean_script
from envs.machine import prepared, spec_for
from envs.patched import apply_candidate
from envs.testing import run_tests
from sandbox.base import Sandbox, SandboxSpec
from sandbox.errors import FileAccessError

MOST_FILES = 24
_FIRST_FILES = 4
_LEAST_S, _FACTOR = 120.0, 5
"""Time limit of a patch's run: a minimum in seconds, and a multiple of the base's duration."""
_MOST_SAID = 6
_BASE_RUNS = 2
_OUTPUT_BYTES = 16 << 20
_SYMPY_FILE = re.compile(r"^(?P<file>\S+\.py)\[\d+\]")
_SYMPY_TEST = re.compile(r"^(?P<name>test_\w+) (?:.* )?(?P<end>ok|F|E|f|s|X|w)(?:\s+\[\w+\])?$")
_SYMPY_ENDS: Mapping[str, TestOutcome] = {"ok": "passed", "F": "failed", "E": "error"}


class ExistingTests(Record):
    """The project's own tests that are run on patches.

    Attributes:
        files: test files, most relevant first; empty if none were found or none ran.
        stable: tests that pass on the base twice.
        seconds: duration of one run of all of them on the base.
        problem: why there is nothing to run.
    """

    runner: TestRunner | None = None
    files: tuple[str, ...] = ()
    stable: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: str = ""


StableOutcome = TestOutcome | Literal["missing"]


class StableRun(Record):
    """Result of the stable tests on one patch.

    Attributes:
        status: as in `TestReport.status`.
        failing: tests that do not pass; all of them, with a `problem`, if the patch does not apply.
        words: the runner's output for some of them.
    """

    status: Literal["passed", "failed", "missing", "timeout", "oom", "indeterminate"]
    problem: str = ""
    failing: Mapping[str, StableOutcome] = {}
    words: Mapping[str, str] = {}


class _SandboxTree:
    """The base tree in a prepared sandbox."""

    def __init__(self, sandbox: Sandbox, workdir: str, files: Collection[str]) -> None:
        self._sandbox, self._workdir, self.files = sandbox, workdir, files

    async def read(self, path: str) -> str:
        """See `Tree.read`."""
        try:
            data = await self._sandbox.read_file(f"{self._workdir}/{path}", max_bytes=1 << 20)
        except FileAccessError:
            return ""
        return data.decode("utf-8", "replace")

    async def users(self, words: Sequence[str]) -> Mapping[str, Collection[str]]:
        """See `Tree.users`; searches all files and leaves filtering to the caller."""
        script = 'for word; do GIT grep -I -l -z -w -F -e "$word" -- . || :; printf "\\0"; done'
        found = await self._sandbox.exec(clean_script(script, *words), timeout=120, cwd=self._workdir)
        parts = found.stdout.decode("utf-8", "replace").split("\0")
        users: dict[str, list[str]] = {word: [] for word in words}
        waiting = list(words)
        for part in parts:
            if not part and waiting:
                waiting.pop(0)
            elif part and waiting:
                users[waiting[0]].append(part)
        return users


async def choose_existing(
    env: Env,
    task: Task,
    bench: Bench,
    change: Change,
    *,
    budget_s: float,
    rest_s: float = 0.0,
    known: BaseResults | None = None,
) -> ExistingTests:
    """Find the existing tests relevant to a change, then others, and run them twice on the base.

    Args:
        env: environment of the task.
        task: the task.
        bench: where tests run.
        change: the candidates' combined changes.
        budget_s: time limit of one run of all tests in seconds; tests beyond it are dropped. With 0, only the runner is
            detected.
        rest_s: the same for the rest of the suite, which runs after the relevant tests.
        known: results of earlier runs on the same base.

    Raises:
        SetupFailed, SandboxError
    """
    async with prepared(env, task, bench.backend, _spec(task, bench)) as sandbox:
        listed = await sandbox.exec(clean_script("GIT ls-files -z"), timeout=120, cwd=task.workdir)
        tree = _SandboxTree(sandbox, task.workdir, listed.stdout.decode("utf-8", "replace").split("\0")[:-1])
        runner = env.test_runner(task) if isinstance(env, KnowsTestRunner) else None
        runner = runner or (runner_of_command(task.test_command) if task.test_command else await detect_runner(tree))
        if runner is None:
            return ExistingTests(problem="it cannot be told how this project runs its tests")
        if budget_s <= 0 or runner.kind == "command":
            return ExistingTests(
                runner=runner, problem="the runner takes no single files" if budget_s > 0 else "not asked for"
            )
        ordered = (await concerned(tree, change))[:MOST_FILES]
        others = sorted({path for path in tree.files if is_test_file(path)}.difference(ordered)) if rest_s else []
        if not ordered and not others:
            return ExistingTests(runner=runner, problem="no existing test file concerns the change")
        base = _Base(sandbox, task, runner, bench.backend.name, known)
        await base.add(ordered, budget_s)
        await base.add(others, rest_s)
        await base.together()
        return base.found()


class _Base:
    """Test files that run on the base, and their tests that pass twice."""

    def __init__(
        self, sandbox: Sandbox, task: Task, runner: TestRunner, backend: str, known: BaseResults | None
    ) -> None:
        self.sandbox, self.task, self.runner, self.backend, self.known = sandbox, task, runner, backend, known
        self.files: list[str] = []
        self.passing: set[str] = set()
        self.seconds = 0.0
        self.batches = 0

    async def add(self, ordered: Sequence[str], budget_s: float) -> None:
        """Add files as long as one run of them fits into the budget; keep the tests that pass twice."""
        spent, size = 0.0, _FIRST_FILES
        while ordered and spent < budget_s / 2:
            batch, ordered = ordered[:size], ordered[size:]
            result, lost_s = await self._twice(batch, budget_s, budget_s - spent)
            if result is not None:
                self.files += batch
                self.batches += 1
                self.passing |= set(result.passing)
                spent += result.seconds
            elif len(batch) > 1 and lost_s is not None:
                size, ordered = 1, [*batch, *ordered]
                spent += lost_s / 4
        self.seconds += spent

    async def together(self) -> None:
        """Run all files in one command, as on patches; tests that do not pass in it are no evidence.

        In other company a test may fail, and pytest names it after another directory.
        """
        if self.batches < 2:
            return
        result, _ = await self._twice(self.files, _FACTOR * self.seconds, max(_LEAST_S, _FACTOR * self.seconds))
        if result is not None:
            self.passing, self.seconds = set(result.passing), result.seconds

    async def _twice(
        self, batch: Sequence[str], budget_s: float, left_s: float
    ) -> tuple[BaseResult | None, float | None]:
        """Run files twice, unless the result is known; else the seconds lost, or None if repeating is useless."""
        command = self.runner.on(batch)
        if self.known is not None and (result := self.known.get(self.task, self.backend, command)) is not None:
            return result, None
        first = await run_existing(self.sandbox, self.task, self.runner, batch, timeout_s=left_s)
        if first.status in ("timeout", "oom", "indeterminate") or not first.tests:
            return None, None if first.status == "indeterminate" else first.duration_s
        limit = max(budget_s, 3 * first.duration_s)
        again = await run_existing(self.sandbox, self.task, self.runner, batch, timeout_s=limit)
        passing = [test for test in first.ids("passed") if again.tests.get(test) == "passed"]
        result = BaseResult(passing=tuple(passing), seconds=max(first.duration_s, again.duration_s))
        if self.known is not None and again.status in ("passed", "failed"):
            self.known.put(self.task, self.backend, command, result)
        return result, None

    def found(self) -> ExistingTests:
        """Return the files and tests found."""
        return ExistingTests(
            runner=self.runner,
            files=tuple(self.files),
            stable=tuple(sorted(self.passing)),
            seconds=round(self.seconds, 1),
            problem="" if self.passing else "no existing test that concerns the change passes on the base twice",
        )


async def run_on(
    env: Env,
    task: Task,
    patch: Patch,
    bench: Bench,
    runner: TestRunner,
    files: Sequence[str],
    *,
    written: Mapping[str, bytes] | None = None,
    timeout_s: float,
) -> tuple[TestReport | None, str]:
    """Run test files on a patched tree in a fresh sandbox without network.

    Args:
        env: environment of the task.
        task: the task.
        patch: patch to apply, with its changes to tests and their configuration reverted; empty for the base.
        bench: where tests run.
        runner: runs the test files.
        files: test files to run.
        written: content of test files added to the sandbox, by path in the working directory.
        timeout_s: time limit of the run in seconds. The base is run twice, and tests with differing outcomes are
            reported as skipped.

    Returns:
        The report; None and the reason if the patch does not apply.

    Raises:
        SetupFailed, SandboxError
    """
    async with prepared(env, task, bench.backend, _spec(task, bench)) as sandbox:
        if patch:
            command = runner.on(files)
            _, problem = await apply_candidate(sandbox, task, patch, command, set(files), commit="HEAD")
            if problem:
                return None, problem
        for path, data in (written or {}).items():
            await sandbox.write_file(f"{task.workdir}/{path}", data)
        runs = [
            await run_existing(sandbox, task, runner, files, timeout_s=timeout_s)
            for _ in range(1 if patch else _BASE_RUNS)
        ]
        return without_flaky(runs), ""


async def run_stable(env: Env, task: Task, patch: Patch, bench: Bench, existing: ExistingTests) -> StableRun:
    """Run the stable tests on a patched tree.

    A run that times out is repeated with a longer limit, since a machine may be temporarily slow.

    Args:
        env: environment of the task.
        task: the task.
        patch: the patch to test.
        bench: where tests run.
        existing: the selected tests.

    Raises:
        SetupFailed, SandboxError
    """
    runner = existing.runner
    assert runner is not None
    limit = max(_LEAST_S, _FACTOR * existing.seconds)
    report, problem = await run_on(env, task, patch, bench, runner, existing.files, timeout_s=limit)
    if report is not None and report.status in ("timeout", "oom", "indeterminate"):
        report, problem = await run_on(env, task, patch, bench, runner, existing.files, timeout_s=2 * limit)
    if report is None:
        return StableRun(status="failed", problem=problem, failing=dict.fromkeys(existing.stable, "missing"))
    outcomes: dict[str, StableOutcome] = {test: report.tests.get(test, "missing") for test in existing.stable}
    failing = {test: outcome for test, outcome in outcomes.items() if outcome != "passed"}
    return StableRun(status=report.status, failing=failing, words=first_words(report, failing))


async def run_existing(
    sandbox: Sandbox, task: Task, runner: TestRunner, files: Sequence[str], *, timeout_s: float
) -> TestReport:
    """Run test files in a prepared sandbox.

    Args:
        sandbox: the prepared sandbox.
        task: the task.
        runner: runs the test files.
        files: test files to run.
        timeout_s: time limit in seconds.

    Raises:
        SandboxError
    """
    command = runner.on([posixpath.relpath(path, task.folder) if task.folder else path for path in files])
    limited = task.model_copy(update={"test_timeout_s": max(5.0, timeout_s)})
    if runner.kind != "sympy":
        return await run_tests(sandbox, limited, command)
    result = await sandbox.exec(
        command, timeout=limited.test_timeout_s, cwd=task.runs_in, merge_stderr=True, trusted_exit=True
    )
    await sandbox.kill_all()
    tests = await asyncio.to_thread(parse_sympy_files, result.text())
    status = result.status if result.status != "exited" else "passed" if result.exit_code == 0 else "failed"
    return TestReport(
        command=command,
        status=status,
        exit_code=result.exit_code,
        tests=tests,
        output=result.text()[-8000:],
        duration_s=round(result.duration_s, 3),
        trusted=result.trusted,
    )


def first_words(
    report: TestReport, tests: Collection[str], *, chars: int = 300, most: int = _MOST_SAID
) -> dict[str, str]:
    """Extract a line or two of runner output per failing test, if present in the report's output.

    Args:
        report: the test report.
        tests: ids of the failing tests.
        chars: maximum characters per test.
        most: maximum number of tests.
    """
    lines = report.output.splitlines()
    found: dict[str, str] = {}
    for test in sorted(tests):
        plain, bracket, values = test.partition("[")
        name = re.split(r"::|\.", plain)[-1]
        said = _in_summary(lines, test)
        if not said or said.endswith("..."):  # pytest cuts its summary at the width of the terminal
            said = _in_block(lines, name + bracket + values) or _in_block(lines, name) or said
        if said.strip("."):
            found[test] = said[:chars]
        if len(found) == most:
            break
    return found


def _in_summary(lines: Sequence[str], test: str) -> str:
    """Return the reason given in pytest's short summary."""
    for line in lines:
        if line.startswith((f"FAILED {test} - ", f"ERROR {test} - ")):
            return line.partition(" - ")[2]
    return ""


def _in_block(lines: Sequence[str], name: str) -> str:
    """Return the final error of the traceback under a heading with the test's name."""
    heading = re.compile(rf"^(?:_+ .*\b{re.escape(name)}(?!\w).* _+|(?:FAIL|ERROR): {re.escape(name)} .*)$")
    start = next((place for place, line in enumerate(lines) if heading.match(line)), None)
    if start is None:
        return ""
    for line in lines[start + 1 :]:
        if re.match(r"^E  +assert\b|^(?:E  +)?[\w.]*(?:Error|Exception|Failed|Warning)\b", line):
            return line.removeprefix("E").strip()
        if re.match(r"^(?:_{5,} |={5,}|FAIL: |ERROR: )", line):
            break
    return ""


def parse_sympy_files(text: str) -> dict[str, TestOutcome]:
    """Parse SymPy's `bin/test --verbose`; ids include the test's file: `sympy/core/tests/test_a.py::test_b`."""
    tests: dict[str, TestOutcome] = {}
    file = ""
    for raw in text.split("\n"):
        line = raw.strip()
        if header := _SYMPY_FILE.match(line):
            file = header["file"]
        elif file and (ended := _SYMPY_TEST.match(line)):
            tests[f"{file}::{ended['name']}"] = _SYMPY_ENDS.get(ended["end"], "skipped")
    return tests


def _spec(task: Task, bench: Bench) -> SandboxSpec:
    """Specify a sandbox without network, regardless of the task's settings, since it runs agents' tests."""
    spec = spec_for(task, bench.labels, bench.limits)
    limits = spec.limits.model_copy(update={"output_bytes": max(spec.limits.output_bytes, _OUTPUT_BYTES)})
    return replace(spec, network="none", limits=limits)
