"""Contain errors: an error within a piece of work ends only that piece and is stored under its stage."""

import errno
import traceback
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agents.errors import AgentUnusable, LimitExceeded, ModelConfigError, ModelUnavailable
from core.aio import first_error
from envs.errors import BaselineUnusable, SetupFailed
from heats.errors import HeatsError
from heats.retries import RetryBudget, class_of
from heats.runner.services import Services
from heats.store.store import RolloutStore
from sandbox.errors import SandboxError

T = TypeVar("T")

ENDS_MORE = (
    *(AgentUnusable, HeatsError, LimitExceeded, ModelConfigError, ModelUnavailable, SetupFailed, BaselineUnusable),
)
"""Errors that concern the task or the run, not just one piece of its work."""
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))


def ends_more(error: BaseException) -> bool:
    """Whether an error must end more than the piece of work it came from."""
    return isinstance(error, ENDS_MORE) or (isinstance(error, OSError) and error.errno in _NO_ROOM)


def described(error: BaseException) -> str:
    """An error in one line."""
    return (f"{type(error).__name__}: {error}".strip(": ").splitlines() or [""])[0][:300]


class Boundary:
    """The boundary around the work on one rollout.

    Args:
        services: shared parts of the run.
        files: the rollout's store, which keeps errors.
        task: id of the task, for events.
    """

    def __init__(self, services: Services, files: RolloutStore, task: str) -> None:
        self._services, self._files, self._task = services, files, task

    async def contain(self, stage: str, work: Callable[[], Awaitable[T]], otherwise: Callable[[BaseException], T]) -> T:
        """Do a piece of work; after an error, return what `otherwise` makes of it.

        Sandbox failures are retried like those of rollouts.

        Args:
            stage: kind of work, such as `verification`; errors are stored under this name.
            work: does the work.
            otherwise: makes the result from an error.

        Raises:
            The errors for which `ends_more` is true.
        """
        attempts = RetryBudget(self._services.config.retries)
        while True:
            try:
                return await work()
            except Exception as error:
                cause = first_error(error)
                if ends_more(cause):
                    raise cause from error
                if isinstance(cause, SandboxError) and await attempts.again(class_of(cause)):
                    continue
                self._set_aside(stage, cause, error)
                return otherwise(cause)

    def _set_aside(self, stage: str, cause: BaseException, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error, limit=-200)).encode("utf-8", "replace")
        name = self._files.keep_error(stage.replace(" ", "-"), text)
        message = f"the {stage} of {self._files.rollout} failed: {described(cause)} (see {name})"
        self._services.events.emit("warning", task=self._task, rollout=self._files.rollout, text=message)
