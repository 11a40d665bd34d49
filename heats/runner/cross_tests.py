"""Cross-execution: runs the tests written by each rollout on every candidate's patch, each pair in a fresh sandbox.

Tests are a patch's additions and changes to test files; test-runner configuration (`conftest.py` and the like) is
excluded. Only the author's files run, if the way to run them can be determined.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from core.diff import DiffSyntaxError, FileDiff, parse_diff
from envs import prepared, spec_for
from envs.base import Patch, TestReport
from envs.conventions import is_python_test, is_test
from envs.existing_tests import TestRunner
from envs.regression import first_words, run_on
from envs.worktree import apply_patch
from heats.runner.evidence_cells import EvidenceCells, Job
from heats.runner.rollout import TaskRun
from heats.store.cross_table import MOST_TESTS, AuthoredTests
from heats.store.records import CrossCell
from sandbox.errors import FileAccessError

MOST_FILES, MOST_BYTES = 50, 1 << 20
_FACTOR = 3
"""Time limit of an author's test files, as a multiple of that for the project's own tests."""


def is_on(run: TaskRun) -> bool:
    """Whether rollouts' tests are run for this task."""
    wanted = run.services.config.cross_execution
    return run.services.config.evidence if wanted == "auto" else wanted


def voices_of(patches: Mapping[str, Patch]) -> list[AuthoredTests]:
    """Group tests by author; rollouts that wrote identical tests share a voice."""
    found: dict[str, AuthoredTests] = {}
    for rollout, patch in patches.items():
        tests = _tests_in(patch)
        files = tuple(path for path in tests if is_python_test(path))
        if not files or len(tests) > MOST_FILES:
            continue
        written = repr([(path, tests[path].old_mode, [h.lines for h in tests[path].hunks]) for path in sorted(tests)])
        digest = sha256(written.encode()).hexdigest()
        voice = found.setdefault(digest, AuthoredTests(digest, (), files))
        found[digest] = replace(voice, authors=(*voice.authors, rollout))
    return list(found.values())


def _tests_in(patch: Patch) -> dict[str, FileDiff]:
    """Return a patch's additions and changes to tests, by path."""
    try:
        files = parse_diff(patch.data)
    except DiffSyntaxError:
        return {}
    named = {file.new_path.decode("utf-8", "replace"): file for file in files if file.new_path is not None}
    return {path: file for path, file in named.items() if is_test(path) and file.new_mode != "120000"}


async def cross_jobs(
    run: TaskRun,
    cells: EvidenceCells,
    runner: TestRunner,
    voices: Sequence[AuthoredTests],
    patches: Mapping[str, Patch],
    columns: Mapping[str, Patch],
    levels: Mapping[str, int],
) -> list[Job]:
    """Plan cross-execution: every voice's tests on the base and on every distinct patch.

    Args:
        run: the task's run.
        cells: runs and stores the cells.
        runner: runs individual test files.
        voices: the tests of each author.
        patches: patches by rollout.
        columns: distinct patches by key.
        levels: evidence classes by key.
    """
    trees = {"": Patch(b""), **columns}
    highest = max(levels.values(), default=0)
    jobs: list[Job] = []
    for voice in voices:
        missing = [key for key in trees if (voice.digest, key) not in cells.cells]
        if not missing:
            continue
        files = await cells.surely(lambda voice=voice: _read(run, voice, patches[voice.authors[0]]))  # type: ignore[misc]
        if files:
            jobs += _jobs_of(run, runner, voice, files, {key: trees[key] for key in missing}, {"": highest, **levels})
    return jobs


def _jobs_of(
    run: TaskRun,
    runner: TestRunner,
    voice: AuthoredTests,
    files: Mapping[str, bytes],
    trees: Mapping[str, Patch],
    levels: Mapping[str, int],
) -> Iterator[Job]:
    def job(key: str, patch: Patch) -> Job:
        return Job(voice.digest, key, levels.get(key, 0), lambda: _cell(run, runner, voice, files, key, patch))

    return (job(key, patch) for key, patch in trees.items())


async def _read(run: TaskRun, voice: AuthoredTests, patch: Patch) -> dict[str, bytes]:
    """Read the voice's test files with its author's patch applied; empty if the patch does not apply."""
    task, bench = run.task, run.services.bench("cross")
    spec = replace(spec_for(task, bench.labels, bench.limits), network="none")
    async with prepared(run.services.env, task, bench.backend, spec) as sandbox:
        if await apply_patch(sandbox, task.workdir, patch):
            return {}
        try:
            return {
                path: await sandbox.read_file(f"{task.workdir}/{path}", max_bytes=MOST_BYTES)
                for path in _tests_in(patch)
            }
        except FileAccessError:
            return {}


async def _cell(
    run: TaskRun, runner: TestRunner, voice: AuthoredTests, files: Mapping[str, bytes], key: str, patch: Patch
) -> CrossCell:
    services, task = run.services, run.task
    cell, bench = CrossCell(tests=voice.digest, patch=key), services.bench("cross")
    report: TestReport | None
    limit = task.test_timeout_s
    if runner.kind != "command":
        limit = min(limit, _FACTOR * services.config.execution.existing_s)
    try:
        report, problem = await run_on(
            services.env, task, patch, bench, runner, voice.files, written=files, timeout_s=limit
        )
    except FileAccessError as error:
        report, problem = None, str(error)
    if report is None:
        return cell.model_copy(update={"status": "failed", "problem": problem})
    words = first_words(report, report.ids("failed", "error"), most=MOST_TESTS)
    return cell.model_copy(update={"status": report.status, "outcomes": report.tests, "words": words})
