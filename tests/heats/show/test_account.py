"""The account of a task tells what happened, and its Markdown does nothing that an agent asks of it."""

import re
from collections.abc import Callable

import pytest
from hostile import MARKDOWN, TERMINAL, XSS, HostileVoice
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from heats.report.account import account
from heats.report.markdown import code, fence
from heats.store.store import RunStore

MakeRun = Callable[..., RunStore]
TASK = "demo__task-000"
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HARMLESS = {
    "heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "fence", "text", "code_inline",
    "softbreak", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
}  # fmt: skip


def acts(markdown: str) -> list[str]:
    """What a rendered text does besides being read: token types, mentions and references outside code."""
    tokens = PARSER.parse(markdown)
    flat = [*tokens, *(child for token in tokens for child in token.children or [])]
    found = [token.type for token in flat if token.type not in HARMLESS]
    prose = [token.content for token in flat if token.type == "text"]
    return found + [text for text in prose if re.search(r"@\w|#\d|https?:|www\.|<", text)]


@pytest.mark.parametrize("text", [*XSS, *MARKDOWN, *TERMINAL])
def test_code_and_fences_hold_whatever_is_put_in(text: str) -> None:
    assert acts(f"- said: {code(text)}, then {code(text)}\n\n{fence(text)}\n\nend\n") == []


@given(st.text(st.one_of(st.characters(), st.sampled_from("`~<>[]()!@#\n\r\t \\|*_-&;")), max_size=60))
def test_no_text_escapes_its_span_or_fence(text: str) -> None:
    assert acts(f"x {code(text)} y\n\n{fence(text)}\n\nend\n") == []


def test_the_verdict_is_the_first_line(make_run: MakeRun) -> None:
    run = make_run(seed=1)
    first = {account(run, f"demo__task-00{number}").splitlines()[0] for number in range(3)}
    assert first <= {
        "# Verified: the patch fixes what failed and breaks nothing",
        "# Not verified: the patch is the best there is, but the tests do not prove it",
        "# No patch: no rollout changed anything that can be handed over",
    }


def test_it_tells_the_whole_story(make_run: MakeRun) -> None:
    run = make_run(infra_share=0.2)
    text = account(run, TASK)
    selected = run.task(TASK).result().selected
    assert "drops the last element" in text
    assert f"- Selected: `{selected}`, one of 16 rollouts." in text
    assert re.search(r"Evidence class \d", text)
    assert "- Before: failed: 3 failed, 9 passed" in text
    assert "diff --git a/merge.py b/merge.py" in text
    assert all(f"- `heat-{heat}/rollout-0{number}`" in text for heat in (0, 1) for number in range(8))
    assert "infrastructure: `the sandbox did not start`" in text
    assert f"tasks/{TASK}/{selected}/patch.diff" in text


def test_a_task_that_still_runs_has_an_account(make_run: MakeRun) -> None:
    run = make_run()
    (run.task(TASK).directory / "result.json").unlink()
    (run.task(TASK).directory / "task.json").unlink()
    text = account(run, TASK)
    assert text.startswith("# Not finished")
    assert "Fix it." in text


def test_a_task_that_never_began_has_an_account(make_run: MakeRun) -> None:
    assert account(make_run(), "unknown").startswith("# Not finished")


def test_a_hostile_run_renders_inert(make_run: MakeRun) -> None:
    run = make_run(tasks=1, voice=HostileVoice(), patch_note=b"\xff\xfe\x00")
    (task,) = run.manifest.identity["tasks"]
    text = account(run, task)
    assert acts(text) == []
    assert "\x1b" not in text
    assert len(text) < 300_000


def test_huge_text_is_cut_and_the_cut_is_stated() -> None:
    block = fence("y" * 1_000_000)
    assert len(block) < 5_000
    assert "characters omitted ...]" in block
