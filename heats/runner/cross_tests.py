"""Cross-execution: the tests that each rollout wrote, run on every candidate's patch, each pair in a fresh sandbox.

Tests are what a patch adds to or changes in files that hold tests; what steers a test runner (`conftest.py` and the
like) stays behind. `cross_table.py` says what follows from the outcomes.
"""

import asyncio
import posixpath
import re
import shlex
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeVar

from core.aio import first_error
from core.diff import DiffSyntaxError, FileDiff, parse_diff
from envs import Bench, prepared, spec_for
from envs.base import Patch, TestReport
from envs.conventions import is_python_test, is_test
from envs.errors import SetupFailed
from envs.patched import run_patched
from envs.worktree import apply_patch
from heats.retries import RetryBudget, class_of
from heats.runner.boundary import described, ends_more
from heats.runner.rollout import TaskRun
from heats.store.cross_store import CrossStore
from heats.store.cross_table import AuthoredTests, tabulate, with_cross
from heats.store.records import CrossCell, CrossTable
from sandbox.errors import FileAccessError, SandboxError
from tournament.base import Candidate

T = TypeVar("T")

MOST_FILES, MOST_BYTES = 50, 1 << 20
PendingCandidates = Mapping[str, Coroutine[Any, Any, Candidate | None]]


def is_on(run: TaskRun) -> bool:
    """Whether this task is cross-executed: it has a test command, and its attempts hand in patches."""
    task = run.task
    return run.services.config.cross_execution and task.test_command is not None and task.submission == "patch"


def crossed(run: TaskRun, heat: int, coming: PendingCandidates) -> PendingCandidates:
    """The same candidates, each ranked by the table of all; so none is there before the last has come."""
    field = _Field(run, heat, len(coming))
    return {name: field.entrant(name, one) for name, one in coming.items()}


class _Field:
    """Candidates that wait for one another."""

    def __init__(self, run: TaskRun, heat: int, expected: int) -> None:
        self.run, self.heat, self.expected = run, heat, expected
        self.came: dict[str, Candidate | None] = {}
        self.table = CrossTable()
        self.ready = asyncio.Event()

    async def entrant(self, name: str, coming: Coroutine[Any, Any, Candidate | None]) -> Candidate | None:
        """Wait for all; the last to come has the table made."""
        self.came[name] = await coming
        if len(self.came) == self.expected:
            there = [one for one in self.came.values() if one is not None]
            self.table = await cross_table(self.run, self.heat, sorted(there, key=lambda one: one.id))
            self.ready.set()
        await self.ready.wait()
        candidate = self.came[name]
        return candidate and with_cross(candidate, self.table)


async def cross_table(run: TaskRun, heat: int, field: Sequence[Candidate]) -> CrossTable:
    """A heat's table: read if it is there, else made of the cells that are there and those still to run.

    One of other candidates is made anew: a rollout that had failed may have been tried again.
    """
    store = CrossStore(run.store.directory)
    patches = {one.id: run.store.rollout(one.id).patch() for one in field}
    field = [one for one in field if patches[one.id]]
    stored = store.table(heat)
    if stored is not None and stored.candidates == tuple(one.id for one in field):
        return stored
    voices, before = voices_of(patches), run.store.baseline()
    runner = _Runner(run, heat, store, patches, before or TestReport(command="", status="indeterminate"))
    try:
        await runner.run(voices, {one.patch_key: patches[one.id] for one in reversed(field)})
    finally:
        store.close()
    table = tabulate(field, voices, runner.cells, before.tests if before else ())
    store.save_table(heat, table)
    run.services.events.emit("crossed", task=run.task.id, heat=heat, **_told(table))
    return table


def voices_of(patches: Mapping[str, Patch]) -> list[AuthoredTests]:
    """Who wrote which tests; rollouts that wrote the same ones share a voice."""
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
    """What a patch adds to and changes in tests, by path."""
    try:
        files = parse_diff(patch.data)
    except DiffSyntaxError:
        return {}
    named = {file.new_path.decode("utf-8", "replace"): file for file in files if file.new_path is not None}
    return {path: file for path, file in named.items() if is_test(path) and file.new_mode != "120000"}


def command_for(command: str, files: Sequence[str]) -> str:
    """The user's command, told of the files where it is a plain run of pytest; else as it is."""
    plain = not re.search(r"[;&|<>()$`\n#]", command)
    if plain and re.search(r"(^|[\s/])(pytest|py\.test)(\s|$)", command):
        return f"{command} {shlex.join(sorted(files))}"
    return command


