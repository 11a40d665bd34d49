"""Our own grader: run an instance's hidden tests on a patch in a fresh sandbox, and judge test by test.

The patch's changes to tests and to whatever steers test runners are undone before the test patch goes in. A patch that
passes runs again, in other sandboxes, with sentinel tests: code under test can print what it likes.
"""

import random
import secrets
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from envs.base import Grade, Patch, Task, TestOutcome, TestReport
from envs.bounded import Unparsable, bounded, check_untrusted
from envs.chance import SourceFiles
from envs.confirm import PlantedRun, Rounds, Subject, Trial, confirm
from envs.errors import PatchRejected, SetupFailed
from envs.gitscripts import describe, scratch_path
from envs.machine import spec_for
from envs.patched import SandboxFiles, apply_candidate
from envs.planning import Planner, copies_of_each
from envs.sentinel import Planting
from envs.swebench.foreign import read_by_program
from envs.swebench.logs import find
from envs.swebench.plan import Plan, make_plan
from envs.swebench.rows import Instance
from envs.swebench.targets import targets_for
from envs.testing import OUTPUT_TAIL
from envs.worktree import apply_patch, restore_files
from sandbox.base import ExecResult, Sandbox, SandboxBackend, SandboxLimits
from sandbox.errors import SandboxError

_ASSET_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where grading runs: sandboxes of a backend, prepared before the patch goes in."""

    backend: SandboxBackend
    limits: SandboxLimits
    prepare: Callable[[Task, Sandbox], Awaitable[None]]

    @asynccontextmanager
    async def sandbox(self, task: Task) -> AsyncIterator[Sandbox]:
        """Open a fresh sandbox; close it at the end."""
        sandbox = await self.backend.start(spec_for(task, {"rollout": "grading"}, self.limits))
        try:
            await self.prepare(task, sandbox)
            yield sandbox
        finally:
            await sandbox.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class GradingBench:
    """What every run for a grade needs."""

    task: Task
    instance: Instance
    plan: Plan
    place: Place


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the tests. `problem` says why it did not happen; `result.stdout` is its complete output."""

    tests: dict[str, TestOutcome]
    result: ExecResult | None = None
    problem: str = ""
    planting: Planting = field(default_factory=Planting)
    undone: tuple[str, ...] = ()


async def grade_here(task: Task, instance: Instance, patch: Patch, place: Place) -> Grade:
    """Grade one patch; `invalid` if the infrastructure failed.

    Args:
        task: the instance as agents know it.
        instance: the whole row, answer included.
        patch: the submission.
        place: starts and prepares sandboxes.

    Raises:
        TaskError: the row has nothing that can be run or parsed here.
    """
    bench = GradingBench(task=task, instance=instance, plan=make_plan(instance), place=place)
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
        reason = f"{grade.reason}; without the patch's changes to tests: {', '.join(run.undone[:5])}"
        grade = grade.model_copy(update={"reason": reason})
    return grade


async def _run(bench: GradingBench, patch: Patch, plant: Planner | None = None) -> Run:
    """Apply the patch, put the test files in place, and run the tests in a separate sandbox."""
    plan, task = bench.plan, bench.task
    async with bench.place.sandbox(task) as sandbox:
        undone: tuple[str, ...] = ()
        if patch:
            command = " ".join(plan.commands)
            undo, problem = await apply_candidate(sandbox, task, patch, command, plan.test_files, commit="HEAD")
            undone = undo.paths
            if problem:
                return Run({}, problem=problem, undone=undone)
        try:
            await _put_tests(sandbox, bench)
        except SetupFailed as error:
            if patch and await _tests_fit(bench):
                return Run({}, problem=f"the patch conflicts with the hidden tests: {error}", undone=undone)
            raise
        planting = await plant(SandboxFiles(sandbox, task.workdir)) if plant else Planting()
        copies = {path: scratch_path(".py") for path in planting.files}
        for path, place in copies.items():
            await sandbox.write_file(place, planting.files[path])
        if plan.before:
            await _take_tests_away(sandbox, bench)
            copies |= await _assets(sandbox, bench)
        nonce = secrets.token_hex(8)
        script = scratch_path(".sh")
        await sandbox.write_file(script, plan.script(task.workdir, copies, nonce).encode())
        if plan.program is not None and plan.program.run:
            await sandbox.write_file(plan.run_script, plan.program.run.encode())
        result = await sandbox.exec(
            f"bash {script}", timeout=task.test_timeout_s, cwd=task.workdir, merge_stderr=True, trusted_exit=True
        )
        await sandbox.kill_all()
    tests = await _read(bench, result.text(), nonce) if result.status == "exited" else {}
    return Run(tests, result, planting=planting, undone=undone)


async def _read(bench: GradingBench, text: str, nonce: str) -> dict[str, TestOutcome]:
    """Outcomes by test; empty if the output cannot be read. A data set's own program reads it in a fresh sandbox."""
    if bench.plan.program is not None:
        sandbox = await bench.place.backend.start(spec_for(bench.task, {"rollout": "grading"}, bench.place.limits))
        try:
            return await read_by_program(sandbox, bench.plan.program, *bench.plan.parts(text, nonce))
        finally:
            await sandbox.close()
    with suppress(Unparsable):
        return await bounded(bench.plan.read, text, nonce)
    return {}


