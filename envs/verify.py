"""Verification: what a patch does to the user's own tests, in fresh sandboxes into which only the patch's bytes cross.

The patch is checked, applied strictly, and its changes to tests and test settings are undone before the test command
runs. A patch that would be good is run a second time with sentinel tests; both runs must agree.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pydantic import Field

from envs.base import Env, Evidence, Patch, Record, Task, TestOutcome, TestReport
from envs.bounded import bounded, check_untrusted
from envs.diffparse import parse_diff
from envs.errors import PatchRejected, TestCommandMissing
from envs.machine import prepared, spec_for
from envs.patches import PatchRules
from envs.protect import protection
from envs.sentinel import (
    Sentinel,
    candidates,
    files_to_plant,
    forged,
    lost,
    make_sentinel,
    planted,
    stops_early,
)
from envs.testing import run_tests
from envs.treeview import look
from envs.verdict import compare, evidence, judge
from envs.worktree import apply_patch, restore_files
from sandbox.base import Sandbox, SandboxBackend, SandboxLimits
from sandbox.errors import FileAccessError

_WORST: tuple[TestOutcome, ...] = ("passed", "skipped", "failed", "error")


class VerifyRules(Record):
    """How verification is done.

    Attributes:
        repeats: runs of the test command on the base and on a patched tree; a test whose outcome differs between
            runs on the base is flaky and not counted, a patched tree is taken by the worst outcome of each test.
        sentinels: run good patches once more with tests that must fail and must pass.
    """

    repeats: int = Field(1, ge=1, le=20)
    sentinels: bool = True
    patch: PatchRules = PatchRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and by which rules sandboxes for verification and grading are started."""

    backend: SandboxBackend
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    labels: Mapping[str, str] = field(default_factory=dict)
    rules: VerifyRules = field(default_factory=VerifyRules)


@dataclass(frozen=True, slots=True)
class PatchedRun:
    """One or more runs on a patched tree. `problem` is set, and there is no report, when the patch did not apply."""

    report: TestReport | None
    restored: tuple[str, ...] = ()
    problem: str = ""
    sentinels: tuple[Sentinel, ...] = ()


async def baseline(env: Env, task: Task, bench: Bench) -> TestReport:
    """Run the test command on the untouched tree in a fresh sandbox.

    Raises:
        TestCommandMissing: the sandbox does not find the command, or the task has none.
        SetupFailed, SandboxError
    """
    if not task.test_command:
        raise TestCommandMissing(f"task {task.id} has no test command")
    async with prepared(env, task, bench.backend, spec_for(task, bench.labels, bench.limits)) as sandbox:
        reports = [await run_tests(sandbox, task) for _ in range(bench.rules.repeats)]
    if reports[0].status == "missing":
        last = (reports[0].output.strip().splitlines() or [""])[-1]
        raise TestCommandMissing(f"the test command is not there in the sandbox: {task.test_command} ({last})")
    return without_flaky(reports)


async def verify(env: Env, task: Task, patch: Patch, bench: Bench, *, before: TestReport | None = None) -> Evidence:
    """Find out what a patch does to the task's tests.

    Args:
        before: what `baseline` gave for this task; it is run when None.

    Raises:
        TestCommandMissing, SetupFailed, SandboxError: the infrastructure failed; nothing is said about the patch.
    """
    if not patch:
        return evidence(patch, before, None, rank=1, reason="the attempt changed nothing")
    try:
        await check_untrusted(patch.data, bench.rules.patch)
    except PatchRejected as error:
        return evidence(patch, before, None, rank=0, reason=f"the patch breaks the rules: {error}")
    if not task.test_command:
        return evidence(patch, None, None, rank=1, reason="there is no test command to verify with")
    before = before or await baseline(env, task, bench)
    run = await run_patched(env, task, patch, bench, before)
    if run.report is None:
        return evidence(patch, before, None, rank=0, reason=run.problem, restored=run.restored)
    found = compare(before, run.report)
    rank, reason = judge(before, run.report, found)
    if rank >= 2 and bench.rules.sentinels:
        rank, reason = await _confirm(env, task, patch, bench, before, run.report, (rank, reason))
    if run.restored:
        more = " ..." if len(run.restored) > 5 else ""
        reason += f"; without the patch's changes to what tests: {', '.join(run.restored[:5])}{more}"
    return evidence(patch, before, run.report, rank=rank, reason=reason, found=found, restored=run.restored)


async def run_patched(
    env: Env,
    task: Task,
    patch: Patch,
    bench: Bench,
    before: TestReport,
    *,
    plant: bool = False,
    hidden: Mapping[str, bytes] | None = None,
    command: str | None = None,
) -> PatchedRun:
    """Apply a patch in a fresh sandbox, undo what must not count, and run the tests.

    Args:
        plant: put sentinels into the test files that `before` names, and into the hidden ones.
        hidden: test files that enter the sandbox only now, by path in the working directory.
        command: instead of the task's test command.
    """
    command = command or task.test_command or ""
    async with prepared(env, task, bench.backend, spec_for(task, bench.labels, bench.limits)) as sandbox:
        restored: tuple[str, ...] = ()
        if patch:
            collected = {path for test in before.tests for path in candidates(test)}
            restored, problem = await apply_candidate(sandbox, task, patch, task.test_command or "", collected)
            if problem:
                return PatchedRun(None, restored, problem)
        for path, data in (hidden or {}).items():
            await sandbox.write_file(f"{task.workdir}/{path}", data)
        sentinels = await _plant(sandbox, task, before, tuple(hidden or ())) if plant else ()
        # A sentinel is a failure: settings that stop at the first one must not cut the run short.
        addopts = ("--maxfail=0",) if plant else ()
        repeats = 1 if plant else bench.rules.repeats
        reports = [await run_tests(sandbox, task, command, addopts=addopts) for _ in range(repeats)]
    return PatchedRun(worst_of(reports), restored, "", sentinels)


