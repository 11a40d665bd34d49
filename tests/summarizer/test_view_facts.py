"""A trajectory as text, and the harness's counts."""

from agents.llm.base import ToolCall
from agents.trajectory import Step
from summarizer.facts import facts
from summarizer.view import render_steps, render_trajectory


def test_steps_show_tool_ending_and_command(story) -> None:
    assert render_steps(story) == (
        "[step 2] user: Fix add.",
        "[step 3] bash (exit 0): pytest -q\n3 passed in 0.1s",
        "[step 4] bash (exit 1): python check.py\nAssertionError",
    )


def test_a_long_step_keeps_head_and_tail(kit) -> None:
    text = render_trajectory(kit.trajectory(kit.ran(1, "cat", "a" * 9000 + "b" * 9000)), 1000)
    assert len(text) <= 1000
    assert text.endswith("bbb")
    assert "omitted" in text


def test_calls_with_broken_arguments_are_shown_as_they_are(kit) -> None:
    call = ToolCall(id="c", name="bash", arguments="{broken")
    steps = render_steps(kit.trajectory(Step(id=1, source="agent", content="", tool_calls=(call,))))
    assert steps == ("[step 1] bash (no result): {broken",)


def test_facts_name_files_as_models_may_read_them(kit) -> None:
    name = b"\\303\\244\\342\\200\\256.py"
    mode = b'diff --git "a/%s" "b/%s"\nold mode 100644\nnew mode 100755\n' % (name, name)
    known = facts(kit.trajectory(kit.ran(1, "ls", "")), b"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n" + mode)
    assert (known.files, known.lines_added, known.lines_removed) == (("x.py", "\u00e4\\u202e.py"), 1, 1)
