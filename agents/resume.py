"""Resume a rollout whose process was killed: its model calls are kept, its commands are rerun.

A fresh sandbox contains none of the rollout's work. The recorded commands are therefore rerun without involving the
model, whose conversation continues from what it was shown originally. If a command ends differently, the tree cannot be
assumed to be the same, and the rollout starts over.
"""

from collections.abc import Awaitable, Callable

from agents.errors import AgentsError
from agents.llm.base import Completion, Message
from agents.tools import Command, command_of
from agents.trajectory import Observation, Step, Trajectory
from sandbox.base import ExecResult


class Diverged(AgentsError):
    """A recorded command ended differently when rerun."""


def resumable(trajectory: Trajectory | None) -> Trajectory | None:
    """Return the trajectory of a rollout without an outcome if the rollout can resume from it, else None.

    It can if the model has replied at least once. This includes finished rollouts, whose submission was lost with their
    sandbox.
    """
    if trajectory is None or (trajectory.exit is not None and trajectory.exit.kind == "sandbox_lost"):
        return None
    return trajectory if trajectory.agent_steps else None


def branch_of(trajectory: Trajectory, turns: int, *, rollout: str) -> Trajectory:
    """Begin a rollout with another one's first turns; `resume` it to continue from there.

    Args:
        trajectory: the finished rollout to branch off; it may be a branch itself.
        turns: number of its model turns to take over, at least 1.
        rollout: ID of the new rollout.

    Returns:
        An unfinished trajectory that has spent nothing.
    """
    ends = [index for index, step in enumerate(trajectory.steps) if step.source == "agent"]
    taken = trajectory.steps[: ends[turns - 1] + 1]
    return Trajectory(
        id=rollout,
        task_id=trajectory.task_id,
        agent=trajectory.agent,
        model=trajectory.model,
        seed=trajectory.seed,
        steps=tuple(step.model_copy(update={"copied": True, "usage": None}) for step in taken),
        parents=(trajectory.id,),
    )


def as_message(step: Step) -> Message:
    """Rebuild the assistant message of a step exactly as it was sent back to the server."""
    if step.sent is not None:
        return dict(step.sent)
    message: Message = {"role": "assistant", "content": step.content if step.content or not step.tool_calls else None}
    if step.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in step.tool_calls
        ]
    return message


def with_odd_message(step: Step, completion: Completion) -> Step:
    """Keep a step's message only if it cannot be rebuilt from the other fields."""
    if as_message(step) == completion.message:
        return step
    return step.model_copy(update={"sent": completion.message})


def before_submission(step: Step) -> list[Observation]:
    """List a recorded step's observations before the call that ended the rollout, which has to be executed again."""
    pairs = list(zip(step.tool_calls, step.observations, strict=False))
    ends = [
        index
        for index, (call, seen) in enumerate(pairs)
        if call.name != "bash" and seen.status not in ("rejected", "refused")
    ]
    return [seen for _, seen in pairs[: ends[0] if ends else None]]


async def repeat_commands(step: Step, run: Callable[[Command], Awaitable[ExecResult]]) -> float:
    """Rerun a recorded step's commands for their side effects; returns the seconds that they took.

    Raises:
        Diverged: a command ends with another status or exit code than recorded.
        SandboxError: the sandbox failed.
    """
    seconds = 0.0
    for call, seen in zip(step.tool_calls, step.observations, strict=False):
        command, _ = command_of(call)
        if command is None or seen.status in ("rejected", "refused"):
            continue
        result = await run(command)
        seconds += result.duration_s
        if (result.status, result.exit_code) != (seen.status, seen.exit_code):
            raise Diverged(f"step {step.id} ended with {result.status} {result.exit_code} when it was run again")
    return seconds
