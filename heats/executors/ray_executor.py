"""Play a run's tasks on a Ray cluster: one shard per machine, with the run directory on the submitting machine.

Ray is the extra `heats[ray]`. Each machine needs heats, the extra, its own sandboxes and images, and the model's key in
its environment; `--workers` is per machine. `RAY_ADDRESS` names the cluster; without it, one is started here.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from agents.errors import ModelConfigError
from agents.llm.ledger import Usage
from core.registry import optional_module
from envs.base import Task
from heats.errors import InfrastructureFailed, PreflightFailed, UsageError
from heats.executors.ray_worker import Shard, Update, order_of, said
from heats.policies.registry import pauses
from heats.runner.allocation import checked_policy
from heats.runner.announcements import announce_missing
from heats.runner.grading import ungraded
from heats.runner.run import RunRequest, announce_end, announce_start, charged, listening, make_manifest
from heats.runner.server_metrics import is_local
from heats.store.events import EventLog, RunEvent
from heats.store.files import slug, write_bytes
from heats.store.records import Charge, TaskResult
from heats.store.store import RunStore
from heats.sweep.dataset import Dataset

_LOSSES = 3
"""Number of machines that one task may lose before it counts as failed by infrastructure."""
_CLOSE_S = 45.0


class RayExecutor:
    """Plays a request's tasks on every machine of a cluster.

    Args:
        dataset: the data set, which each machine opens itself.
        pull: each machine pulls the images of the tasks it receives.
        prune: each machine removes these images afterwards.
    """

    def __init__(self, dataset: Dataset, *, pull: bool = False, prune: bool = False) -> None:
        self._dataset, self._pull, self._prune = dataset, pull, prune

    async def play(self, request: RunRequest) -> list[TaskResult]:
        """See `Executor.play`.

        Raises:
            ExtraMissing: Ray is not installed.
            UsageError: the allocation policy needs all tasks in one process.
            PreflightFailed: a machine lacks something.
            InfrastructureFailed: no machine is left.
        """
        ray = optional_module("ray", "--executor ray, on this and every other machine,")
        if pauses(checked_policy(request.config, request.chosen)):
            name = request.config.policy.name
            raise UsageError(f"policy {name} shares attempts among all tasks of a sweep: use --executor local")
        store = RunStore.open(request.directory, make_manifest(request), extend=request.extend)
        try:
            charges = store.charges()
            # Ray reports on its machines on standard output, which is reserved for the result.
            with redirect_stdout(sys.stderr), listening(request, store) as events, charged(request, store, charges):
                order = order_of(
                    request, self._dataset, run_id=store.manifest.run_id, pull=self._pull, prune=self._prune
                )
                drive = _Drive(ray, request, store, events, charges)
                try:
                    await drive.open(order)
                    machines = f"Ray, {len(drive.shards)} machines"
                    announce_start(request, events, resumed=bool(charges), sandbox=machines)
                    announce_missing(store, events, {task.id for task in request.chosen})
                    results = await drive.play()
                finally:
                    await asyncio.shield(drive.close())
                announce_end(events, results)
                return results
        finally:
            store.close()


class _Drive:
    """An open run, and the shards that work on it."""

    def __init__(self, ray: Any, request: RunRequest, store: RunStore, events: EventLog, charges: list[Charge]) -> None:
        self._ray, self._request, self._store, self._events = ray, request, store, events
        self._charges = charges
        self.shards: dict[str, Any] = {}
        """Shards by node."""
        self._spent: dict[str, Usage] = {}
        self._losses: dict[str, int] = {}
        self._results: dict[str, TaskResult] = {}
        self._fatal: Exception | None = None
        self._queue: asyncio.Queue[tuple[int, Task]] = asyncio.Queue()
        self._left = 0
        self._settled = asyncio.Event()

    async def open(self, order: Mapping[str, Any]) -> None:
        """Join the cluster and open a shard on each machine.

        Raises:
            PreflightFailed: names each machine that lacks something.
        """
        ray = self._ray
        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            await asyncio.to_thread(
                ray.init, address=address, log_to_driver=False, configure_logging=False, include_dashboard=False
            )
        strategies = optional_module("ray.util.scheduling_strategies", "--executor ray")
        made = ray.remote(Shard)
        for node in ray.nodes():
            if node["Alive"]:
                here = strategies.NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
                options = {"scheduling_strategy": here, "num_cpus": 0, "max_concurrency": 1000, "max_restarts": 0}
                self.shards[node["NodeID"]] = made.options(**options).remote(order)
                self._spent[node["NodeID"]] = Usage()
        said_by = await asyncio.gather(*(shard.open.remote() for shard in self.shards.values()), return_exceptions=True)
        names = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
        failed = [
            f"{names[node]}: {said(one) if isinstance(one, BaseException) else one}"
            for node, one in zip(self.shards, said_by, strict=True)
            if one
        ]
        if failed:
            raise PreflightFailed("; ".join(sorted(set(failed))))

    async def play(self) -> list[TaskResult]:
        """Play every task; those that infrastructure prevented get another try at the end."""
        tasks = list(self._request.chosen)
        waiting = [(order, task) for order, task in enumerate(tasks) if not self._done(task)]
        async with asyncio.TaskGroup() as group:
            feeders = [group.create_task(self._feed(node, group)) for node in self.shards]
            for number in range(1 + self._request.config.retries.task):
                await asyncio.sleep(self._request.config.retries.wait_s if number else 0)
                await self._settle(waiting)
                waiting = [(order, task) for order, task in waiting if self._results[task.id].cause == "infrastructure"]
                if not waiting:
                    break
            for feeder in feeders:
                feeder.cancel()
        return [self._results[task.id] for task in tasks]

    def _done(self, task: Task) -> bool:
        """Whether the task is already done; if so, adopt its result."""
        files, config = self._store.task(task.id), self._request.config
        result = files.result()
        if result is None or (config.grade and any(ungraded(config, task, files, self._store.grades))):
            return False
        self._results[task.id] = result
        return True

    async def _settle(self, waiting: list[tuple[int, Task]]) -> None:
        """Distribute the tasks and wait until each has a result."""
        self._left = len(waiting)
        if not waiting:
            return
        self._settled.clear()
        for place in waiting:
            self._queue.put_nowait(place)
        await self._settled.wait()
        if self._fatal is not None:
            raise self._fatal
        if self._left:
            raise InfrastructureFailed("no machine of the Ray cluster is left; run the same command to resume")

    async def _feed(self, node: str, group: asyncio.TaskGroup) -> None:
        """Give a machine a task whenever one of its slots would be idle."""
        while node in self.shards:
            ticket = await self._idle(node)
            if ticket is None:
                break
            order, task = await self._queue.get()
            group.create_task(self._one(node, ticket, order, task))
        if not self.shards:
            self._settled.set()

    async def _one(self, node: str, ticket: int, order: int, task: Task) -> None:
        if await self._played(node, ticket, order, task):
            self._left -= 1
        else:
            self._queue.put_nowait((order, task))
        if not self._left or self._fatal is not None or not self.shards:
            self._settled.set()

    async def _idle(self, node: str) -> int | None:
        try:
            ticket: int = await self.shards[node].idle.remote()
            return ticket
        except self._ray.exceptions.RayError as error:
            self._lost(node, error)
            return None

    def _lost(self, node: str, error: BaseException) -> None:
        shard = self.shards.pop(node, None)
        if shard is not None:
            # The machine may only be unreachable, and nobody would learn what it goes on to spend.
            self._ray.kill(shard)
            self._events.emit("warning", text=f"a machine of the cluster was lost: {said(error)[:200]}")

    async def _played(self, node: str, ticket: int, order: int, task: Task) -> bool:
        """Have one task played; returns whether it is settled."""
        mine = [one.model_dump_json() for one in self._charges if one.task == task.id]
        files = await asyncio.to_thread(self._files_of, task)
        shard = self.shards.get(node)
        if shard is None:
            return False
        try:
            await shard.others.remote(self._others(node).model_dump())
            playing = shard.play.options(num_returns="streaming").remote(ticket, task.id, order, files, mine)
            async for reference in playing:
                await self._take(node, task, await reference)
        except self._ray.exceptions.RayError as error:
            self._lost(node, error)
            self._losses[task.id] = self._losses.get(task.id, 0) + 1
            if self._losses[task.id] < _LOSSES:
                return False
            detail = f"{_LOSSES} machines of the cluster were lost while they worked on it"
            self._results[task.id] = TaskResult(task=task.id, status="error", cause="infrastructure", detail=detail)
        return True

    def _files_of(self, task: Task) -> dict[str, bytes]:
        """The files that the run has for a task."""
        root, found = self._store.directory, dict[str, bytes]()
        for place in ("tasks", "grades"):
            for path in sorted((root / place / slug(task.id)).rglob("*")):
                if path.is_file() and not path.name.startswith("."):
                    found[path.relative_to(root).as_posix()] = path.read_bytes()
        return found

    async def _take(self, node: str, task: Task, update: Update) -> None:
        """Store an update: records first, then their costs, then the events that refer to them."""
        root, name = self._store.directory, slug(task.id)
        for place, data in update["files"].items():
            parts = Path(place).parts
            if parts[0] not in ("tasks", "grades") or parts[1] != name or ".." in parts:
                raise InfrastructureFailed(f"a machine of the cluster sent a file for {place}, which is not its task's")
            if data is None:
                (root / place).unlink(missing_ok=True)
            else:
                await asyncio.to_thread(write_bytes, root / place, data, durable=len(parts) > 2)
        for text in update["charges"]:
            self._charge(node, Charge.model_validate_json(text))
        if update["charges"]:
            for other, shard in self.shards.items():
                if other != node:
                    shard.others.remote(self._others(other).model_dump())
        for text in update["events"]:
            event = RunEvent.model_validate_json(text)
            self._events.emit(event.kind, task=event.task, rollout=event.rollout, **event.data)
        if "result" in update:
            self._results[task.id] = TaskResult.model_validate_json(update["result"])
        if "fatal" in update:
            kind, line = update["fatal"]
            self._fatal = ModelConfigError(line) if kind == "ModelConfigError" else InfrastructureFailed(line)

    def _charge(self, node: str, charge: Charge) -> None:
        self._spent[node] = self._spent[node] + charge.usage
        self._charges.append(charge)
        self._request.ledger.child(charge.scope).charge(charge.usage)

    def _others(self, node: str) -> Usage:
        """Usage of all other machines, and of earlier invocations."""
        return self._request.ledger.spent - self._spent[node]

    async def close(self) -> None:
        """Close all machines' sandboxes, store the model servers' counters, then leave the cluster."""
        stopping = {node: asyncio.ensure_future(_stopped(shard)) for node, shard in self.shards.items()}
        if stopping:
            await asyncio.wait(stopping.values(), timeout=_CLOSE_S)
        counted: dict[str, dict[str, Any]] = {}
        for node, answer in stopping.items():
            for place, data in answer.result() if answer.done() else ():
                key = f"{node} {place}" if is_local(place) else place
                # All machines count the work of a shared server; one count is enough.
                counted[key] = max(counted.get(key, data), data, key=lambda one: float(one["seconds"]))
        for data in counted.values():
            self._events.emit("server", **data)
        for shard in self.shards.values():
            self._ray.kill(shard)
        await asyncio.to_thread(self._ray.shutdown)


async def _stopped(shard: Any) -> list[tuple[str, dict[str, Any]]]:
    try:
        counted: list[tuple[str, dict[str, Any]]] = await shard.stop.remote()
        return counted
    except Exception as error:  # anything that Ray raises for a lost machine
        said(error)
        return []
