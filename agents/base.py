"""The agent contract: a policy loop that works on one task in one sandbox and produces a trajectory.

The bash agent (`bash_agent.py`) is the reference implementation. Agents know nothing about grading, heats or
tournaments.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from agents.llm.base import ChatModel, Sampling
from agents.llm.ledger import Ledger
from agents.trajectory import Trajectory
from sandbox.base import Sandbox

SaveStep = Callable[[Trajectory], None]
"""Called after every step with the trajectory so far; writes it to disk before the next model call."""


@dataclass(frozen=True, slots=True)
class BaseRun:
    """The result of the test command on the unmodified tree.

    Attributes:
        ending: how it ends, as a verb phrase: `ends with exit code 1`.
        seconds: how long it takes.
        failing: IDs of the first failing tests.
        more: number of further failing tests.
    """

    ending: str
    seconds: int
    failing: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """How many turns of an attempt one rollout plays.

    Attributes:
        turns: model turns of its own; those that it took over from another rollout do not count.
        later: turns left for rollouts that continue from its end. With any, it ends as `paused`, else as `step_limit`.
    """

    turns: int
    later: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The input of one rollout, and its identity.

    Attributes:
        rollout_id: ID of the rollout, `heat-0/rollout-03`.
        task_id: ID of the task.
        instruction: the task's statement, as the agent may see it. Untrusted: use it as a template variable, never as a
            template.
        workdir: directory of the project in the sandbox.
        seed: seed of this rollout; the same seed, model and replies reproduce it.
        test_command: command that checks whether the tree works, if there is one.
        base: result of `test_command` on the unmodified tree, if known.
        limits: what the rollout may use, such as `100 replies`.
        time_limit_s: seconds after which the rollout is ended from outside; None for no limit.
        refinement: records of earlier rollouts, as the context rule orders them; empty in the first heat.
        others: one line for each earlier rollout that was not kept.
        notes: whether `refinement` holds other texts about earlier rollouts instead of their records.
        role: what to do with `refinement`; empty for the usual.
        diffs: folder in the sandbox with the changes of these records, `attempt-1.diff` ...; empty if there is none.
        started_from: earlier attempt whose change is in the tree already, such as `attempt 1`; empty for none.
        parents: IDs of the rollouts that `refinement` came from.
        knowledge: what earlier work on other tasks noted, as a section of the first message; empty if there is nothing.
        resume: the same rollout's trajectory from an interrupted process, to continue from; an agent may ignore it and
            start over.
        slice: the part of the attempt to play; None for all of it, up to `agent.step_limit`.
        sampling: sampling parameters of all model requests.
        drafter: a second, cheaper model for step choosers that use one.
    """

    rollout_id: str
    task_id: str
    instruction: str
    workdir: str
    seed: int
    test_command: str | None = None
    base: BaseRun | None = None
    limits: tuple[str, ...] = ()
    time_limit_s: float | None = None
    refinement: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    notes: bool = False
    role: str = ""
    diffs: str = ""
    started_from: str = ""
    parents: tuple[str, ...] = ()
    knowledge: str = ""
    resume: Trajectory | None = None
    slice: Slice | None = None
    sampling: Sampling = field(default_factory=Sampling)
    drafter: ChatModel | None = None


@runtime_checkable
class BringsFiles(Protocol):
    """An agent of which a part runs in the sandbox and comes from this machine.

    Example:
        >>> import asyncio
        >>> class MyTool:
        ...     async def mounts(self):
        ...         return {"/opt/my-tool": "/usr/local/my-tool"}
        >>> asyncio.run(MyTool().mounts())
        {'/opt/my-tool': '/usr/local/my-tool'}
    """

    async def mounts(self) -> Mapping[str, str]:
        """Provide the files, once per run; returns the sandboxes' read-only mounts, host directory -> path inside.

        Raises:
            AgentUnusable: they cannot be provided.
        """
        ...


class Agent(Protocol):
    """A policy loop.

    Example:
        A complete agent, run with a scripted model and sandbox:

        >>> import asyncio
        >>> from agents.llm.fake import FakeModel
        >>> from agents.trajectory import Exit, Step
        >>> from sandbox.fake import FakeSandbox
        >>> class OneShotAgent:
        ...     name = "one-shot"
        ...     async def run(self, assignment, sandbox, model, ledger, save):
        ...         task = Step(id=1, source="user", content=assignment.instruction)
        ...         messages = [{"role": "user", "content": task.content}]
        ...         reply = await model.complete(messages, ledger=ledger, sampling=assignment.sampling)
        ...         await sandbox.exec(reply.first.content, timeout=60)
        ...         trajectory = Trajectory(
        ...             id=assignment.rollout_id, task_id=assignment.task_id, agent=self.name, model=model.name,
        ...             seed=assignment.seed, exit=Exit(kind="submitted"), usage=reply.usage,
        ...             steps=(task, Step(id=2, source="agent", content=reply.first.content)),
        ...         )
        ...         save(trajectory)
        ...         return trajectory
        >>> task = Assignment(rollout_id="heat-0/rollout-00", task_id="t", instruction="Touch x.", workdir="/w", seed=1)
        >>> sandbox, model = FakeSandbox([""]), FakeModel("touch x")
        >>> run = OneShotAgent().run(task, sandbox, model, Ledger("example"), save=lambda trajectory: None)
        >>> asyncio.run(run).exit.kind, sandbox.commands
        ('submitted', ['touch x'])
    """

    name: str

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Work until submission or a limit.

        Model and sandbox failures do not raise but end the trajectory with a typed exit, so that completed work is
        kept. Only cancellation propagates, after the trajectory was saved with exit `cancelled`.

        Args:
            assignment: the task, and the identity of the rollout.
            sandbox: the machine that contains the project.
            model: the chat model.
            ledger: accounts for the rollout's tokens and enforces its limits.
            save: called after every step.

        Returns:
            The finished trajectory; its `exit` is set.

        Raises:
            ModelConfigError: no rollout can succeed with this model as configured.
            Diverged: the rollout to resume cannot be restored and must be started over.
        """
        ...
