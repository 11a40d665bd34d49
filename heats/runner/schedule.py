"""Many tasks at once on a fixed number of worker slots.

A task is opened as soon as a slot would be idle, so that votes and summaries, which need no sandbox, never leave
workers idle. Slots go to the oldest open task first, so that few tasks are half done at any time. Tasks that an
allocation policy pauses are opened again once all others have ended or pause, too.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence

from agents.errors import LimitExceeded, ModelConfigError
from agents.llm.ledger import Ledger
from core.aio import first_error
from envs.base import Task
from heats.errors import HeatsError
from heats.runner.allocation import Board, Paused
from heats.runner.announcements import announce_result
from heats.runner.services import Services
from heats.store.files import write_bytes
from heats.store.records import TaskResult
from heats.store.store import RunStore

Player = Callable[[Task, int], Awaitable[TaskResult]]
"""Plays one task, given its position in the run, and returns its result."""


Places = Sequence[tuple[int, Task]]
"""Tasks with their positions in the run."""


async def run_tasks(
    services: Services, store: RunStore, ledger: Ledger, tasks: Sequence[Task], player: Player, board: Board
) -> list[TaskResult]:
    """Play every task; those that infrastructure prevented are retried at the end.

    Args:
        services: shared parts of the run.
        store: the run's store.
        ledger: the run's ledger.
        tasks: tasks to play, in order of priority.
        player: plays one task.
        board: decides how tasks continue that pause.

    Returns:
        The results, in task order.

    Raises:
        ModelConfigError, HeatsError, OSError: nothing further can be played.
    """
    play = guarded(services, store, player) if len(tasks) > 1 else player
    waiting, results = list(enumerate(tasks)), dict[str, TaskResult]()
    rounds = 1 + (services.config.retries.task if len(tasks) > 1 else 0)
    for number in range(rounds):
        if number:
            await asyncio.sleep(services.config.retries.wait_s)
        playing: Places = waiting
        while playing := await _play_round(services, playing, play, results):
            board.begin_pass([task.id for _, task in playing])
        waiting = [(order, task) for order, task in waiting if results[task.id].cause == "infrastructure"]
        if not waiting or _exhausted(ledger):
            break
    return [results[task.id] for task in tasks]


async def _play_round(
    services: Services, waiting: Places, play: Player, results: dict[str, TaskResult]
) -> list[tuple[int, Task]]:
    """Play tasks; returns those that pause, in order."""
    in_turn = services.config.bank.across_tasks  # each task reads what those before it noted
    slots, gate = services.slots, asyncio.Semaphore(1 if in_turn else 2 * services.slots.count + 2)
    paused: list[tuple[int, Task]] = []

    async def one(order: int, task: Task) -> None:
        try:
            results[task.id] = await play(task, order)
        except Paused:
            paused.append((order, task))
        finally:
            slots.forget(order)
            gate.release()

    async with asyncio.TaskGroup() as group:
        for order, task in waiting:
            await gate.acquire()
            await slots.idle()
            slots.expect(order)
            group.create_task(one(order, task))
    return sorted(paused, key=lambda place: place[0])


def guarded(services: Services, store: RunStore, player: Player) -> Player:
    """Wrap a player so that a fault in one task (such as a bug in its env) fails that task only.

    Args:
        services: shared parts of the run.
        store: the run's store, which keeps the traceback.
        player: the player to wrap.
    """

    async def play(task: Task, order: int) -> TaskResult:
        try:
            return await player(task, order)
        except (Paused, ModelConfigError, HeatsError, OSError):
            raise
        except Exception as error:
            cause = first_error(error)
            if isinstance(cause, Paused | ModelConfigError | HeatsError | OSError):
                raise cause from error
            path = store.task(task.id).directory / "crash.txt"
            write_bytes(path, "".join(traceback.format_exception(error)).encode("utf-8", "replace"))
            detail = f"internal error: {type(cause).__name__}: {cause} (please report it with {path})"
            result = TaskResult(task=task.id, status="error", cause="internal", detail=detail)
            if store.task(task.id).result() is None:
                store.task(task.id).save_failed(result)
            announce_result(services.events, result)
            return result

    return play


def _exhausted(ledger: Ledger) -> bool:
    try:
        ledger.check()
    except LimitExceeded:
        return True
    return False
