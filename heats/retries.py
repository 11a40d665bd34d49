"""Failures of infrastructure by class, and how often each is tried again. None of them is an answer of the agent."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from agents.trajectory import ExitKind
from core.record import Config
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxError, SandboxStartError

FailureClass = Literal["image", "sandbox_start", "sandbox_lost", "endpoint", "budget", "internal"]
"""Of a rollout: its image is gone, its sandbox did not start or died, no model answered, heats itself failed; or the
limit of its task or run cut it off, which is no failure, but is gone on with likewise once the limit is raised."""

FAILED_EXITS: Mapping[ExitKind, FailureClass] = {"sandbox_lost": "sandbox_lost", "model_error": "endpoint"}


class RetriesConfig(Config):
    """Further attempts by class of failure; a run that goes on later tries again whatever it finds failed.

    Attributes:
        sandbox_start: of a rollout whose sandbox did not start.
        sandbox_lost: of a rollout whose sandbox died; it starts over.
        endpoint: of a rollout whose model did not answer; it goes on where it was.
        grading: of a grade that says nothing, in a fresh sandbox each.
        task: of a whole task that had no result, after all others; not with one task.
        wait_s: before the second attempt, doubled before each further one.
    """

    sandbox_start: int = Field(2, ge=0)
    sandbox_lost: int = Field(1, ge=0)
    endpoint: int = Field(1, ge=0)
    grading: int = Field(1, ge=0)
    task: int = Field(1, ge=0)
    wait_s: float = Field(2.0, ge=0)

    def allowed(self, failure: FailureClass) -> int:
        """Further attempts after failures of one class; only some of them may pass by themselves."""
        return 0 if failure in ("image", "budget", "internal") else int(getattr(self, failure))


class RetryBudget:
    """The attempts of one rollout: counts its failures by class."""

    def __init__(self, config: RetriesConfig) -> None:
        self._config = config
        self._failed: dict[FailureClass, int] = {}

    async def again(self, failure: FailureClass) -> bool:
        """Whether to try again after one more failure of this class; waits as long as is due before it says yes."""
        number = self._failed[failure] = self._failed.get(failure, 0) + 1
        if number > self._config.allowed(failure):
            return False
        await asyncio.sleep(self._config.wait_s * 2 ** (number - 1))
        return True


def class_of(error: SandboxError) -> FailureClass:
    """The class of an error that the sandbox room raised around an attempt."""
    match error:
        case ImageMissing():
            return "image"
        case SandboxStartError() | BackendUnavailable():
            return "sandbox_start"
    return "sandbox_lost"
