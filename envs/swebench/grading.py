"""Our own grader: a patch and the hidden tests of an instance in a fresh sandbox, judged test by test.

Changes of the patch to tests and to what steers test runners are undone before the test patch goes in. A patch that
passes is run a second time, in another sandbox, with sentinel tests: code under test can print what it likes.
"""

import secrets
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from envs.base import Grade, Patch, Task, TestOutcome, TestReport
from envs.bounded import check_untrusted
from envs.errors import PatchRejected, SetupFailed
from envs.machine import spec_for
from envs.sentinel import Sentinel, forged, lost, planted
from envs.swebench.logs import find, parse_sympy
from envs.swebench.plan import Plan, make_plan
from envs.swebench.planting import make_sentinels, normal_ids
from envs.swebench.rows import Instance
from envs.testing import OUTPUT_TAIL
from envs.verify import apply_candidate
from envs.worktree import apply_patch, describe, restore_files, scratch_path
from sandbox.base import ExecResult, Sandbox, SandboxBackend, SandboxLimits
from sandbox.errors import FileAccessError, SandboxError

_ASSET_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where grading runs: sandboxes of a backend, each prepared before the patch goes in."""

    backend: SandboxBackend
    limits: SandboxLimits
    prepare: Callable[[Task, Sandbox], Awaitable[None]]

    @asynccontextmanager
    async def sandbox(self, task: Task) -> AsyncIterator[Sandbox]:
        """A fresh one; closed at the end."""
        sandbox = await self.backend.start(spec_for(task, {"rollout": "grading"}, self.limits))
        try:
            await self.prepare(task, sandbox)
            yield sandbox
        finally:
            await sandbox.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every run for one grade needs."""

    task: Task
    instance: Instance
    plan: Plan
    place: Place


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the tests. `problem` says why there was none; `result.stdout` is all that was printed."""

    tests: dict[str, TestOutcome]
    result: ExecResult | None = None
    problem: str = ""
    sentinels: tuple[Sentinel, ...] = ()
    undone: tuple[str, ...] = ()


async def grade_here(task: Task, instance: Instance, patch: Patch, place: Place) -> Grade:
    """Grade one patch; `invalid` when the infrastructure failed.

    Raises:
        TaskError: the row has nothing that can be run or read here.
    """
    bench = Bench(task=task, instance=instance, plan=make_plan(instance), place=place)
    if not patch:
        return Grade(task_id=task.id, outcome="fail", reason="no patch")
    try:
        await check_untrusted(patch.data)
    except PatchRejected as error:
        return Grade(task_id=task.id, outcome="fail", reason=f"the patch breaks the rules: {error}")
    try:
        run = await _run(bench, patch)
        grade = _judge(bench, run)
        if grade.outcome == "pass":
            grade = await _confirm(bench, patch, grade)
    except (SandboxError, SetupFailed) as error:
        return Grade(task_id=task.id, outcome="invalid", reason=str(error))
    if run.undone:
        reason = f"{grade.reason}; without the patch's changes to what tests: {', '.join(run.undone[:5])}"
        grade = grade.model_copy(update={"reason": reason})
    return grade


async def _run(bench: Bench, patch: Patch, *, plant: bool = False) -> Run:
    """Apply, put the test files in place, and run, in a sandbox of its own."""
    plan, task = bench.plan, bench.task
    async with bench.place.sandbox(task) as sandbox:
        undone: tuple[str, ...] = ()
        if patch:
            command = " ".join(plan.commands)
            undone, problem = await apply_candidate(sandbox, task, patch, command, plan.test_files, commit="HEAD")
            if problem:
                return Run({}, problem=problem, undone=undone)
        try:
            await _put_tests(sandbox, bench)
        except SetupFailed as error:
            if patch and await _tests_fit(bench):
                return Run({}, problem=f"the patch is in the way of the hidden tests: {error}", undone=undone)
            raise
        sentinels: list[Sentinel] = []
        copies: dict[str, str] = {}
        if plant:
            sentinels = make_sentinels(plan.test_files, functions=plan.parser is parse_sympy)
            copies = await _prepare_copies(sandbox, task.workdir, sentinels)
        if plan.before:
            await _take_tests_away(sandbox, bench)
            copies |= await _assets(sandbox, bench)
        nonce = secrets.token_hex(8)
        script = scratch_path(".sh")
        await sandbox.write_file(script, plan.script(task.workdir, copies, nonce).encode())
        result = await sandbox.exec(f"bash {script}", timeout=task.test_timeout_s, cwd=task.workdir, merge_stderr=True)
        await sandbox.kill_all()
    tests = plan.read(result.text(), nonce) if result.status == "exited" else {}
    return Run(tests, result, sentinels=tuple(one for one in sentinels if one.file in copies), undone=undone)


async def _put_tests(sandbox: Sandbox, bench: Bench) -> None:
    """The test files as the test patch makes them.

    Raises:
        SetupFailed: the row's test patch does not apply.
    """
    await _take_tests_away(sandbox, bench)
    workdir, instance = bench.task.workdir, bench.instance
    if instance.test_patch:
        problem = await apply_patch(sandbox, workdir, Patch(instance.test_patch.encode()))
        if problem:
            raise SetupFailed(f"the test patch of {instance.id} does not apply to the image's tree: {problem}")
    for path, source in instance.assets.items():
        await sandbox.write_file(f"{workdir}/{path}", source.read_bytes()[:_ASSET_BYTES])


async def _tests_fit(bench: Bench) -> bool:
    """Whether the test files can be put into the untouched tree."""
    async with bench.place.sandbox(bench.task) as sandbox:
        try:
            await _put_tests(sandbox, bench)
        except SetupFailed:
            return False
    return True


async def _take_tests_away(sandbox: Sandbox, bench: Bench) -> None:
    """The test files as the base has them; an evaluation script applies the test patch itself."""
    plan = bench.plan
    there = await sandbox.exec(
        "git ls-files -z -- " + " ".join(map(shlex.quote, plan.restore)) if plan.restore else ":",
        timeout=60,
        cwd=bench.task.workdir,
    )
    known = [path for path in there.stdout.decode("utf-8", "replace").split("\0") if path in plan.restore]
    gone = sorted(set(plan.restore) - set(known))
    failure = await restore_files(sandbox, bench.task.workdir, "HEAD", known, (*plan.added, *gone))
    if failure:
        raise SetupFailed(f"the test files of {bench.instance.id} could not be put in place: {failure}")


async def _prepare_copies(sandbox: Sandbox, workdir: str, sentinels: Sequence[Sentinel]) -> dict[str, str]:
    """Write test files with sentinels in them aside; those that are not there are left out."""
    copies: dict[str, str] = {}
    for sentinel in sentinels:
        try:
            source = await sandbox.read_file(f"{workdir}/{sentinel.file}", max_bytes=8 << 20)
        except FileAccessError:
            continue
        copies[sentinel.file] = scratch_path(".py")
        await sandbox.write_file(copies[sentinel.file], planted(source, sentinel))
    return copies


async def _assets(sandbox: Sandbox, bench: Bench) -> dict[str, str]:
    """Binary test files, written aside for a script that puts the test files in place itself."""
    copies = {path: scratch_path() for path in bench.instance.assets}
    for path, place in copies.items():
        await sandbox.write_file(place, bench.instance.assets[path].read_bytes()[:_ASSET_BYTES])
    return copies


def _judge(bench: Bench, run: Run) -> Grade:
    """A grade by the expected tests alone."""
    result, task_id = run.result, bench.task.id
    if result is None:
        return Grade(task_id=task_id, outcome="fail", reason=run.problem)
    report = _report(bench, run, result)
    outcome: Literal["pass", "fail", "invalid"] = "fail"
    failing = failing_tests(bench.instance, run.tests)
    if result.status in ("indeterminate", "oom"):
        outcome = "invalid"
        reason = "the tests ran out of memory" if result.status == "oom" else "the end of the tests was not seen"
    elif result.status == "timeout":
        reason = f"the tests did not end within {bench.task.test_timeout_s:g} s"
    elif result.stdout_total > len(result.stdout):
        reason = f"the tests printed {result.stdout_total} bytes, more than can be read"
    elif not run.tests:
        reason = f"no test results came out of the test command: {describe(result)}"
    elif failing:
        expected = len(bench.instance.fail_to_pass) + len(bench.instance.pass_to_pass)
        reason = f"{len(failing)} of {expected} expected tests do not pass: {', '.join(failing[:3])}"
    elif result.exit_code != 0 and not {"failed", "error"} & set(run.tests.values()):
        reason = f"the test command ended with exit code {result.exit_code} although it reported no failure"
    else:
        expected = len(bench.instance.fail_to_pass) + len(bench.instance.pass_to_pass)
        outcome, reason = "pass", f"all {expected} expected tests pass"
    return Grade(task_id=task_id, outcome=outcome, reason=reason, report=report)


def failing_tests(instance: Instance, tests: dict[str, TestOutcome]) -> list[str]:
    """Expected tests that do not pass. A skip fixes nothing, and breaks nothing that passed before."""
    fixed = [test for test in instance.fail_to_pass if find(test, tests) != "passed"]
    return fixed + [test for test in instance.pass_to_pass if find(test, tests) not in ("passed", "skipped")]


def _report(bench: Bench, run: Run, result: ExecResult) -> TestReport:
    """What came out for the expected tests, under their own ids; those that were not reported are missing."""
    expected = (*bench.instance.fail_to_pass, *bench.instance.pass_to_pass)
    found = {test: find(test, run.tests) for test in expected}
    tests = {test: outcome for test, outcome in found.items() if outcome is not None}
    status: str = result.status
    if status == "exited":
        status = "passed" if result.exit_code == 0 else "failed"
    return TestReport.model_validate(
        {
            "command": " && ".join(bench.plan.commands),
            "status": status,
            "exit_code": result.exit_code,
            "tests": tests,
            "output": result.text()[-OUTPUT_TAIL:],
            "duration_s": round(result.duration_s, 3),
        }
    )


async def _confirm(bench: Bench, patch: Patch, grade: Grade) -> Grade:
    """Run a passing patch again with sentinels; a forged run fails."""
    run = await _run(bench, patch, plant=True)
    again = _judge(bench, run)
    if run.result is None or again.report is None or again.outcome == "invalid":
        return again
    report = again.report.model_copy(update={"tests": normal_ids(run.sentinels, run.tests)})
    if len(bench.plan.commands) > 1 and report.status == "passed":
        # The exit code is the last command's: it says nothing about a sentinel that another one ran.
        report = report.model_copy(update={"status": "failed"})
    if signs := forged(run.sentinels, report):
        return grade.model_copy(update={"outcome": "fail", "reason": f"the test results are forged: {signs}"})
    gone = lost(run.sentinels, report)
    if gone and await _seen_on_base(bench, gone):
        reason = f"the test results are forged: planted tests were not reported in {gone[0].file}"
        return grade.model_copy(update={"outcome": "fail", "reason": reason})
    if failing := failing_tests(bench.instance, run.tests):
        reason = f"a second run gave other results: {', '.join(failing[:3])}"
        return grade.model_copy(update={"outcome": "fail", "reason": reason})
    if not run.sentinels or len(gone) == len(run.sentinels):
        return grade.model_copy(update={"reason": f"{grade.reason} (no sentinel tests: the command does not run them)"})
    return grade


async def _seen_on_base(bench: Bench, gone: Sequence[Sentinel]) -> bool:
    """True when the untouched tree does report sentinels in files where the patched one lost them."""
    control = await _run(bench, Patch(b""), plant=True)
    if control.result is None or control.result.status != "exited":
        raise SetupFailed(f"the tests of {bench.instance.id} do not run on the untouched tree")
    report = TestReport(command="", status="failed", tests=normal_ids(control.sentinels, control.tests))
    missing = {sentinel.file for sentinel in lost(control.sentinels, report)}
    return any(sentinel.file not in missing for sentinel in gone)
