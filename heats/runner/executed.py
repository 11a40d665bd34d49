"""Tests executed on a heat's candidates before their comparison, in addition to the user's tests.

The project's own tests (`regression.py`) and rollouts' tests (`cross_tests.py`) run on every distinct patch;
`store/cross_table.py` evaluates the outcomes.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from envs.base import Patch
from envs.existing_tests import TestRunner
from envs.regression import ExistingTests
from heats.runner import cross_tests, regression
from heats.runner.evidence_cells import EvidenceCells, Job
from heats.runner.rollout import TaskRun
from heats.runner.test_writers import TestWriters, useless_writers, voices_with, written_by
from heats.store.cross_store import CrossStore
from heats.store.cross_table import ExistingRun, tabulate, with_cross
from heats.store.records import CrossTable
from tournament.base import Candidate

PendingCandidates = Mapping[str, Coroutine[Any, Any, Candidate | None]]


def is_on(run: TaskRun) -> bool:
    """Whether candidates wait for each other to be executed: attempts yield patches and sandboxes are available."""
    config = run.services.config
    if run.task.submission != "patch" or run.services.backend.name == "none":
        return False
    asked = [config.regression, config.cross_execution]
    if config.tournament.selector == "first-finish" and True not in asked:
        return False
    return regression.is_on(run) or cross_tests.is_on(run)


def executed(
    run: TaskRun, heat: int, coming: PendingCandidates, writers: TestWriters | None = None
) -> PendingCandidates:
    """Rank each candidate by the table of all of them, so that none is available before the last has arrived.

    Args:
        run: the task's run.
        heat: index of the heat.
        coming: the pending candidates.
        writers: the heat's test writers, at work beside its rollouts.
    """
    field = _Field(run, heat, len(coming), writers)
    return {name: field.entrant(name, one) for name, one in coming.items()}


class _Field:
    """Candidates that wait for each other."""

    def __init__(self, run: TaskRun, heat: int, expected: int, writers: TestWriters | None) -> None:
        self.run, self.heat, self.expected, self.writers = run, heat, expected, writers
        self.came: dict[str, Candidate | None] = {}
        self.table = CrossTable()
        self.ready = asyncio.Event()

    async def entrant(self, name: str, coming: Coroutine[Any, Any, Candidate | None]) -> Candidate | None:
        """Wait for all candidates; the last to arrive builds the table."""
        self.came[name] = await coming
        if len(self.came) == self.expected:
            if self.writers is not None:
                await self.writers.done.wait()
            there = [one for one in self.came.values() if one is not None]
            self.table = await executed_table(self.run, self.heat, sorted(there, key=lambda one: one.id))
            self.ready.set()
        await self.ready.wait()
        candidate = self.came[name]
        return candidate and with_cross(candidate, self.table)


async def executed_table(run: TaskRun, heat: int, field: Sequence[Candidate]) -> CrossTable:
    """Load a heat's table, or build it from stored runs and those still missing.

    A table for different candidates is rebuilt, since a failed rollout may have been retried.

    Args:
        run: the task's run.
        heat: index of the heat.
        field: the heat's candidates.
    """
    store = CrossStore(run.store.directory)
    patches = {one.id: run.store.rollout(one.id).patch() for one in field}
    field = [one for one in field if patches[one.id] and one.eligible]
    stored = store.table(heat)
    if stored is not None and stored.candidates == tuple(one.id for one in field):
        return stored
    if not _undecided(run, field):
        return CrossTable()
    try:
        table = await _Execution(run, heat, store, {one.id: patches[one.id] for one in field}).table(field)
    finally:
        store.close()
    store.save_table(heat, table)
    run.services.events.emit("crossed", task=run.task.id, heat=heat, **_told(table))
    return table


def _undecided(run: TaskRun, field: Sequence[Candidate]) -> bool:
    """Whether the candidates need ordering; always true if execution is explicitly enabled."""
    if True in (run.services.config.regression, run.services.config.cross_execution):
        return True
    changes: dict[int, set[str]] = {}
    for one in field:
        changes.setdefault(one.evidence_rank, set()).add(one.patch_key)
    return any(len(keys) > 1 for keys in changes.values())


class _Execution:
    """All runs for one table."""

    def __init__(self, run: TaskRun, heat: int, store: CrossStore, patches: Mapping[str, Patch]) -> None:
        self.run, self.store, self.patches = run, store, patches
        self.cells = EvidenceCells(run, heat, store)
        self.existing = ExistingTests()
        self.left_out: list[str] = []

    async def table(self, field: Sequence[Candidate]) -> CrossTable:
        """Run what is missing and assemble the table."""
        run, cells = self.run, self.cells
        columns = {one.patch_key: self.patches[one.id] for one in reversed(field)}
        levels = {one.patch_key: one.evidence_rank for one in field}
        writers = written_by(run) if cross_tests.is_on(run) else {}
        voices = voices_with(self.patches, writers) if cross_tests.is_on(run) else []
        if regression.is_on(run) or (voices and run.task.test_command is None):
            self.existing = await regression.existing_tests(run, cells, self.store, columns.values())
        asked, jobs = self._regression(columns, levels)
        if voices and (runner := self._runner()) is not None:
            patches = {**writers, **self.patches}
            jobs += await cross_tests.cross_jobs(run, cells, runner, voices, patches, columns, levels)
        await cells.run(jobs)
        self.left_out += useless_writers(voices, cells.cells)
        if cells.left_out:
            limits = "execution.task_s, execution.sandboxes"
            self.left_out.append(f"{cells.left_out} runs: the task's budget for evidence is spent ({limits})")
        before = run.store.baseline()
        table = tabulate(field, voices, cells.cells, before.tests if before else (), asked)
        return table.model_copy(update={"left_out": tuple(self.left_out)})

    def _regression(self, columns: Mapping[str, Patch], levels: Mapping[str, int]) -> tuple[ExistingRun, list[Job]]:
        if not regression.is_on(self.run):
            return ExistingRun(), []
        if self.existing.problem:
            self.left_out.append(f"the project's own tests: {self.existing.problem}")
        return regression.regression_jobs(self.run, self.existing, columns, levels)

    def _runner(self) -> TestRunner | None:
        runner = regression.runner_for(self.run, self.existing)
        if runner is None:
            self.left_out.append(f"tests that rollouts wrote: {self.existing.problem}")
        return runner


def _told(table: CrossTable) -> dict[str, Any]:
    return {
        "tests": len(table.rows),
        "counting": sum(row.counts for row in table.rows),
        "voices": table.voices,
        "ranks": dict(table.ranks),
        "existing": table.existing,
        "breaking": sum(bool(tests) for tests in table.broken.values()),
        "left_out": table.left_out,
    }