async def apply_candidate(
    sandbox: Sandbox, task: Task, patch: Patch, command: str, collected: Collection[str], *, commit: str = ""
) -> tuple[tuple[str, ...], str]:
    """Apply a patch in a fresh sandbox and undo its changes to what judges it.

    Args:
        command: the test command, and `collected` the test files that it runs.
        commit: that files are put back to; the task's base commit when empty.

    Returns:
        The files put back or left out and, where it could not be done, why.
    """
    named = " ".join([command, *(f"{name}={value}" for name, value in task.env.items())])
    tree = await look(sandbox, task.workdir)
    undo = await protection(await bounded(parse_diff, patch.data), named, tree, collected=collected)
    problem = await apply_patch(sandbox, task.workdir, patch)
    if problem:
        return (), f"the patch does not apply to the base commit: {problem}"
    failure = await restore_files(sandbox, task.workdir, commit or task.base_commit, undo.restore, undo.remove)
    if failure:
        return undo.paths, f"protected files could not be put back: {failure}"
    return undo.paths, ""


async def _plant(
    sandbox: Sandbox, task: Task, before: TestReport, hidden: tuple[str, ...] = ()
) -> tuple[Sentinel, ...]:
    rng = random.SystemRandom()
    sentinels: list[Sentinel] = []
    done: set[str] = set()
    for paths in (*((path,) for path in hidden if path.endswith(".py")), *files_to_plant(before)):
        for path in paths:
            if path in done:
                break
            try:
                source = await sandbox.read_file(f"{task.workdir}/{path}", max_bytes=4 << 20)
            except FileAccessError:
                continue
            sentinels.append(make_sentinel(path, rng))
            await sandbox.write_file(f"{task.workdir}/{path}", planted(source, sentinels[-1]))
            done.add(path)
            break
    return tuple(sentinels)


async def _confirm(
    env: Env, task: Task, patch: Patch, bench: Bench, before: TestReport, first: TestReport, verdict: tuple[int, str]
) -> tuple[int, str]:
    """Run a good patch again with sentinels; returns rank and reason as they stand after that."""
    rank, reason = verdict
    if not before.tests:
        return rank, reason
    if stops_early(task.test_command or ""):
        return rank, f"{reason} (no sentinel tests: the command stops at the first failure)"
    run = await run_patched(env, task, patch, bench, before, plant=True)
    if run.report is None:
        return 0, run.problem
    signs = forged(run.sentinels, run.report)
    if signs:
        return 0, f"the test results are forged: {signs}"
    gone = lost(run.sentinels, run.report)
    if gone and await _seen_on_base(env, task, bench, before, gone):
        return 0, f"the test results are forged: planted tests were not reported in {gone[0].file}"
    if not run.sentinels or len(gone) == len(run.sentinels):
        return rank, f"{reason} (no sentinel tests: the command does not run them)"
    again = compare(first, run.report)
    differing = (*again.broken, *again.missing)
    if differing:
        return min(rank, 1), f"a second run gave other results: {', '.join(differing[:3])}"
    return rank, f"{reason}; confirmed by a second run with sentinel tests"


async def _seen_on_base(env: Env, task: Task, bench: Bench, before: TestReport, gone: list[Sentinel]) -> bool:
    """True when the untouched tree does report sentinels in files where the patched one lost them."""
    control = await run_patched(env, task, Patch(b""), bench, before, plant=True)
    assert control.report is not None
    missing = {sentinel.file for sentinel in lost(control.sentinels, control.report)}
    return any(sentinel.file not in missing for sentinel in gone)


def without_flaky(reports: list[TestReport]) -> TestReport:
    """The first report, with tests of differing outcomes set to `skipped`, which counts for nothing."""
    first = reports[0]
    tests: dict[str, TestOutcome] = dict(first.tests)
    for other in reports[1:]:
        for test in set(tests) | set(other.tests):
            if tests.get(test) != other.tests.get(test):
                tests[test] = "skipped"
    return first.model_copy(update={"tests": tests})


def worst_of(reports: list[TestReport]) -> TestReport:
    """The worst report, with the worst outcome of each test; a test that some run lacks is left out."""
    worst = next((report for report in reports if report.status != "passed"), reports[0])
    common = set(reports[0].tests).intersection(*(report.tests for report in reports))
    tests = {test: max((report.tests[test] for report in reports), key=_WORST.index) for test in sorted(common)}
    return worst.model_copy(update={"tests": tests})
