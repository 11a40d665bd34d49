"""One invocation over an env's tasks: take the run directory, check requirements, play, grade and report."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.llm.ledger import Ledger, Usage
from envs.base import Env, MakesImages, Task
from heats.config import HeatsConfig
from heats.errors import PreflightFailed
from heats.runner.allocation import Allocation, Board, checked_policy
from heats.runner.announcements import announce_missing
from heats.runner.bank import remember
from heats.runner.end_states import States
from heats.runner.grading import grade_task
from heats.runner.host_limits import check_host_limits
from heats.runner.lock import lock_image, lock_run, programs, task_digest
from heats.runner.model_mix import sameness
from heats.runner.rollout import TaskRun
from heats.runner.routing import Router, TaskRouting, check_routing
from heats.runner.schedule import Player, run_tasks
from heats.runner.server_metrics import metered
from heats.runner.services import Services, open_services
from heats.runner.time_budget import time_budget_for
from heats.store.events import EventLog, Listener
from heats.store.lock import Lock
from heats.store.records import Charge, Manifest, TaskResult
from heats.store.store import RunStore
from heats.sweep.images import ImageKeeper
from sandbox.errors import SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run, and where.

    Attributes:
        directory: the run directory; the same request on the same directory resumes it.
        listeners: called with every event.
        ledger: the run's ledger, so that a display can read it during the run.
        sandboxes: False for work without sandboxes, which then needs no Docker.
        tasks: tasks of the env to play; None for all.
        extend: tasks may be added to an existing run, as long as the tasks in it are unchanged.
        images: fetches and removes the tasks' images; None if all images must exist.
        left_out: reasons for requested tasks that cannot be used; announced at the start.
        work: what is known of the run before it starts; if given, the run writes `lock.json`.
        repeats: the lock of the run that this one repeats.
    """

    command: str
    directory: Path
    config: HeatsConfig
    env: Env
    listeners: Sequence[Listener] = ()
    ledger: Ledger = field(default_factory=lambda: Ledger("run"))
    sandboxes: bool = True
    tasks: Sequence[Task] | None = None
    extend: bool = False
    images: ImageKeeper | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    work: Lock | None = None
    repeats: Lock | None = None

    @property
    def chosen(self) -> Sequence[Task]:
        """The tasks to play."""
        return self.env.tasks() if self.tasks is None else self.tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An open run directory and the services bound to it.

    Attributes:
        charges: charges by earlier processes, by task.
        board: what the allocation policy knows of all tasks.
        router: what is known of the agreement of two models; None if nothing is routed.
    """

    services: Services
    store: RunStore
    charges: dict[str, list[Charge]]
    request: RunRequest
    board: Board
    router: Router | None = None

    @property
    def ledger(self) -> Ledger:
        """The run's ledger."""
        return self.request.ledger

    def task_run(self, task: Task, order: int = 0) -> TaskRun:
        """One task of the run, with its earlier charges."""
        spent = _spent(self.charges.get(task.id, ()))
        ledger = self.ledger.child(task.id, self.services.config.limits.task, spent=spent)
        files, grades = self.store.task(task.id), self.store.grades
        # Only writing: whoever plays the task must not be able to read grades.
        states = States(self.services, task, lambda rollout, grade: grades.save(rollout, grade), order)
        clock = time_budget_for(task, self.services.config, files.directory / "clock.json")
        allocation = Allocation(self.board, files, task, ledger, clock)
        routing = TaskRouting(self.router, files) if self.router is not None else None
        return TaskRun(
            self.services,
            task,
            files,
            ledger,
            order,
            states=states,
            clock=clock,
            allocation=allocation,
            routing=routing,
        )


NOT_INDEPENDENT = (
    "bank.across_tasks: tasks read what earlier tasks of this run noted, so they are not independent and their order "
    "matters; say so beside the figures"
)


async def play(request: RunRequest) -> list[TaskResult]:
    """Run the method on every task of the env; returns the results in the env's order.

    Raises:
        UsageError: the directory is in use or holds a different run.
        PreflightFailed, BackendUnavailable, ImageMissing, ModelUnavailable, ModelConfigError: before anything is spent.
    """
    async with at_work(request) as work:
        async with metered(work.services):
            results = await _play_tasks(work)
        announce_end(work.services.events, results)
    return results


