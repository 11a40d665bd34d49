"""Many tasks on few workers: priorities, retries, and what one task's failure costs the others."""

import asyncio
import json

import pytest
from doubles import CountingModel, PaperBackend

from heats.export.predictions import export_preds
from heats.report.figures import Figures
from heats.retries import RetriesConfig, RetryBudget
from heats.runner.run import RunRequest, make_manifest
from heats.runner.slots import Slots
from heats.store.store import RunStore

NO_WAIT = {"retries.wait_s": 0}


async def test_the_oldest_task_gets_the_next_slot():
    slots, order = Slots(1), []

    async def work(number):
        async with slots.hold(number):
            order.append(number)
            await asyncio.sleep(0)

    async with slots.hold(0):
        tasks = [asyncio.create_task(work(number)) for number in (3, 1, 2)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == [1, 2, 3]


async def test_a_slot_is_idle_only_when_nobody_is_expected_to_take_it():
    slots = Slots(2)
    slots.expect(1)
    await asyncio.wait_for(slots.idle(), 1)
    slots.expect(2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slots.idle(), 0.01)
    slots.forget(2)
    await asyncio.wait_for(slots.idle(), 1)


async def test_a_slot_that_a_new_task_expects_is_not_spare() -> None:
    slots = Slots(2)
    slots.expect(0)
    with slots.spare() as one, slots.spare() as two:
        assert (one, two) == (True, False)
    async with slots.hold(0):
        with slots.spare() as one:
            assert one


async def test_failures_are_counted_by_class():
    attempts = RetryBudget(RetriesConfig(sandbox_start=2, sandbox_lost=1, endpoint=0, wait_s=0))
    assert [await attempts.again("sandbox_start") for _ in range(3)] == [True, True, False]
    assert [await attempts.again("sandbox_lost") for _ in range(2)] == [True, False]
    assert not await attempts.again("endpoint")
    assert not await attempts.again("image")


async def test_a_task_that_no_sandbox_could_be_had_for_is_played_again_after_the_others(paper_run, tmp_path):
    heard = []
    backend = PaperBackend(fail=4)
    settings = {"workers": 4, "retries.sandbox_start": 0, "iterations": 1, **NO_WAIT}
    results = await paper_run(
        "one", "two", model=CountingModel([]), backend=backend, listeners=(heard.append,), **settings
    )
    assert [result.status for result in results] == ["unverified", "unverified"]
    ended = [(event.task, event.data["status"]) for event in heard if event.kind == "task_finished"]
    assert ended == [("one", "error"), ("two", "unverified"), ("one", "unverified")]
    assert RunStore(tmp_path / "run").task("one").failed() is None


async def test_what_failed_is_tried_again_by_the_same_command_and_counts_as_no_success_until_then(paper_run, tmp_path):
    settings = {"retries.task": 0, "iterations": 1, **NO_WAIT}
    backend = PaperBackend(fail=10**6)
    failed = await paper_run("one", "two", model=CountingModel([]), backend=backend, **settings)
    assert [(result.status, result.cause) for result in failed] == [("error", "infrastructure")] * 2
    figures = Figures.of(RunStore(tmp_path / "run"))
    assert [task.status for task in figures.tasks] == ["error", "error"]
    again = await paper_run("one", "two", model=CountingModel([]), **settings)
    assert [result.status for result in again] == ["unverified", "unverified"]
    assert Figures.of(RunStore(tmp_path / "run")).totals.infrastructure_failed == 0


async def test_a_bug_in_one_task_costs_that_task_and_no_other(paper_run, tmp_path, monkeypatch):
    from doubles import PaperEnv

    honest = PaperEnv.prepare

    async def prepare(self, task, sandbox):
        if task.id == "one":
            raise KeyError("a bug")
        await honest(self, task, sandbox)

    monkeypatch.setattr(PaperEnv, "prepare", prepare)
    results = await paper_run("one", "two", model=CountingModel([]))
    assert [(result.status, result.cause) for result in results] == [("error", "internal"), ("unverified", None)]
    assert "4 of 4 failed inside heats or its env (KeyError: 'a bug'): please report it" in results[0].detail
    rollouts = tmp_path / "run" / "tasks" / "one" / "heat-0"
    assert all("a bug" in (one / "failed-attempt.txt").read_text() for one in rollouts.glob("rollout-*"))


async def test_when_the_budget_is_gone_no_further_task_starts(paper_run, tmp_path):
    asked = []
    results = await paper_run("one", "two", "three", model=CountingModel(asked), workers=2, **{"limits.run.calls": 9})
    assert [result.status for result in results] == ["budget"] * 3
    assert len(asked) == 9
    resumed = await paper_run("one", "two", "three", model=CountingModel(asked), **{"limits.run.calls": 10**6})
    assert len(set(map(str, asked))) == len(asked)
    unlimited = await paper_run("one", "two", "three", model=CountingModel([]), directory=tmp_path / "unlimited")
    ends = [(one.status, one.selected, one.patch_sha256) for one in resumed]
    assert ends == [(one.status, one.selected, one.patch_sha256) for one in unlimited]


async def test_many_tasks_keep_few_workers_busy_and_stay_few(paper_run):
    backend, heard, open_tasks = PaperBackend(), [], []
    names = [f"task-{number:02}" for number in range(12)]

    def listen(event):
        heard.append(event)
        kinds = [one.kind for one in heard]
        open_tasks.append(kinds.count("task_started") - kinds.count("task_finished"))

    settings = {"workers": 2, "rollouts": 2, "iterations": 1}
    await paper_run(*names, model=CountingModel([]), backend=backend, listeners=(listen,), **settings)
    assert backend.peak == 2
    assert max(open_tasks) <= 6


async def test_every_rollout_index_has_its_own_predictions(paper_run, tmp_path):
    await paper_run("one", "two", model=CountingModel([]), iterations=1)
    files = export_preds(RunStore(tmp_path / "run"), tmp_path / "out")
    names = [path.relative_to(tmp_path / "out").as_posix() for path in files]
    assert names[:2] == ["preds.json", "all_preds.jsonl"]
    assert names[2:] == [f"preds/heat-0-rollout-{number:02}.jsonl" for number in range(4)]
    for path in files[2:]:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["instance_id"] for line in lines] == ["one", "two"]


def test_tasks_may_join_a_run_but_not_change(tmp_path):
    from doubles import PaperEnv

    from heats.config import load_config
    from heats.errors import UsageError

    config = load_config((), {"model.name": "fake:counting"})

    def manifest(*ids, seed=0):
        chosen = config.model_copy(update={"seed": seed})
        return make_manifest(RunRequest(command="sweep", directory=tmp_path / "run", config=chosen, env=PaperEnv(*ids)))

    RunStore.open(tmp_path / "run", manifest("one")).close()
    RunStore(tmp_path / "run").task("one").save_task(PaperEnv("one").tasks()[0])
    RunStore.open(tmp_path / "run", manifest("two"), extend=True).close()
    RunStore.open(tmp_path / "run", manifest("one"), extend=True).close()
    assert list(RunStore(tmp_path / "run").manifest.identity["tasks"]) == ["one", "two"]
    with pytest.raises(UsageError, match="another"):
        RunStore.open(tmp_path / "run", manifest("one"))
    with pytest.raises(UsageError, match="seed"):
        RunStore.open(tmp_path / "run", manifest("three", seed=1), extend=True)
    assert list(RunStore(tmp_path / "run").manifest.identity["tasks"]) == ["one", "two"]
