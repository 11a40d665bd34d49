"""Classes of infrastructure failures, and how often each is retried. None of them is an answer of the agent."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from agents.trajectory import ExitKind
from core.record import Config
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxError, SandboxStartError

FailureClass = Literal["image", "sandbox_start", "sandbox_lost", "endpoint", "budget", "internal"]
"""Why a rollout ended early: its image is missing, its sandbox did not start or died, no model answered, a limit of
its task or run was reached (`budget`: not a failure, but resumed once the limit is raised), or heats itself failed.
"""

FAILED_EXITS: Mapping[ExitKind, FailureClass] = {"sandbox_lost": "sandbox_lost", "model_error": "endpoint"}


class RetriesConfig(Config):
    """Number of retries by class of failure; resuming a run later retries every failure it finds.

    Attributes:
        sandbox_start: retries for a rollout whose sandbox did not start.
        sandbox_lost: retries for a rollout whose sandbox died; it starts over.
        endpoint: retries for a rollout whose model did not answer; it continues where it was.
        grading: retries for an invalid grade, each in a fresh sandbox.
        task: retries for a whole task without a result, after all other tasks; not for a single task.
        wait_s: seconds before the first retry, doubled before each further one.
    """

    sandbox_start: int = Field(2, ge=0)
    sandbox_lost: int = Field(1, ge=0)
    endpoint: int = Field(1, ge=0)
    grading: int = Field(1, ge=0)
    task: int = Field(1, ge=0)
    wait_s: float = Field(2.0, ge=0)

    def allowed(self, failure: FailureClass) -> int:
        """Number of retries for a class of failure; only some classes can be transient."""
        return 0 if failure in ("image", "budget", "internal") else int(getattr(self, failure))


class RetryBudget:
    """The attempts of one rollout: counts its failures by class."""

    def __init__(self, config: RetriesConfig) -> None:
        self._config = config
        self._failed: dict[FailureClass, int] = {}

    async def again(self, failure: FailureClass) -> bool:
        """Whether to try again after another failure of this class; if so, waits first."""
        number = self._failed[failure] = self._failed.get(failure, 0) + 1
        if number > self._config.allowed(failure):
            return False
        await asyncio.sleep(self._config.wait_s * 2 ** (number - 1))
        return True


def class_of(error: SandboxError) -> FailureClass:
    """The class of a sandbox error raised around an attempt."""
    match error:
        case ImageMissing():
            return "image"
        case SandboxStartError() | BackendUnavailable():
            return "sandbox_start"
    return "sandbox_lost"
