"""Apply a patch in a fresh sandbox and run the tests there."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from core.diff import parse_diff
from envs.base import Env, Patch, Task, TestReport
from envs.bench import Bench
from envs.bounded import bounded
from envs.chance import SourceFiles
from envs.inline_tests import with_tests_of
from envs.machine import prepared
from envs.protect import Protection, protection
from envs.recording import WORST
from envs.sentinel import Planting, candidates
from envs.testing import run_tests
from envs.treeview import MOST_BYTES, look
from envs.worktree import apply_patch, digests, renew_history, restore_files
from sandbox.base import Sandbox
from sandbox.errors import FileAccessError

_MODULES = r"""find . -name node_modules -prune -o -type f \( -name '*.py' -o -name '*.[jt]s' -o -name '*.[jt]sx' \
  -o -name '*.[cm][jt]s' \) -print0"""
Preparation = Callable[[SourceFiles], Awaitable[Sequence[Planting]]]
"""Makes the sentinels for each run on a tree."""


@dataclass(frozen=True, slots=True)
class PatchedRun:
    """Runs on a patched tree. If the patch did not apply, `problem` is set and there is no report.

    Attributes:
        report: all `runs` combined: the worst outcome of each test, without sentinels.
        plantings: what was planted for each run.
        undone: files that were restored or removed.
        rewritten: files that judge the patch and were modified while the tests ran.
    """

    report: TestReport | None
    undone: Protection = field(default_factory=Protection)
    problem: str = ""
    plantings: tuple[Planting, ...] = ()
    runs: tuple[TestReport, ...] = ()
    rewritten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxFiles:
    """The files of a sandbox; see `SourceFiles`."""

    sandbox: Sandbox
    workdir: str

    async def modules(self) -> Collection[str]:
        """See `SourceFiles.modules`."""
        listed = await self.sandbox.exec(_MODULES, timeout=60, cwd=self.workdir)
        return {path.removeprefix("./") for path in listed.stdout.decode("utf-8", "replace").split("\0")}

    async def read(self, path: str) -> bytes | None:
        """See `SourceFiles.read`."""
        try:
            return await self.sandbox.read_file(f"{self.workdir}/{path}", max_bytes=4 << 20)
        except FileAccessError:
            return None


async def run_patched(
    env: Env,
    task: Task,
    patch: Patch,
    bench: Bench,
    before: TestReport,
    *,
    prepare: Preparation | None = None,
    hidden: Mapping[str, bytes] | None = None,
    command: str | None = None,
) -> PatchedRun:
    """Apply a patch in a fresh sandbox, undo what must not count, and run the tests.

    Args:
        env: env that prepares the sandbox.
        task: the task.
        patch: the patch to apply.
        bench: backend, limits and verification rules.
        before: report of the base, which tells which files hold tests.
        prepare: makes sentinels; if None, the tests run as often as the rules say.
        hidden: test files that enter the sandbox only now, by path relative to the working directory.
        command: replaces the task's test command.
    """
    async with prepared(env, task, bench.backend, bench.spec(task)) as sandbox:
        undone = Protection()
        if patch:
            undone, problem = await apply_candidate(
                sandbox, task, patch, task.test_command or "", _collected(before), keep_doubtful=bench.keep_doubtful
            )
            if problem:
                return PatchedRun(None, undone, problem)
        for path, data in (hidden or {}).items():
            await sandbox.write_file(f"{task.workdir}/{path}", data)
        plantings = [Planting()] * bench.rules.repeats
        if prepare:
            plantings = list(await prepare(SandboxFiles(sandbox, task.workdir)))
        await _put(sandbox, task.workdir, plantings[0])
        await renew_history(sandbox, task.workdir)
        were = await digests(sandbox, task.workdir, undone.fixed)
        runs: list[TestReport] = []
        rewritten: set[str] = set()
        for turn, planting in enumerate(plantings):
            if turn:
                await _put(sandbox, task.workdir, planting)
            watched = sorted({*planting.files, *before.files})
            stamps = await _stamps(sandbox, task.workdir, watched)
            runs.append(await run_tests(sandbox, task, command))
            after = await _stamps(sandbox, task.workdir, watched)
            rewritten |= {path for path in watched if stamps.get(path) != after.get(path)}
        are = await digests(sandbox, task.workdir, undone.fixed)
    planted = {path for planting in plantings for path in planting.files}
    rewritten |= {path for path in were if are.get(path) != were[path] and path not in planted}
    report = _without(worst_of(runs), plantings)
    return PatchedRun(report, undone, "", tuple(plantings), tuple(runs), tuple(sorted(rewritten)))


async def _put(sandbox: Sandbox, workdir: str, planting: Planting) -> None:
    for path, data in planting.files.items():
        await sandbox.write_file(f"{workdir}/{path}", data)


def _without(report: TestReport, plantings: Sequence[Planting]) -> TestReport:
    """The report without sentinels."""
    planted = {test for planting in plantings for test in planting.planted(report.tests)}
    tests = {test: outcome for test, outcome in report.tests.items() if test not in planted}
    return report.model_copy(update={"tests": tests})


def _collected(before: TestReport) -> set[str]:
    """Files that contain tests. If the recorder saw them, ids are ignored: unittest ids may belong to doctests."""
    named = [test for test in before.tests if "::" in test or before.source != "recorder"]
    return {*before.files, *(path for test in named for path in candidates(test))}


async def _stamps(sandbox: Sandbox, workdir: str, paths: Sequence[str]) -> dict[str, str]:
    """What code inside the sandbox cannot set: inode and change time of each file, and its size."""
    listed = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
    script = "xargs -0 -r stat -c '%i %s %z %n' -- 2>/dev/null || :"
    found = await sandbox.exec(script, timeout=60, cwd=workdir, stdin=listed)
    lines = found.stdout.decode("utf-8", "surrogateescape").splitlines()
    # inode, size, date, time and zone, then the path
    return {words[5]: " ".join(words[:5]) for line in lines if len(words := line.split(" ", 5)) == 6}


async def apply_candidate(
    sandbox: Sandbox,
    task: Task,
    patch: Patch,
    command: str,
    collected: Collection[str],
    *,
    commit: str = "",
    keep_doubtful: bool = False,
) -> tuple[Protection, str]:
    """Apply a patch in a fresh sandbox and undo its changes to what judges it.

    Args:
        sandbox: fresh sandbox with the task's tree.
        task: the task.
        patch: the patch to apply.
        command: the test command.
        collected: test files that the command runs.
        commit: commit to restore files from; if empty, the task's base commit.
        keep_doubtful: keep changes that may be part of a fix.

    Returns:
        The files restored or removed, and why the patch could not be applied, or an empty string.
    """
    named = " ".join([command, *(f"{name}={value}" for name, value in task.env.items())])
    tree = await look(sandbox, task.workdir)
    undo = await protection(await bounded(parse_diff, patch.data), named, tree, collected=collected)
    if keep_doubtful:
        undo = undo.without_doubtful()
    if problem := await apply_patch(sandbox, task.workdir, patch):
        return Protection(), f"the patch does not apply to the base commit: {problem}"
    failure = await restore_files(sandbox, task.workdir, commit or task.base_commit, undo.restore, undo.remove)
    if failure:
        return undo, f"protected files could not be restored: {failure}"
    inside = [path for path in undo.inside if await _put_tests_back(sandbox, task.workdir, path, undo.inside[path])]
    return replace(undo, inside={path: undo.inside[path] for path in inside}), ""


async def _put_tests_back(sandbox: Sandbox, workdir: str, path: str, base: str) -> bool:
    """Restore the base's tests inside a source file; return whether that changed it."""
    try:
        data = await sandbox.read_file(f"{workdir}/{path}", max_bytes=MOST_BYTES)
        patched = data.decode("utf-8")
        text = await bounded(with_tests_of, base, patched, path)
    except (FileAccessError, ValueError):
        return False
    if text != patched:
        await sandbox.write_file(f"{workdir}/{path}", text.encode())
    return text != patched


def worst_of(reports: Sequence[TestReport]) -> TestReport:
    """The worst report, with the worst outcome of each test; tests missing from any run are dropped."""
    worst = next((report for report in reports if report.failing or report.status != "passed"), reports[0])
    common = set(reports[0].tests).intersection(*(report.tests for report in reports))
    tests = {test: max((report.tests[test] for report in reports), key=WORST.index) for test in sorted(common)}
    return worst.model_copy(update={"tests": tests, "trusted": all(report.trusted for report in reports)})
