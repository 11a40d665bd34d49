"""A rollout whose process was killed continues from its last saved step, without repeating any request."""

from dataclasses import replace

import pytest

from agents.llm.fake import bash, submit, text
from agents.resume import Diverged, as_message, resumable
from agents.trajectory import Exit
from sandbox.base import ExecResult

SCRIPT = (bash("one"), text("thinking aloud"), bash("two", "three"), bash("four"), submit())


async def whole(story):
    """Play the script to the end; every state saved on the way is one that a kill may leave behind."""
    trajectory = await story.play(*SCRIPT)
    return trajectory, list(story.saved)


def told(steps):
    return [step.model_copy(update={"timestamp": ""}) for step in steps]


@pytest.mark.parametrize("saved", range(2, 12))
async def test_from_any_saved_state_the_rollout_ends_as_if_it_had_not_been_killed(story, saved):
    uncut, states = await whole(story)
    left = states[min(saved, len(states) - 2)]
    done = sum(step.source == "agent" for step in left.steps)
    story.assignment = replace(story.assignment, resume=resumable(left))
    story.sandbox.commands.clear()
    resumed = await story.play(*SCRIPT[done:])
    assert told(resumed.steps)[:2] == told(uncut.steps)[:2]
    assert [(one.content, one.observations) for one in resumed.steps] == [
        (one.content, one.observations) for one in uncut.steps
    ]
    assert story.model.left == 0
    assert story.sandbox.commands == ["one", "two", "three", "four"]
    assert resumed.usage == uncut.usage


async def test_a_command_that_ends_otherwise_when_repeated_starts_the_rollout_over(story):
    _, states = await whole(story)
    story.assignment = replace(story.assignment, resume=resumable(states[5]))
    story.sandbox.outputs["one"] = ExecResult("exited", 1, b"")
    with pytest.raises(Diverged, match="step 3"):
        await story.play()


async def test_a_task_told_differently_is_not_resumed(story):
    _, states = await whole(story)
    story.assignment = replace(story.assignment, instruction="Another bug.", resume=resumable(states[5]))
    trajectory = await story.play(submit())
    assert trajectory.agent_steps == 1


async def test_a_rollout_that_had_submitted_but_was_not_collected_submits_again(story):
    """Killed between submission and diff, such rollouts once started over and requested every reply again."""
    uncut, _ = await whole(story)
    story.assignment = replace(story.assignment, resume=resumable(uncut))
    story.sandbox.commands.clear()
    resumed = await story.play()
    assert resumed.exit.kind == "submitted"
    assert story.sandbox.commands == ["one", "two", "three", "four"]


async def test_rollouts_without_a_reply_or_whose_sandbox_died_start_over(story):
    _, states = await whole(story)
    assert resumable(None) is None
    assert resumable(states[0]) is None
    assert resumable(states[4]) == states[4]
    lost = states[4].model_copy(update={"exit": Exit(kind="sandbox_lost")})
    assert resumable(lost) is None


async def test_a_message_that_the_fields_do_not_tell_is_kept(story):
    call = bash("ls", content="hm")
    odd = {**call.message, "reasoning_content": "because"}
    trajectory = await story.play(call.model_copy(update={"message": odd, "reasoning": "because"}), submit())
    assert as_message(trajectory.steps[2]) == odd
    assert trajectory.steps[-1].sent is None
