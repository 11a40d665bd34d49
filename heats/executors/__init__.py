"""Who plays a run's tasks: this process, or the machines of a cluster."""

from collections.abc import Mapping
from typing import Protocol

from heats.errors import UsageError
from heats.runner.run import RunRequest, play
from heats.store.records import TaskResult
from heats.sweep.dataset import Dataset

EXECUTORS: Mapping[str, str] = {"local": "this machine", "ray": "every machine of a Ray cluster"}


class Executor(Protocol):
    """Plays a request's tasks into its run directory. Resuming, budgets and results are the same for all of them."""

    async def play(self, request: RunRequest) -> list[TaskResult]:
        """Play every task; results in the tasks' order.

        Raises:
            as `heats.runner.run.play`.
        """
        ...


class LocalExecutor:
    """Plays them in this process."""

    async def play(self, request: RunRequest) -> list[TaskResult]:
        """See `Executor.play`."""
        return await play(request)


def open_executor(name: str, dataset: Dataset, *, pull: bool = False, prune: bool = False) -> Executor:
    """An executor by name.

    Args:
        dataset: as other machines can open it.
        pull, prune: what other machines do about the tasks' images.

    Raises:
        UsageError: no such executor, or what it needs is not installed.
    """
    if name == "local":
        return LocalExecutor()
    if name == "ray":
        from heats.executors.ray_executor import RayExecutor

        return RayExecutor(dataset, pull=pull, prune=prune)
    raise UsageError(f"--executor {name}: unknown; choose one of {', '.join(EXECUTORS)}")
