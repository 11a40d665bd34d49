"""An agent that does nothing: what a task is worth untouched. It asks no model."""

from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger
from agents.trajectory import Exit, Step, Trajectory
from sandbox.base import Sandbox


class NoopAgent:
    """An `Agent` that submits at once."""

    name = "noop"

    def __init__(self, config: AgentConfig) -> None:
        self.config = config

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Submit; see `Agent.run`."""
        trajectory = submitted(assignment, self.name, "nothing was done")
        save(trajectory)
        return trajectory


def submitted(assignment: Assignment, agent: str, said: str) -> Trajectory:
    """The trajectory of an agent that asks no model: the task, what it did in one line, and a submission."""
    told = Step(id=1, source="user", content=assignment.instruction)
    return Trajectory(
        id=assignment.rollout_id,
        task_id=assignment.task_id,
        agent=agent,
        model="none",
        seed=assignment.seed,
        steps=(told, Step(id=2, source="agent", content=said)),
        exit=Exit(kind="submitted"),
        parents=assignment.parents,
    )
