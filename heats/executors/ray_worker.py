"""One machine of a cluster, with its own sandboxes and its own shard of the run store, both gone when it ends.

A task arrives with the files that the run has for it, and returns as updates: changed files, then charges, then events,
each after the record it refers to. So the submitter's run directory always looks as if the task had been played there,
and any machine can resume it.
"""

import asyncio
import json
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.llm.ledger import Ledger, Usage
from core.aio import first_error
from envs.base import MakesImages, Task
from heats.config import HeatsConfig
from heats.errors import PreflightFailed
from heats.runner.lock import task_digest
from heats.runner.run import RunRequest, Work, at_work, open_player
from heats.runner.schedule import Player, guarded
from heats.runner.server_metrics import metered
from heats.store.events import RunEvent
from heats.store.files import slug, write_bytes
from heats.store.records import Charge
from heats.sweep.dataset import Dataset
from heats.sweep.images import ImageKeeper

_log = logging.getLogger(__name__)
_PREFIX = "heats-shard-"

Update = dict[str, Any]
"""`files`: bytes by path relative to the run directory; `charges`, `events`: JSON texts; finally `result` or `fatal`.
"""


class Shard:
    """Plays tasks for a driver elsewhere. Ray creates one per machine.

    Args:
        order: what to play: `run_id`, `config`, `dataset`, `tasks` (digests by id), `pull`, `prune`.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._config = HeatsConfig.model_validate_json(order["config"])
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self._directory = self._folder / str(order["run_id"])
        self._ledger = Ledger("run", self._config.limits.run)
        self._others = Usage()
        self._events: dict[str, asyncio.Queue[RunEvent]] = {}
        self._images = ImageKeeper(pull=order["pull"], prune=order["prune"], say=_log.info)
        self._stop, self._ready = asyncio.Event(), asyncio.Event()
        self._playing: set[asyncio.Future[Any]] = set()
        self._tickets = 0
        self._counted: list[tuple[str, dict[str, Any]]] = []
        self._failed = ""
        self._work: Work
        self._player: Player
        self._host: asyncio.Task[None] | None = None
        self._gate: asyncio.Semaphore

    async def open(self) -> str:
        """Open everything that tasks need here; returns why that failed, or an empty string."""
        self._host = asyncio.ensure_future(self._hold())
        ready = asyncio.ensure_future(self._ready.wait())
        await asyncio.wait({self._host, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        return self._failed

    async def _hold(self) -> None:
        try:
            await asyncio.to_thread(_sweep_up)
            dataset = Dataset(**self._order["dataset"])
            env = await asyncio.to_thread(dataset.open)
            wanted: Mapping[str, str] = self._order["tasks"]
            tasks = [task for task in env.tasks() if task.id in wanted]
            if {task.id: task_digest(task) for task in tasks} != wanted:
                raise PreflightFailed(f"the data set {dataset.name} differs on this machine")
            later = self._order["pull"] or isinstance(env, MakesImages)
            request = RunRequest(
                command="sweep",
                directory=self._directory,
                config=self._config,
                env=env,
                tasks=[] if later else tasks,
                listeners=(self._heard,),
                ledger=self._ledger,
            )
            self._tasks = {task.id: task for task in tasks}
            async with at_work(request) as work, metered(work.services, self._count), open_player(work) as player:
                self._work, self._player = work, guarded(work.services, work.store, player)
                self._images.needed(self._directory, tasks, set(self._tasks))
                self._gate = asyncio.Semaphore(2 * work.services.slots.count + 2)
                self._ready.set()
                await self._stop.wait()
        except Exception as error:
            self._failed = said(error)
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder, True)

    async def idle(self) -> int:
        """Wait until this machine has room for one more task; returns a ticket for it."""
        await self._gate.acquire()
        await self._work.services.slots.idle()
        self._tickets -= 1
        self._work.services.slots.expect(self._tickets)
        return self._tickets

    async def others(self, usage: dict[str, Any]) -> None:
        """Set the usage of all other machines and of earlier invocations."""
        others = Usage.model_validate(usage)
        self._ledger.spent = self._ledger.spent - self._others + others
        self._others = others

    async def play(
        self, ticket: int, task_id: str, order: int, files: Mapping[str, bytes], charges: Sequence[str]
    ) -> AsyncIterator[Update]:
        """Play one task, yielding updates as they become available.

        Args:
            ticket: the ticket from `idle`.
            task_id: id of the task.
            order: the task's position in the run, which decides its priority.
            files: the run's files for the task, by path.
            charges: charges made for the task so far, as JSON.
        """
        slots = self._work.services.slots
        slots.forget(ticket)
        try:
            async for update in self._played(self._tasks[task_id], order, files, charges):
                yield update
        finally:
            slots.forget(order)
            self._gate.release()

    async def _played(
        self, task: Task, order: int, files: Mapping[str, bytes], charges: Sequence[str]
    ) -> AsyncIterator[Update]:
        for name, data in files.items():
            write_bytes(self._directory / name, data, durable=False)
        watch = _Changes(self._directory, task.id)
        queue = self._events[task.id] = asyncio.Queue()
        playing = asyncio.ensure_future(self._play(task, order, charges))
        self._playing.add(playing)
        try:
            while not playing.done() or not queue.empty():
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.wait({waiting, playing}, return_when=asyncio.FIRST_COMPLETED)
                events = [waiting.result()] if waiting.done() else []
                waiting.cancel()
                while not queue.empty():
                    events.append(queue.get_nowait())
                yield await asyncio.to_thread(watch.update, events)
            try:
                yield {**watch.update([]), "result": playing.result().model_dump_json()}
            except Exception as error:
                yield {**watch.update([]), "fatal": (type(error).__name__, said(error))}
        finally:
            self._events.pop(task.id, None)
            self._playing.discard(playing)
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    async def _play(self, task: Task, order: int, charges: Sequence[str]) -> Any:
        services = self._work.services
        if not self._work.request.chosen:
            await self._images.fetch(services.env, {task.image}, services.backend)
            if isinstance(services.env, MakesImages):
                services.unmade.update(await services.env.make_images({task.image}, services.backend))
            if task.image not in services.unmade:
                await services.backend.preflight([task.image])
        self._work.charges[task.id] = [Charge.model_validate_json(one) for one in charges]
        result = await self._player(task, order)
        if self._work.store.task(task.id).result() is not None:
            await self._images.done(task, services.backend)
        return result

    def _heard(self, event: RunEvent) -> None:
        queue = self._events.get(event.task or "")
        if queue is not None:
            queue.put_nowait(event)

    def _count(self, place: str, data: Mapping[str, Any]) -> None:
        self._counted.append((place, dict(data)))

    async def stop(self) -> list[tuple[str, dict[str, Any]]]:
        """Close everything; sandboxes of running tasks are closed by the tasks' cancellation.

        Returns:
            The model servers, each with the counters of the meantime.
        """
        playing = list(self._playing)
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
        self._stop.set()
        if self._host is not None:
            await asyncio.wait({self._host}, timeout=30)
        return self._counted


class _Changes:
    """Tracks what changed in one task's files since the last update."""

    def __init__(self, directory: Path, task_id: str) -> None:
        self._directory, self._task_id = directory, task_id
        self._seen: dict[str, tuple[int, int]] = {}
        self._read = 0
        self._charges()
        for name, stamp in self._stamps():
            self._seen[name] = stamp

    def update(self, events: Sequence[RunEvent]) -> Update:
        """Changed files, then charges; the given events refer to nothing newer."""
        files: dict[str, bytes | None] = {}
        now = dict(self._stamps())
        for name in self._seen.keys() - now.keys():
            files[name] = None
        for name, stamp in now.items():
            if self._seen.get(name) != stamp:
                try:
                    files[name] = (self._directory / name).read_bytes()
                except FileNotFoundError:
                    continue
        self._seen = now
        return {"files": files, "charges": self._charges(), "events": [event.model_dump_json() for event in events]}

    def _charges(self) -> list[str]:
        """This task's new charges."""
        path = self._directory / "ledger.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as lines:
            lines.seek(self._read)
            new = [line for line in lines if line.endswith(b"\n")]
        self._read += sum(len(line) for line in new)
        charges = [Charge.model_validate_json(line) for line in new]
        return [one.model_dump_json() for one in charges if one.task == self._task_id]

    def _stamps(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for place in ("tasks", "grades"):
            for folder, _, names in os.walk(self._directory / place / slug(self._task_id)):
                for name in names:
                    path = Path(folder, name)
                    try:
                        about = path.stat()
                    except FileNotFoundError:
                        continue
                    if not name.startswith("."):
                        yield path.relative_to(self._directory).as_posix(), (about.st_mtime_ns, about.st_size)


def _sweep_up() -> None:
    """Remove directories left here by shards of dead processes."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)


def said(error: BaseException) -> str:
    """One line for an error, or for the first error in a group."""
    error = first_error(error)
    return " ".join((str(error) or type(error).__name__).split())


def order_of(request: RunRequest, dataset: Dataset, *, run_id: str, pull: bool, prune: bool) -> dict[str, Any]:
    """What a shard has to know, as plain values.

    Args:
        request: the run.
        dataset: the data set, which the shard opens itself.
        run_id: id of the run.
        pull: pull the tasks' images.
        prune: remove these images afterwards.
    """
    return {
        "run_id": run_id,
        "config": request.config.model_dump_json(),
        "dataset": json.loads(json.dumps({"name": dataset.name, "env": dataset.env, "options": dict(dataset.options)})),
        "tasks": {task.id: task_digest(task) for task in request.chosen},
        "pull": pull,
        "prune": prune,
    }
