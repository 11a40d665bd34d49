"""The account of a task says what happened, and its Markdown has no effect that an agent wants."""

import re
from collections.abc import Callable

import pytest
from hostile import MARKDOWN, TERMINAL, XSS, HostileVoice
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from heats.report.account import account
from heats.report.decision import read_decision
from heats.report.markdown import code, fence
from heats.report.table import RunFigures
from heats.store.reader import read_task
from heats.store.records import TaskResult
from heats.store.store import RunStore
from heats.sweep.summary import sweep_text

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
    run = make_run(seed=1, graded=False)
    first = {account(run, f"demo__task-00{number}").splitlines()[0] for number in range(3)}
    assert first <= {
        "# Verified: the patch fixes what failed and breaks nothing",
        "# Not verified: this is the best candidate, but the tests do not prove it",
        "# No patch: no rollout produced a usable change",
    }


def test_a_graded_task_is_titled_by_its_grade_and_never_by_tests_that_nobody_gave(make_run: MakeRun) -> None:
    """A sweep with 100 % passes was reported as "0 of 2 tasks verified", and each of its rows as "not verified"."""
    run = make_run(seed=1)
    titles = {account(run, task).splitlines()[0].partition(":")[0] for task in run.manifest.identity["tasks"]}
    assert titles <= {"# Solved", "# Not solved", "# No patch"}
    figures = RunFigures.of(run)
    solved = sum(task.final == 1 for task in figures.tasks)
    assert f"{solved}/{len(figures.tasks)} solved" in figures.as_text()
    assert "verified" not in "".join(line for line in figures.as_text().splitlines() if line.startswith("demo__"))
    results = [result for task in figures.tasks if (result := run.task(task.task).result()) is not None]
    assert f"{solved} solved" in sweep_text(figures, results, 9)


def test_what_a_person_decides_by_comes_first(make_run: MakeRun) -> None:
    run = make_run(infra_share=0.0)
    winner = run.task(TASK).result().selected
    files = run.task(TASK).rollout(winner)
    told = {"progress": "Keeps the last element.", "decisions": ("Fix the loop, not its callers.",)}
    files.save_summary(files.summary().model_copy(update={**told, "doubts": ("Empty lists were not tried.",)}))
    text = account(run, TASK)
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads[:4] == [
        "The change",
        "What was not checked, and open doubts",
        "Tests before and after",
        "The strongest alternative",
    ]
    assert (
        "- As the attempt describes it: `Keeps the last element.`\n- Decision: `Fix the loop, not its callers.`" in text
    )
    assert "open doubts\n\n- Doubt stated by the attempt: `Empty lists were not tried.`" in text
    decision = read_decision(read_task(run, TASK), read_task(run, TASK).find(winner))
    rival = decision.rival
    assert rival is not None and rival.id != winner
    assert run.task(TASK).rollout(rival.id).patch().data != files.patch().data
    assert f"- `{rival.id}`, patch of" in text and "- Not chosen: " in text


def test_what_was_not_executed_is_said_to_be_unchecked(make_run: MakeRun) -> None:
    run = make_run()
    files = run.task(TASK).rollout(run.task(TASK).result().selected)
    (files.directory / "evidence.json").unlink()
    assert "- Nothing was executed to check it" in account(run, TASK)


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


def test_a_failure_of_a_sweep_cannot_steer_the_terminal(make_run):
    """Why a task failed may quote what a program in its sandbox printed."""
    failed = TaskResult(task="t\x1b[2J", status="error", cause="task", detail="the set-up failed:\x1b[2J\nall solved")
    text = sweep_text(RunFigures.of(make_run(tasks=1)), [failed], 9)
    assert "\x1b" not in text
    assert "\nall solved" not in text
