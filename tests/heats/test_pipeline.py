"""The simulated pipeline: what is stored, what is resumed, and what a limit or a failure does."""

from collections import Counter
from pathlib import Path

import pytest
from doubles import CountingModel, Killed, PaperBackend

from heats.runner.pipeline import drawn
from heats.store.events import read_events
from heats.store.store import RunStore


async def test_the_whole_method_leaves_a_complete_run_directory(paper_run, tmp_path):
    results = await paper_run("one", "two", model=CountingModel([]))
    assert [result.status for result in results] == ["unverified", "unverified"]  # no tests, so no verdict
    store = RunStore(tmp_path / "run")
    for task_id in ("one", "two"):
        task = store.task(task_id)
        assert [len(task.rollouts(heat)) for heat in (0, 1)] == [4, 4]
        for rollout in [*task.rollouts(0), *task.rollouts(1)]:
            files = task.rollout(rollout)
            assert files.outcome() and files.trajectory().exit
            assert store.grades.grade(task_id, rollout) is not None
        assert all(task.rollout(one).summary() for one in task.bracket(0).selected)
        assert len(task.bracket(0).selected) == 2
        assert len(task.bracket(1).selected) == 1
        assert task.result().selected == task.bracket(1).ranking[0]


async def test_later_rollouts_are_told_of_the_kept_except_the_fresh_ones(paper_run, tmp_path):
    await paper_run(model=CountingModel([]), **{"refine.fresh_share": 0.25})
    task = RunStore(tmp_path / "run").task("one")
    parents = [task.rollout(one).trajectory().parents for one in task.rollouts(1)]
    assert parents == [task.bracket(0).selected] * 3 + [()]


@pytest.mark.parametrize(("context", "count"), [("single", 1), ("random-k", 2)])
async def test_other_contexts(paper_run, tmp_path, context, count):
    await paper_run(model=CountingModel([]), **{"refine.context": context, "refine.fresh_share": 0.0})
    task = RunStore(tmp_path / "run").task("one")
    for index, one in enumerate(task.rollouts(1)):
        parents = task.rollout(one).trajectory().parents
        assert len(parents) == count
        if context == "single":
            assert parents == (f"heat-0/rollout-{index:02d}",)


async def test_a_finished_run_is_read_not_done_again(paper_run):
    asked = []
    first = await paper_run(model=CountingModel(asked))
    calls = len(asked)
    again = await paper_run(model=CountingModel(asked))
    assert again == first
    assert len(asked) == calls


@pytest.mark.parametrize("stop_after", [0, 1, 5, 9, 14, 17, 20, 23, 26, 30])
async def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been_stopped(paper_run, tmp_path, stop_after):
    untouched = await paper_run(model=CountingModel([]), directory=tmp_path / "untouched")
    asked = []
    with pytest.raises(BaseException) as caught:
        await paper_run(model=CountingModel(asked, fail_after=stop_after))
    assert isinstance(_cause(caught.value), Killed)
    results = await paper_run(model=CountingModel(asked))
    ours = {(one.status, one.selected, one.patch_sha256) for one in results}
    assert ours == {(one.status, one.selected, one.patch_sha256) for one in untouched}
    # Nothing stored is requested again: only what was on its way to disk when it was stopped, at most one reply for
    # each running rollout or match.
    again = Counter(asked)
    assert max(again.values()) <= 2
    assert sum(times - 1 for times in again.values()) <= 4


async def test_losing_the_checkpoints_loses_nothing(paper_run, tmp_path):
    asked = []
    first = await paper_run(model=CountingModel(asked))
    calls = len(asked)
    (tmp_path / "run" / "checkpoints.sqlite").write_bytes(b"not a database, not even nearly" * 100)
    (tmp_path / "run" / "tasks" / "one" / "result.json").unlink()
    again = await paper_run(model=CountingModel(asked))
    assert [one.selected for one in again] == [one.selected for one in first]
    assert len(asked) == calls


async def test_a_sandbox_that_fails_once_is_tried_again(paper_run, tmp_path):
    backend = PaperBackend(fail=1)
    results = await paper_run(model=CountingModel([]), backend=backend)
    assert results[0].status == "unverified"
    outcomes = [RunStore(tmp_path / "run").task("one").rollout(one).outcome() for one in results[0].rollouts]
    assert all(outcome.exit for outcome in outcomes)


async def test_when_no_sandbox_starts_the_task_ends_in_error_not_in_a_wrong_answer(paper_run):
    results = await paper_run(model=CountingModel([]), backend=PaperBackend(fail=10**6))
    assert results[0].status == "error"


async def test_every_sandbox_is_closed_and_no_more_than_workers_are_open(paper_run):
    backend = PaperBackend()
    await paper_run("one", "two", "three", model=CountingModel([]), backend=backend, workers=3)
    assert backend.open == 0
    assert backend.peak <= 3


async def test_a_call_limit_ends_the_task_as_budget_and_a_larger_one_resumes_it(paper_run):
    limited = await paper_run(model=CountingModel([]), **{"limits.task.calls": 6})
    assert limited[0].status == "budget"
    resumed = await paper_run(model=CountingModel([]), **{"limits.task.calls": 1000})
    assert resumed[0].status == "unverified"


async def test_the_ledger_on_disk_is_what_the_model_was_asked(paper_run, tmp_path):
    asked = []
    await paper_run(model=CountingModel(asked))
    charges = RunStore(tmp_path / "run").charges()
    assert sum(charge.usage.calls for charge in charges) == len(asked)


async def test_events_tell_the_story_in_order(paper_run, tmp_path):
    heard = []
    await paper_run(model=CountingModel([]), listeners=(heard.append,))
    kinds = [event.kind for event in heard]
    assert kinds[:2] == ["run_started", "task_started"]
    assert kinds[-1] == "run_finished"
    assert kinds.count("rollout_finished") == 8
    assert kinds.count("selected") == 2
    written = list(read_events(tmp_path / "run" / "events.jsonl"))
    assert [event.model_dump(mode="json") for event in heard] == [event.model_dump(mode="json") for event in written]


def _cause(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def test_the_first_that_finishes_ends_the_others(paper_run, tmp_path):
    asked = []
    wanted = {"tournament.selector": "first-finish", "iterations": 1, "workers": 1}
    (result,) = await paper_run(model=CountingModel(asked), **wanted)
    task = RunStore(tmp_path / "run").task("one")
    outcomes = {one: task.rollout(one).outcome() for one in task.rollouts(0)}
    ended = [one for one, outcome in outcomes.items() if outcome is not None and outcome.exit == "submitted"]
    assert result.selected in ended
    assert len(ended) < 4
    calls = len(asked)
    assert await paper_run(model=CountingModel(asked), **wanted) == [result]
    assert len(asked) == calls


def test_the_drawing_in_the_docs_is_the_graph_that_runs() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "how-it-works.md"
    assert f"```mermaid\n{drawn()}```" in page.read_text(encoding="utf-8")
