"""Going on with a rollout whose process was killed: its model calls are kept, its commands are run again.

A fresh sandbox knows nothing of what the rollout did. So the recorded commands are run again, unseen by the model,
whose conversation goes on from what it was shown before. When a command does not end as it did, the tree cannot be
trusted to be the same: the rollout is started over.
"""

from collections.abc import Awaitable, Callable

from agents.errors import AgentsError
from agents.llm.base import Completion, Message
from agents.tools import Command, command_of
from agents.trajectory import Observation, Step, Trajectory
from sandbox.base import ExecResult


class Diverged(AgentsError):
    """A recorded command ended differently when it was run again."""


def resumable(trajectory: Trajectory | None) -> Trajectory | None:
    """The trajectory of a rollout without an outcome, if the rollout can go on from it.

    That is any with a model's reply, also one that came to its end: what it handed in was in a sandbox that is gone.
    """
    if trajectory is None or (trajectory.exit is not None and trajectory.exit.kind == "sandbox_lost"):
        return None
    return trajectory if trajectory.agent_steps else None


def as_message(step: Step) -> Message:
    """The assistant message that a step was made of, exactly as it was sent back to the server."""
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
    """The step, keeping its message only where it could not be made again from the other fields."""
    if as_message(step) == completion.message:
        return step
    return step.model_copy(update={"sent": completion.message})


def before_submission(step: Step) -> list[Observation]:
    """What a recorded step observed, up to the call that submitted: that one is to be acted on again."""
    pairs = list(zip(step.tool_calls, step.observations, strict=False))
    ends = [index for index, (call, seen) in enumerate(pairs) if call.name == "submit" and seen.status != "rejected"]
    return [seen for _, seen in pairs[: ends[0] if ends else None]]


async def repeat_commands(step: Step, run: Callable[[Command], Awaitable[ExecResult]]) -> None:
    """Run a recorded step's commands again for what they change.

    Raises:
        Diverged: one ends with another status or exit code than recorded.
        SandboxError
    """
    for call, seen in zip(step.tool_calls, step.observations, strict=False):
        command, _ = command_of(call)
        if command is None or seen.status == "rejected":
            continue
        result = await run(command)
        if (result.status, result.exit_code) != (seen.status, seen.exit_code):
            raise Diverged(f"step {step.id} ended with {result.status} {result.exit_code} when it was run again")