async def _put_tests(sandbox: Sandbox, bench: GradingBench) -> None:
    """Put the test files in place as the test patch makes them.

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


async def _tests_fit(bench: GradingBench) -> bool:
    """Whether the test patch applies to the unpatched tree."""
    async with bench.place.sandbox(bench.task) as sandbox:
        try:
            await _put_tests(sandbox, bench)
        except SetupFailed:
            return False
    return True


async def _take_tests_away(sandbox: Sandbox, bench: GradingBench) -> None:
    """Restore the base's test files; an evaluation script applies the test patch itself."""
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


async def _assets(sandbox: Sandbox, bench: GradingBench) -> dict[str, str]:
    """Upload binary test files for scripts that put the test files in place themselves."""
    copies = {path: scratch_path() for path in bench.instance.assets}
    for path, place in copies.items():
        await sandbox.write_file(place, bench.instance.assets[path].read_bytes()[:_ASSET_BYTES])
    return copies


def _judge(bench: GradingBench, run: Run) -> Grade:
    """A grade based on the expected tests alone."""
    result, task_id = run.result, bench.task.id
    if result is None:
        return Grade(task_id=task_id, outcome="fail", reason=run.problem)
    report = _report(bench, run, result)
    outcome: Literal["pass", "fail", "invalid"] = "fail"
    failing = failing_tests(bench.instance, run.tests)
    if result.status in ("indeterminate", "oom"):
        outcome = "invalid"
        reason = "the tests ran out of memory" if result.status == "oom" else "the end of the tests was not observed"
    elif result.status == "timeout":
        reason = f"the tests did not finish within {bench.task.test_timeout_s:g} s"
    elif result.stdout_total > len(result.stdout):
        reason = f"the tests printed {result.stdout_total} bytes, more than can be read"
    elif not run.tests:
        reason = f"the test command reported no test results: {describe(result)}"
    elif failing:
        expected = len(bench.instance.fail_to_pass) + len(bench.instance.pass_to_pass)
        reason = f"{len(failing)} of {expected} expected tests do not pass: {', '.join(failing[:3])}"
    elif result.exit_code != 0 and not {"failed", "error"} & set(run.tests.values()) and bench.plan.program is None:
        reason = f"the test command ended with exit code {result.exit_code} although it reported no failure"
    else:
        expected = len(bench.instance.fail_to_pass) + len(bench.instance.pass_to_pass)
        outcome, reason = "pass", f"all {expected} expected tests pass"
    return Grade(task_id=task_id, outcome=outcome, reason=reason, report=report)


def failing_tests(instance: Instance, tests: dict[str, TestOutcome]) -> list[str]:
    """Expected tests that do not pass. A skipped test is not fixed, but does not count as broken either."""
    fixed = [test for test in instance.fail_to_pass if find(test, tests) != "passed"]
    return fixed + [test for test in instance.pass_to_pass if find(test, tests) not in ("passed", "skipped")]


def _report(bench: GradingBench, run: Run, result: ExecResult) -> TestReport:
    """Outcomes of the expected tests under their own ids; unreported tests are missing."""
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
            "trusted": result.trusted,
        }
    )


async def _confirm(bench: GradingBench, patch: Patch, grade: Grade) -> Grade:
    """Rerun a passing patch with sentinels, and fail it if its results cannot be true."""
    instance = bench.instance
    expected = dict(grade.report.tests) if grade.report else {}
    targets = targets_for(instance.fail_to_pass, bench.plan.test_files, random.SystemRandom())
    subject = Subject(
        targets=targets,
        fixed=instance.fail_to_pass,
        kept=[test for test in instance.pass_to_pass if expected.get(test) == "passed"],
        first=Trial(),
        control=False,
        extra=copies_of_each(targets),
    )
    result = await confirm(_Trials(bench, patch), subject, random.SystemRandom())
    if result.refused:
        start = "the test results are forged: " if result.forged else ""
        return grade.model_copy(update={"outcome": "fail", "reason": start + result.refused})
    return grade.model_copy(update={"reason": f"{grade.reason} ({result.weak[0]})"}) if result.weak else grade


class _Trials:
    """Runs of the instance's tests; see `envs.confirm.Trials`."""

    def __init__(self, bench: GradingBench, patch: Patch) -> None:
        self.bench, self.patch = bench, patch

    async def run(self, plan: Planner, *, patched: bool, rounds: Rounds) -> Trial:
        """See `Trials.run`; each run has a sandbox, since scripts put the test files in place themselves."""
        count = 1

        async def counted(files: SourceFiles) -> Planting:
            nonlocal count
            planting = await plan(files)
            count = await rounds(files, planting)
            return planting

        first = await self._once(counted, patched=patched)
        runs = [first, *[await self._once(plan, patched=patched) for _ in range(count - 1)]]
        bad = next((one for one in runs if one.problem), None)
        return bad or Trial(tuple(run for one in runs for run in one.runs))

    async def _once(self, plan: Planner, *, patched: bool) -> Trial:
        run = await _run(self.bench, self.patch if patched else Patch(b""), plan)
        grade = _judge(self.bench, run)
        if grade.outcome == "invalid" or (run.result is None and not patched):
            raise SetupFailed(grade.reason)
        if run.result is None:
            return Trial(problem=grade.reason)
        if run.result.status == "timeout":
            raise SetupFailed(f"in a further run {grade.reason}")
        known = {test: found for test in self.bench.instance.fail_to_pass if (found := find(test, run.tests))}
        return Trial((PlantedRun(run.planting, {**run.tests, **known}),))

    async def against_chance(self, files: SourceFiles, planting: Planting) -> int:
        """See `Trials.against_chance`; a data set's tests are known not to pass by chance."""
        return 1
