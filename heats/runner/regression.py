"""Regression evidence: runs the project's own tests that pass on the base on every distinct patch."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from core.diff import DiffSyntaxError, FileDiff, parse_diff
from envs.base import Patch
from envs.base_results import BaseResults
from envs.existing_tests import TestRunner, change_of, runner_of_command
from envs.regression import ExistingTests, choose_existing, run_stable
from heats.runner.evidence_cells import EvidenceCells, Job
from heats.runner.rollout import TaskRun
from heats.store.cross_store import CrossStore
from heats.store.cross_table import ExistingRun
from heats.store.records import CrossCell
from sandbox.config import cache_directory
from sandbox.errors import FileAccessError


def is_on(run: TaskRun) -> bool:
    """Whether the project's own tests are run for this task; `auto` runs them if it has no test command."""
    wanted = run.services.config.regression
    if wanted == "auto":
        return run.services.config.evidence and run.task.test_command is None
    return wanted


async def existing_tests(
    run: TaskRun, cells: EvidenceCells, store: CrossStore, patches: Iterable[Patch]
) -> ExistingTests:
    """Select the project's own tests to run, based on the first patches, and keep the selection for the task.

    If only the runner is needed, for rollouts' tests, nothing is run.

    Args:
        run: the task's run.
        cells: runs and stores the cells.
        store: keeps the selection.
        patches: the first patches.
    """
    stored = store.existing()
    if stored is not None:
        return stored
    services, task = run.services, run.task
    bench, budget = services.bench("existing"), services.config.execution.existing_s
    rest_s, known = services.config.execution.rest_s, None
    if not is_on(run):
        budget = rest_s = 0
    if services.config.execution.base_cache:
        known = BaseResults(cache_directory() / "base-results")
    change = change_of(filter(None, map(_files, patches)))
    found = await cells.surely(
        lambda: choose_existing(services.env, task, bench, change, budget_s=budget, rest_s=rest_s, known=known)
    )
    if found is None:
        return ExistingTests(problem="no sandbox could be had for them")
    store.save_existing(found)
    return found


def runner_for(run: TaskRun, existing: ExistingTests) -> TestRunner | None:
    """Return the runner of individual test files, based on the task's test command if any, else on the project's."""
    if run.task.test_command is not None:
        return runner_of_command(run.task.test_command)
    return existing.runner


def regression_jobs(
    run: TaskRun, existing: ExistingTests, columns: Mapping[str, Patch], levels: Mapping[str, int]
) -> tuple[ExistingRun, list[Job]]:
    """Plan the regression runs; empty if there are no tests to run.

    Args:
        run: the task's run.
        existing: the selected tests.
        columns: distinct patches by key.
        levels: evidence classes by key.
    """
    runner = existing.runner
    if not existing.stable or runner is None:
        return ExistingRun(), []
    what = repr((run.task.image, run.task.base_commit, runner.on(existing.files), existing.stable))
    digest = sha256(what.encode("utf-8", "surrogatepass")).hexdigest()
    asked = ExistingRun(digest, existing.stable, existing.files)

    def job(key: str, patch: Patch) -> Job:
        cell = CrossCell(tests=digest, patch=key)
        return Job(digest, key, levels.get(key, 0), lambda: _cell(run, existing, cell, patch))

    return asked, [job(key, patch) for key, patch in columns.items()]


async def _cell(run: TaskRun, existing: ExistingTests, cell: CrossCell, patch: Patch) -> CrossCell:
    services = run.services
    try:
        ran = await run_stable(services.env, run.task, patch, services.bench("existing"), existing)
    except FileAccessError as error:
        failing = dict.fromkeys(existing.stable, "missing")
        return cell.model_copy(update={"status": "failed", "problem": str(error), "outcomes": failing})
    told = {"status": ran.status, "problem": ran.problem, "outcomes": ran.failing, "words": ran.words}
    return cell.model_copy(update=told)


def _files(patch: Patch) -> list[FileDiff]:
    try:
        return parse_diff(patch.data)
    except DiffSyntaxError:
        return []
