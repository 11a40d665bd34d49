"""Test writers: rollouts of the first heat that only write a test which fails on the base (`execution.test_writers`).

They play as other rollouts do and cannot be selected: of their patches only the tests are used, as another author's in
cross-execution. A test counts if it fails on the base twice, and not by an import or syntax error.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from core.ids import heat_name
from core.text import fill
from envs.base import Patch
from heats.runner import cross_tests
from heats.runner.rollout import Plan, TaskRun
from heats.store.cross_table import AuthoredTests, reproductions
from heats.store.records import CrossCell


def writer_ids(run: TaskRun) -> list[str]:
    """Ids of the test writers: `heat-0/writer-00` ..."""
    return [f"{heat_name(0)}/writer-{index:02d}" for index in range(run.services.config.execution.test_writers)]


class TestWriters:
    """The test writers of a task at work.

    Attributes:
        done: set once all of them have ended.
    """

    __test__ = False

    def __init__(self, run: TaskRun) -> None:
        self.task_run, self.done = run, asyncio.Event()

    async def work(self) -> None:
        """Play the writers that have not ended yet, at the same time as the heat's rollouts.

        Raises:
            LimitExceeded, SetupFailed, ModelConfigError: see `TaskRun.candidate`.
        """
        try:
            if cross_tests.is_on(self.task_run):
                async with asyncio.TaskGroup() as group:
                    for index, name in enumerate(writer_ids(self.task_run)):
                        group.create_task(self._write(Plan(rollout=name, index=index)))
        finally:
            self.done.set()

    async def _write(self, plan: Plan) -> None:
        asked = fill(self.task_run.services.config.execution.test_writer, instruction=self.task_run.task.statement)
        writer = replace(self.task_run, task=self.task_run.task.model_copy(update={"statement": asked}), states=None)
        await writer.attempt(plan)


def written_by(run: TaskRun) -> dict[str, Patch]:
    """Patches of the test writers that have ended, by their id."""
    stores = {name: run.store.rollout(name) for name in writer_ids(run)}
    return {name: files.patch() for name, files in stores.items() if files.outcome() is not None}


def voices_with(patches: Mapping[str, Patch], writers: Mapping[str, Patch]) -> list[AuthoredTests]:
    """Group the tests of candidates and of test writers by author.

    Args:
        patches: candidates' patches by rollout.
        writers: test writers' patches by their id.
    """
    voices = cross_tests.voices_of({**patches, **writers})
    return [replace(voice, only_failing=set(voice.authors) <= set(writers)) for voice in voices]


def useless_writers(voices: Sequence[AuthoredTests], cells: Mapping[tuple[str, str], CrossCell]) -> Iterator[str]:
    """Say which test writers have no test that fails on the base as it should.

    Args:
        voices: the tests of each author.
        cells: the runs so far.
    """
    for voice in voices:
        base = cells.get((voice.digest, ""))
        if voice.only_failing and base is not None and not reproductions(base, base.outcomes):
            yield f"tests of {', '.join(voice.authors)}: none fails without any change as it should"
