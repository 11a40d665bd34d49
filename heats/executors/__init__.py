"""Where a run's tasks are played: in this process, or on the machines of a cluster."""

from collections.abc import Mapping
from typing import Protocol

from heats.errors import UsageError
from heats.runner.run import RunRequest, play
from heats.store.records import TaskResult
from heats.sweep.dataset import Dataset

EXECUTORS: Mapping[str, str] = {"local": "this machine", "ray": "every machine of a Ray cluster"}


class Executor(Protocol):
    """Plays a request's tasks into its run directory. Resuming, budgets and results are the same for all executors."""

    async def play(self, request: RunRequest) -> list[TaskResult]:
        """Play every task; returns the results in task order.

        Raises:
            Whatever `heats.runner.run.play` raises.
        """
        ...


class LocalExecutor:
    """Plays the tasks in this process."""

    async def play(self, request: RunRequest) -> list[TaskResult]:
        """See `Executor.play`."""
        return await play(request)


def open_executor(name: str, dataset: Dataset, *, pull: bool = False, prune: bool = False) -> Executor:
    """Create an executor by name.

    Args:
        name: `local` or `ray`.
        dataset: the data set, in a form that other machines can open.
        pull: other machines pull the images of their tasks.
        prune: other machines remove these images afterwards.

    Raises:
        UsageError: no such executor, or one of its dependencies is not installed.
    """
    if name == "local":
        return LocalExecutor()
    if name == "ray":
        from heats.executors.ray_executor import RayExecutor

        return RayExecutor(dataset, pull=pull, prune=prune)
    raise UsageError(f"--executor {name}: unknown; choose one of {', '.join(EXECUTORS)}")
