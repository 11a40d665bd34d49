"""The oracle: an agent that plays a task's reference solution, to check that the task can be solved here.

It is not part of the `agents` room, whose agents never get access to an env. Only the oracle receives its env's
solution, and only if the user asks for the agent `oracle`.
"""

from agents.base import Assignment, SaveStep
from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger
from agents.noop import submitted
from agents.trajectory import Exit, Trajectory
from envs.base import Env, KnowsSolution
from envs.errors import SetupFailed, TaskError
from heats.errors import UsageError
from sandbox.base import Sandbox
from sandbox.errors import SandboxError

NAME = "oracle"


class OracleAgent:
    """An `Agent` that calls no model.

    Raises:
        UsageError: the env has no solutions.
    """

    name = NAME

    def __init__(self, env: Env) -> None:
        if not isinstance(env, KnowsSolution):
            raise UsageError(f"--agent oracle: the env {env.name} has no reference solutions")
        self._env = env

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Play the solution and submit; see `Agent.run`.

        Args:
            assignment: the task.
            sandbox: the prepared sandbox.
            model: unused.
            ledger: unused.
            save: called with the trajectory at the end.

        Raises:
            SetupFailed: the task has no solution.
        """
        try:
            result = await self._env.solve(assignment.task_id, sandbox)
            said = f"the reference solution ended with {result.status} {result.exit_code}"
            trajectory = submitted(assignment, self.name, said)
        except TaskError as error:
            raise SetupFailed(str(error)) from error
        except SandboxError as error:
            lost = submitted(assignment, self.name, "the sandbox was lost")
            trajectory = lost.model_copy(update={"exit": Exit(kind="sandbox_lost", detail=str(error))})
        save(trajectory)
        return trajectory
