"""An agent that does nothing and uses no model, to measure what the unmodified tree is worth."""

from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger
from agents.trajectory import Exit, Step, Trajectory
from sandbox.base import Sandbox


class NoopAgent:
    """An agent that submits immediately."""

    name = "noop"

    def __init__(self, config: AgentConfig) -> None:
        self.config = config

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Submit; see `Agent.run`.

        Args:
            assignment: the task.
            sandbox: unused.
            model: unused.
            ledger: unused.
            save: called once.
        """
        trajectory = submitted(assignment, self.name, "nothing was done")
        save(trajectory)
        return trajectory


def submitted(assignment: Assignment, agent: str, said: str) -> Trajectory:
    """Build the trajectory of an agent without a model: the task, what was done, and a submission.

    Args:
        assignment: the task.
        agent: name of the agent.
        said: one line on what the agent did.
    """
    task = Step(id=1, source="user", content=assignment.instruction)
    return Trajectory(
        id=assignment.rollout_id,
        task_id=assignment.task_id,
        agent=agent,
        model="none",
        seed=assignment.seed,
        steps=(task, Step(id=2, source="agent", content=said)),
        exit=Exit(kind="submitted"),
        parents=assignment.parents,
    )
