"""What a trajectory looks like as text, and what the harness counts."""

from agents.llm.base import ToolCall
from agents.trajectory import Step
from summarizer.facts import patch_stats
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


def test_lines_that_look_like_headers_are_content() -> None:
    patch = b"diff --git a/x.sql b/x.sql\n--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n--- old\n+++ new\n y\n"
    assert patch_stats(patch) == (("x.sql",), 1, 1)


def test_new_removed_and_binary_files_are_counted() -> None:
    patch = (
        b"diff --git a/new.py b/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x\n"
        b"\\ No newline at end of file\ndiff --git a/b.bin b/b.bin\nGIT binary patch\nliteral 3\nKcmZ\n\n"
    )
    assert patch_stats(patch) == (("new.py", "b.bin"), 1, 0)


def test_an_empty_patch_has_nothing() -> None:
    assert patch_stats(b"") == ((), 0, 0)
