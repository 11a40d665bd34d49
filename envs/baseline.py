"""Run the tests on the unpatched tree and decide whether the task is worth playing."""

import difflib
import re
from collections.abc import Iterable

from envs.base import Env, Task, TestOutcome, TestReport
from envs.bench import Bench, VerifyRules
from envs.errors import BaselineUnusable, TestCommandMissing
from envs.machine import prepared
from envs.testing import run_tests
from envs.worktree import renew_history

_LAST_WORDS = 1500
_UNLOADED = "tests cannot be loaded on the untouched tree"
_PYTEST_ENDS = {
    2: "pytest was interrupted",
    3: "pytest failed internally",
    4: "wrong arguments for pytest",
    5: "pytest found no tests",
}
_NEVER_RAN = re.compile(
    r"^(?:\S*sh: .*(?:not found|No such file|Permission denied).*|Can't open perl script.*|ruby: No such file.*"
    r"|make(?:\[\d+\])?: (?:\S+: (?:No such file or directory|Permission denied)|\*\*\* No (?:rule|targets)).*"
    r"|\S*python[\d.]*: (?:No module named|can't open file).*|npm (?:error|ERR!) [Mm]issing script.*"
    r"|.*Error: no test specified.*|.*No tests? (?:files )?found.*"
    r"|go: .*(?:matched no packages|no packages to test|go\.mod file not found|cannot find main module).*"
    r"|error: (?:could not find `Cargo\.toml`|no such (?:sub)?command|no test target named).*)$",
    re.MULTILINE,
)
"""What shells and runners print when a command, a script or a test does not exist."""

_NOT_LOADED = re.compile(
    r"^(?:(?:E +)?(?:ModuleNotFoundError|ImportError|SyntaxError|IndentationError)\b.*|\s*Error: Cannot find module .*"
    r"|FAIL\s+\S+ \[(?:setup|build) failed\]|error: could not compile .*)$",
    re.MULTILINE,
)
"""What runners print when tests cannot be loaded: a broken set-up, or tests for code yet to be written."""

_NONE_RAN = re.compile(r"^(?:Ran 0 tests in|# tests 0$|running 0 tests$)", re.MULTILINE)


async def baseline(env: Env, task: Task, bench: Bench) -> TestReport:
    """Run the test command on the unpatched tree in a fresh sandbox.

    Args:
        env: env that prepares the sandbox.
        task: the task, with its test command.
        bench: backend, limits and verification rules.

    Returns:
        The report; a test whose outcome differs between repeats counts as skipped.

    Raises:
        TestCommandMissing: the sandbox does not find the command, or the task has none.
        BaselineUnusable: no tests ran, or they ran in a way that says nothing about a patch.
        SetupFailed, SandboxError
    """
    if not task.test_command:
        raise TestCommandMissing(f"task {task.id} has no test command")
    reports = await run_base(env, task, bench, times=bench.rules.repeats)
    if reports[0].status == "missing":
        raise TestCommandMissing(
            f"the test command is missing in the sandbox: {task.test_command} ({_words(reports[0].output)})"
        )
    report = without_flaky(reports)
    if problem := setup_problem(report, task, bench.rules):
        raise BaselineUnusable(problem)
    return report


async def run_base(env: Env, task: Task, bench: Bench, *, times: int = 1) -> list[TestReport]:
    """Run the test command on the unpatched tree, in one fresh sandbox.

    Args:
        env: env that prepares the sandbox.
        task: the task, with its test command.
        bench: backend, limits and verification rules.
        times: number of runs.

    Returns:
        One report per run.

    Raises:
        SetupFailed, SandboxError
    """
    async with prepared(env, task, bench.backend, bench.spec(task)) as sandbox:
        await renew_history(sandbox, task.workdir)
        return [await run_tests(sandbox, task) for _ in range(times)]


def setup_problem(report: TestReport, task: Task, rules: VerifyRules) -> str | None:
    """Explain why a run on the base cannot serve to judge patches.

    Args:
        report: result of the run on the base.
        task: the task, for its time limit.
        rules: verification rules.

    Returns:
        The problem in one line, or None if the run is usable.
    """
    allowed = rules.allow_collection_errors
    go_on = "; --allow-collection-errors continues anyway"
    if report.status == "timeout" and not allowed:
        return (
            f"the tests do not finish within {task.test_timeout_s:g} s on the untouched tree: run fewer of them{go_on}"
        )
    if report.status in ("oom", "indeterminate"):
        what = "ran out of memory" if report.status == "oom" else "ended without a known result"
        return f"the tests {what} on the untouched tree: {_words(report.output)}"
    if report.collection_errors and not allowed:
        name, words = next(iter(report.collection_errors.items()))
        more = f" and {len(report.collection_errors) - 1} more" if len(report.collection_errors) > 1 else ""
        return f"{_UNLOADED}: {name}{more} ({_words(words)}){go_on}"
    if report.tests:
        return _unknown(rules.must_pass, report)
    if report.status == "passed" and not _NONE_RAN.search(report.output):
        return None
    return _no_tests(report, allowed, go_on)


def _no_tests(report: TestReport, allowed: bool, go_on: str) -> str | None:
    """Why the command ran no tests, as far as its last output tells."""
    if report.status == "timeout":
        return None
    if said := list(_NOT_LOADED.finditer(report.output)):
        return None if allowed else f"{_UNLOADED}: {said[-1][0].strip()[:300]}{go_on}"
    start = "no tests ran on the untouched tree: "
    if report.runner or _NONE_RAN.search(report.output):
        how = _PYTEST_ENDS.get(report.exit_code or 0) if report.runner == "pytest" else None
        return f"{start}{how + ': ' if how else ''}{_words(report.output)}"
    if said := list(_NEVER_RAN.finditer(report.output[-_LAST_WORDS:])):
        return start + said[-1][0].strip()[:300]
    return start + _words(report.output) if report.exit_code in (126, 127) else None


def _unknown(must_pass: Iterable[str], report: TestReport) -> str | None:
    for wanted in must_pass:
        if not any(names(wanted, test) for test in report.tests) and not report.collection_errors:
            near = difflib.get_close_matches(wanted, list(report.tests)[:20_000], n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"--must-pass {wanted}: the test command runs no such test{hint}"
    return None


def names(wanted: str, test: str) -> bool:
    """Whether an id names a test: the test itself, or its function, class, file or module."""
    return test == wanted or test.startswith((f"{wanted}[", f"{wanted}::" if "::" in test else f"{wanted}."))


def _words(text: str) -> str:
    """The end of the runner's output, on one line."""
    lines = [line.strip() for line in text.strip().splitlines() if re.search(r"\w", line)]
    telling = [line for line in lines if re.match(r"(E  |ERROR|Error|error|\w*Error\b|npm |Ran 0 )|.*: error: ", line)]
    telling = [line for line in telling if not re.match(r"E\s+See http", line)] or telling
    return (telling or lines or ["it printed nothing"])[-1][:300]


def without_flaky(reports: list[TestReport]) -> TestReport:
    """The first report, with tests whose outcome varies set to `skipped`, so that they do not count."""
    first = reports[0]
    tests: dict[str, TestOutcome] = dict(first.tests)
    for other in reports[1:]:
        for test in set(tests) | set(other.tests):
            if tests.get(test) != other.tests.get(test):
                tests[test] = "skipped"
    return first.model_copy(update={"tests": tests})
