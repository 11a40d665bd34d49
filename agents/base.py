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


@dataclass(frozen=True, slots=True)
class BaseRun:
    """What the test command does on the untouched tree.

    Attributes:
        ending: how it ends, as a verb phrase: `ends with exit code 1`.
        seconds: how long it takes.
        failing: ids of tests that fail, the first ones; `more` is how many there are besides.
    """

    ending: str
    seconds: int
    failing: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What one rollout is told, and its identity.

    Attributes:
        instruction: the task's statement, as the agent may see it. Untrusted: a template's variable, never a template.
        test_command: what the user runs to see whether the tree works, if there is such a command.
        base: what `test_command` does on the untouched tree, where that is known.
        limits: what the rollout may use, such as `100 replies`.
        refinement: records of earlier rollouts, best first, the same for a whole heat; empty in the first heat.
        others: a line on each rollout of that heat that was not kept.
        diffs: folder in the sandbox with the change of each record, `attempt-1.diff` ...; empty where there is none.
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
    base: BaseRun | None = None
    limits: tuple[str, ...] = ()
    refinement: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    diffs: str = ""
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