@asynccontextmanager
async def at_work(request: RunRequest) -> AsyncIterator[Work]:
    """Take the run directory, check requirements, and open everything; everything is closed in the end.

    Raises:
        Whatever `play` raises.
    """
    checked_policy(request.config, request.chosen)
    check_routing(request.config)
    store = RunStore.open(request.directory, make_manifest(request), extend=request.extend)
    try:
        _check_disk(request)
        check_host_limits(request.config.at_once)
        with listening(request, store) as events:
            async with _opened(request, store, events) as work:
                yield work
    finally:
        store.close()


@contextmanager
def listening(request: RunRequest, store: RunStore) -> Iterator[EventLog]:
    """The run's event log, connected to the request's listeners."""
    events = EventLog(store.events_path)
    try:
        for listener in request.listeners:
            events.listen(listener)
        for fault in store.faults:
            events.emit("warning", text=fault)
        yield events
    finally:
        events.close()


def announce_end(events: EventLog, results: Sequence[TaskResult]) -> None:
    """Emit the run's last event."""
    statuses = [result.status for result in results]
    events.emit("run_finished", statuses={one: statuses.count(one) for one in sorted(set(statuses))})


def make_manifest(request: RunRequest) -> Manifest:
    """The run's manifest: what decides a request's results (identity), and what else is worth knowing."""
    tasks = {task.id: task_digest(task) for task in request.chosen}
    return Manifest(
        run_id=request.directory.resolve().name,
        instance=secrets.token_hex(4),
        command=request.command,
        identity={"config": request.config.identity(), "env": request.env.name, "tasks": tasks},
        about=dict(programs()),
    )


@asynccontextmanager
async def _opened(request: RunRequest, store: RunStore, events: EventLog) -> AsyncIterator[Work]:
    charges = store.charges()
    run_id, env = store.manifest.run_id, request.env
    config = request.config.model_copy(update={"sandbox": request.config.sandbox.hiding(request.directory)})
    images, keeper = _images(request, store), request.images
    fetch = keeper.fetch if keeper else None
    async with open_services(run_id, config, env, events, images=images, fetch=fetch) as services:
        if _one_by_one(request) and services.backend.name != "docker":  # nothing is pulled there
            await services.backend.preflight(sorted({task.image for task in request.chosen}))
        announce_start(request, events, resumed=bool(charges), sandbox=services.backend.name)
        if request.work is not None:
            await lock_run(store.directory / "lock.json", request.work, services, request.repeats)
        announce_missing(store, events, {task.id for task in request.chosen})
        services.tell_of_models()
        if doubt := sameness(config):
            events.emit("warning", text=doubt)
        if config.bank.across_tasks and len(request.chosen) > 1:
            events.emit("warning", text=NOT_INDEPENDENT)
        with charged(request, store, charges):
            yield Work(
                services=services,
                store=store,
                charges=_by_task(charges),
                request=request,
                board=Board(config, store, request.chosen, events),
                router=Router(services, store) if config.routing.votes or config.routing.summaries else None,
            )


def charged(request: RunRequest, store: RunStore, charges: Sequence[Charge]) -> AbstractContextManager[None]:
    """Continue the request's ledger; see `charged_to`.

    Args:
        request: owner of the ledger.
        store: the run's store, which records charges.
        charges: earlier charges.
    """
    return charged_to(request.ledger, store, charges)


@contextmanager
def charged_to(ledger: Ledger, store: RunStore, charges: Sequence[Charge]) -> Iterator[None]:
    """Continue a run's ledger from earlier charges, and record new ones.

    Args:
        ledger: the ledger.
        store: the run's store, which records charges.
        charges: earlier charges.
    """
    log = store.ledger_log()
    try:
        # Not synced to disk each time: all other rollouts would wait for it.
        ledger.restore(_spent(charges), lambda scope, usage: log.append(Charge(scope=scope, usage=usage), sync=False))
        yield
    finally:
        log.close()


async def _play_tasks(work: Work) -> list[TaskResult]:
    async with open_player(work) as player:
        return await run_tasks(work.services, work.store, work.ledger, work.request.chosen, player, work.board)


@asynccontextmanager
async def open_player(work: Work) -> AsyncIterator[Player]:
    """Open what is needed to play and grade single tasks of the run."""
    from heats.runner.pipeline import run_task  # langgraph takes a second to import

    services, store = work.services, work.store
    one_by_one = _one_by_one(work.request) and services.backend.name == "docker"

    async def player(task: Task, order: int) -> TaskResult:
        if one_by_one and store.task(task.id).result() is None:
            await _fetch_now(work, task)
        run = work.task_run(task, order)
        result = await run_task(run, checkpointer)
        await remember(run)  # before anything is graded
        await grade_task(services, store.task(task.id), store.grades, task, order)
        if work.request.images is not None and store.task(task.id).result() is not None:
            await work.request.images.done(task, services.backend)
        return result

    async with open_checkpoints(store.directory / "checkpoints.sqlite") as checkpointer:
        yield player