class _Runner:
    """Runs the cells that are missing."""

    def __init__(
        self, run: TaskRun, heat: int, store: CrossStore, patches: Mapping[str, Patch], before: TestReport
    ) -> None:
        self.task_run, self.heat, self.store, self.patches, self.before = run, heat, store, patches, before
        self.cells = store.cells()
        self.done = self.total = 0

    async def run(self, voices: Sequence[AuthoredTests], columns: Mapping[str, Patch]) -> None:
        """Run every voice's tests on the base and on every different patch."""
        trees = {"": Patch(b""), **columns}
        work = [
            (voice, {key: patch for key, patch in trees.items() if (voice.digest, key) not in self.cells})
            for voice in voices
        ]
        self.total = sum(len(missing) for _, missing in work)
        self._tell()
        async with asyncio.TaskGroup() as group:
            for voice, missing in work:
                if missing:
                    group.create_task(self._voice(voice, missing))

    def _tell(self) -> None:
        if self.total:
            emit = self.task_run.services.events.emit
            emit("crossing", task=self.task_run.task.id, heat=self.heat, done=self.done, total=self.total)

    async def _voice(self, voice: AuthoredTests, trees: Mapping[str, Patch]) -> None:
        files = await self._surely(lambda: self._read(voice))
        if files:
            async with asyncio.TaskGroup() as group:
                for key, patch in trees.items():
                    group.create_task(self._keep(voice, files, key, patch))

    async def _keep(self, voice: AuthoredTests, files: Mapping[str, bytes], key: str, patch: Patch) -> None:
        cell = await self._surely(lambda: self._cell(voice, files, key, patch))
        if cell is not None:
            self.cells[voice.digest, key] = cell
            self.store.add(cell)
        self.done += 1
        self._tell()

    async def _read(self, voice: AuthoredTests) -> dict[str, bytes]:
        """The voice's test files as they are once its author's patch is applied; empty where it does not apply."""
        run, patch = self.task_run, self.patches[voice.authors[0]]
        services, task, bench = run.services, run.task, self._bench()
        async with (
            services.slots.hold(run.order),
            prepared(services.env, task, bench.backend, spec_for(task, bench.labels, bench.limits)) as sandbox,
        ):
            if await apply_patch(sandbox, task.workdir, patch):
                return {}
            try:
                return {
                    path: await sandbox.read_file(f"{task.workdir}/{path}", max_bytes=MOST_BYTES)
                    for path in _tests_in(patch)
                }
            except FileAccessError:
                return {}

    async def _cell(self, voice: AuthoredTests, files: Mapping[str, bytes], key: str, patch: Patch) -> CrossCell:
        run = self.task_run
        services, folder = run.services, run.task.folder
        files_there = [posixpath.relpath(path, folder) if folder else path for path in voice.files]
        command = command_for(run.task.test_command or "", files_there)
        cell = CrossCell(tests=voice.digest, patch=key)
        async with services.slots.hold(run.order):
            try:
                ran = await run_patched(
                    services.env, run.task, patch, self._bench(), self.before, hidden=files, command=command
                )
            except FileAccessError as error:
                return cell.model_copy(update={"status": "failed", "problem": str(error)})
        if ran.report is None:
            return cell.model_copy(update={"status": "failed", "problem": ran.problem})
        return cell.model_copy(update={"status": ran.report.status, "outcomes": ran.report.tests})

    async def _surely(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Try again as rollouts are; None where no sandbox could be had: that is no reason to lose a task."""
        attempts = RetryBudget(self.task_run.services.config.retries)
        while True:
            try:
                return await work()
            except SetupFailed:
                return None
            except SandboxError as error:
                if not await attempts.again(class_of(error)):
                    return None
            except Exception as error:
                cause = first_error(error)
                if ends_more(cause):
                    raise cause from error
                text = f"tests that an attempt wrote could not be run: {described(cause)}"
                self.task_run.services.events.emit("warning", task=self.task_run.task.id, text=text)
                return None

    def _bench(self) -> Bench:
        return self.task_run.services.bench("cross")


def _told(table: CrossTable) -> dict[str, Any]:
    counting = sum(row.counts for row in table.rows)
    return {"tests": len(table.rows), "counting": counting, "voices": table.voices, "ranks": dict(table.ranks)}
