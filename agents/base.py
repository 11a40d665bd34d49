"""What an agent is: a policy loop that works on one task in one sandbox and leaves a trajectory.

The bash agent (`bash_agent.py`) is the reference. Agents know nothing of grading, heats or tournaments.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agents.llm.base import ChatModel, Sampling
from agents.llm.ledger import Ledger
from agents.trajectory import Trajectory
from sandbox.base import Sandbox

SaveStep = Callable[[Trajectory], None]
"""Called after every step with the trajectory so far; writes it to disk before the next model call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one rollout is told, and its identity.

    Attributes:
        instruction: the task's statement, as the agent may see it. Untrusted: a template's variable, never a template.
        test_command: what the user runs to see whether the tree works, if there is such a command.
        refinement: rendered summaries of earlier rollouts, the same for a whole heat; empty in the first heat.
        parents: ids of the rollouts that `refinement` came from.
        resume: the same rollout as an earlier process left it, to go on from; an agent may ignore it and start over.
        seed: of this rollout; the same seed, model and replies give the same rollout.
    """

    rollout_id: str
    task_id: str
    instruction: str
    workdir: str
    seed: int
    test_command: str | None = None
    refinement: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    resume: Trajectory | None = None
    sampling: Sampling = field(default_factory=Sampling)


class Agent(Protocol):
    """A policy loop."""

    name: str

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Work until submission or a limit.

        Model and sandbox failures end the trajectory with a typed exit instead of raising, so that what was done is
        kept. Only cancellation propagates, after the trajectory was saved with exit `cancelled`.

        Raises:
            ModelConfigError: no rollout could ever succeed with this model as configured.
            Diverged: the rollout to go on from cannot be brought back; it has to be started over.
        """
        ...