@asynccontextmanager
async def open_checkpoints(path: Path) -> AsyncIterator[Any]:
    """LangGraph's SQLite checkpointer, deserialising strictly; a broken database is set aside without losing work."""
    import aiosqlite
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    for attempt in (1, 2):
        connection = await aiosqlite.connect(path)
        try:
            await connection.execute("PRAGMA synchronous=FULL")
            saver = AsyncSqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
            await saver.setup()
        except aiosqlite.DatabaseError:
            await connection.close()
            if attempt == 2:
                raise
            await asyncio.to_thread(_set_aside, path)
            continue
        try:
            yield saver
        finally:
            async with saver.lock:  # closed in the middle of a write, SQLite would keep the database locked
                await connection.close()
        return


def _set_aside(database: Path) -> None:
    """Set a database aside with its write-ahead log, which SQLite would otherwise replay into the next database."""
    database.replace(database.with_suffix(".broken"))
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _images(request: RunRequest, store: RunStore) -> set[str] | None:
    """The images that must exist; None if no sandbox is started."""
    if not request.sandboxes:
        return None
    if request.images is None:
        return {task.image for task in request.chosen}
    unfinished = {task.id for task in request.chosen if store.task(task.id).result() is None}
    needed = request.images.needed(store.directory, request.chosen, unfinished)
    if not _one_by_one(request):
        return needed
    # The first one shows whether its registry can be reached, before anything is spent.
    return {task.image for task in [task for task in request.chosen if task.id in unfinished][:1]}


def _one_by_one(request: RunRequest) -> bool:
    """Whether each image is fetched when its first task starts."""
    return request.images is not None and request.images.one_by_one and not isinstance(request.env, MakesImages)


async def _fetch_now(work: Work, task: Task) -> None:
    """Fetch a task's image; if it cannot be had, only tasks with that image fail, and the next attempt tries again."""
    services, keeper = work.services, work.request.images
    assert keeper is not None
    try:
        await keeper.fetch(services.env, {task.image}, services.backend)
        await services.backend.preflight([task.image])
    except (PreflightFailed, SandboxError) as error:
        services.unmade[task.image] = str(error)
        return
    services.unmade.pop(task.image, None)
    if work.request.work is not None:
        await lock_image(work.store.directory / "lock.json", task.image, services)


def announce_start(request: RunRequest, events: EventLog, *, resumed: bool, sandbox: str) -> None:
    """Emit the run's first events: what will be done, and what is left out.

    Args:
        request: the run.
        events: the run's event log.
        resumed: the run directory existed before.
        sandbox: name of the sandbox backend.
    """
    config = request.config
    data: dict[str, Any] = {
        "command": request.command,
        "tasks": [task.id for task in request.chosen],
        "rollouts": config.rollouts,
        "iterations": config.iterations,
        "select_k": config.select_k,
        "group_size": config.tournament.group_size,
        "votes": config.tournament.full_match,
        "model": " + ".join(one.name for one in config.models) or (config.model.name if config.model else ""),
    }
    events.emit("run_resumed" if resumed else "run_started", **data, sandbox=sandbox)
    if request.left_out:
        events.emit("left_out", reasons=dict(request.left_out))
    asked, cast = config.tournament.votes, config.tournament.full_match
    if asked != cast:
        orders = f"{config.tournament.group_size} orders equally often"
        events.emit("warning", text=f"tournament.votes is raised from {asked} to {cast} to show all {orders}")


def _by_task(charges: Sequence[Charge]) -> dict[str, list[Charge]]:
    found: dict[str, list[Charge]] = {}
    for charge in charges:
        found.setdefault(charge.task, []).append(charge)
    return found


def _spent(charges: Sequence[Charge]) -> Usage:
    return sum((charge.usage for charge in charges), Usage())


def _check_disk(request: RunRequest) -> None:
    free_mb = shutil.disk_usage(request.directory).free >> 20
    floor = request.config.min_free_disk_mb
    if free_mb < floor:
        raise PreflightFailed(
            f"only {free_mb} MiB free in {request.directory}, {floor} needed: free some space, choose another --out, "
            "or lower min_free_disk_mb"
        )
