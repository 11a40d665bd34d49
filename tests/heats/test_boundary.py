"""Any failure inside a rollout, verification or grade ends only that, and is stored under its stage."""

import sys

import pytest
from doubles import CountingModel, PaperEnv

import heats.runner.rollout as rollout
from core.aio import first_error
from heats.store.events import read_events
from heats.store.store import RunStore


def warnings_of(tmp_path):
    return [one.data["text"] for one in read_events(tmp_path / "run" / "events.jsonl") if one.kind == "warning"]


def once(error, function):
    """The function, failing on its first call."""
    calls = []

    def instead(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return function(*args, **kwargs)

    return instead


@pytest.mark.parametrize(
    "error",
    [
        RecursionError("maximum recursion depth exceeded"),
        SystemError("AST constructor recursion depth mismatch (before=63, after=75)"),
        ValueError("Exceeds the limit (4300 digits) for integer string conversion"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        MemoryError(),
        ExceptionGroup("two", [KeyError("a"), TypeError("b")]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_in_one_attempt_ends_that_attempt_alone(paper_run, tmp_path, monkeypatch, error):
    monkeypatch.setattr(PaperEnv, "collect", once(error, PaperEnv.collect))
    results = await paper_run(model=CountingModel([]))
    assert (results[0].status, results[0].selected is not None) == ("unverified", True)
    task = RunStore(tmp_path / "run").task("one")
    lost = [name for name in task.rollouts(0) if task.rollout(name).outcome().failure == "internal"]
    assert len(lost) == 1
    kept = (task.directory / lost[0] / "failed-attempt.txt").read_text()
    assert "Traceback" in kept
    assert any(f"the attempt of {lost[0]} failed: " in text for text in warnings_of(tmp_path))


async def test_an_attempt_that_heats_failed_is_tried_again_by_a_run_that_goes_on(paper_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(PaperEnv, "collect", once(RecursionError("deep"), PaperEnv.collect))
        patched.setattr(rollout, "make_candidate", once(Exception("stop here"), rollout.make_candidate))
        await paper_run(model=CountingModel([]))
    task = RunStore(tmp_path / "run").task("one")
    for name in ("result.json", "heat-0/tournament.json", "heat-1/tournament.json"):
        (task.directory / name).unlink()
    await paper_run(model=CountingModel([]))
    assert all(task.rollout(name).outcome().failure is None for name in task.rollouts(0))


async def test_a_summary_that_cannot_be_made_is_made_from_the_facts(paper_run, tmp_path, monkeypatch):
    monkeypatch.setattr(rollout, "summarize", once(RecursionError("deep"), rollout.summarize))
    await paper_run(model=CountingModel([]), **{"summarizer.when": "always"})
    task = RunStore(tmp_path / "run").task("one")
    sources = [task.rollout(name).summary().source for name in task.rollouts(0)]
    assert sources.count("harness") == 1
    assert sources.count("model") == 3


async def test_a_grade_that_cannot_be_made_is_invalid(paper_run, tmp_path, monkeypatch):
    monkeypatch.setattr(PaperEnv, "grade", once(RecursionError("deep"), PaperEnv.grade))
    await paper_run(model=CountingModel([]), **{"retries.grading": 0})
    grades = RunStore(tmp_path / "run").grades
    task = RunStore(tmp_path / "run").task("one")
    found = [grades.grade("one", name) for name in (*task.rollouts(0), *task.rollouts(1))]
    assert [one.reason for one in found if one.outcome == "invalid"][:1] == [
        "grading failed inside heats: RecursionError: deep"
    ]


async def test_a_disk_without_room_ends_the_run(paper_run, monkeypatch):
    monkeypatch.setattr(PaperEnv, "collect", once(OSError(28, "No space left on device"), PaperEnv.collect))
    with pytest.raises(BaseException) as caught:
        await paper_run(model=CountingModel([]))
    assert "No space left" in str(first_error(caught.value))


async def test_a_deep_tool_call_of_a_model_costs_its_rollout_at_most(paper_run, tmp_path):
    deep = "[" * sys.getrecursionlimit() * 3
    model = CountingModel([])
    reply = model.complete

    async def complete(messages, **options):
        found = await reply(messages, **options)
        calls = tuple(call.model_copy(update={"arguments": deep}) for call in found.completions[0].tool_calls[:1])
        if calls and len(model.asked) == 1:
            first = found.completions[0].model_copy(update={"tool_calls": calls})
            return found.model_copy(update={"completions": (first,)})
        return found

    model.complete = complete
    assert (await paper_run(model=model))[0].status == "unverified"
