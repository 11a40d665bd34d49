"""Models without tool calling: one fenced block per turn."""

import json

import pytest

from agents.text_protocol import calls_in_text


async def test_a_fenced_command_runs_and_a_fenced_submit_ends(story):
    story.sandbox.outputs["ls -a"] = "a.py"
    trajectory = await story.play("Look.\n```bash\nls -a\n```", "Done.\n```bash\nsubmit\n```", text_protocol=True)
    assert trajectory.exit.kind == "submitted"
    assert story.last_request[-1]["role"] == "user"
    assert "a.py" in story.last_request[-1]["content"]
    assert story.model.requests[0].tools == ()
    assert "exactly one block" in story.last_request[0]["content"]


async def test_the_model_itself_can_ask_for_the_text_protocol(story):
    story.model.text_protocol = True
    trajectory = await story.play("```bash\nsubmit\n```")
    assert trajectory.exit.kind == "submitted"


@pytest.mark.parametrize(
    "reply", ["no block", "```bash\na\n```\n```bash\nb\n```", "```bash\nunclosed", "```python\nx\n```"]
)
async def test_anything_but_one_block_is_a_format_error(story, reply):
    trajectory = await story.play(reply, "```bash\nsubmit\n```", text_protocol=True)
    assert "exactly one ```bash block" in trajectory.steps[3].content
    assert story.sandbox.commands == []


def test_blocks_in_leaked_reasoning_do_not_count():
    calls, problem = calls_in_text("maybe\n```bash\nrm -rf /\n```\n</think>\n```bash\nls\n```", "t1")
    assert (json.loads(calls[0].arguments), problem) == ({"command": "ls"}, "")


def test_a_command_that_merely_contains_submit_does_not_submit():
    calls, _ = calls_in_text("```bash\ngrep submit *.py\n```", "t1")
    assert calls[0].name == "bash"


def test_a_here_document_keeps_its_lines():
    calls, _ = calls_in_text("```bash\ncat > a <<'X'\n  one\n\ntwo\nX\n```", "t1")
    assert json.loads(calls[0].arguments)["command"] == "cat > a <<'X'\n  one\n\ntwo\nX"
