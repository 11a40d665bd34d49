"""Allocation policies in a run: what they start and drop, what is stored, and what a resumed run repeats."""

import asyncio
import json
from collections import Counter
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from doubles import CountingModel, Killed

from agents.trajectory import Observation, Step, Trajectory
from envs.base import Evidence
from heats.config import load_config
from heats.errors import UsageError
from heats.policies.base import Action, Attempt, Event, TaskState, end_task, next_heat, start
from heats.policies.conformal import Calibration, PastTask
from heats.policies.registry import open_policy
from heats.policies.state import acted, after, legal
from heats.runner.attempts import _Playing
from heats.runner.halfway import half_way
from heats.runner.rollout import Plan, TaskRun
from heats.store.store import RunStore


def decisions(directory, task="one"):
    path = directory / "run" / "tasks" / task / "policy.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def actions(directory, task="one"):
    return [(one["do"], one.get("count", 0)) for line in decisions(directory, task) for one in line["actions"]]


async def test_it_stops_at_the_first_verified_attempt_and_drops_the_others(tested_run, tmp_path):
    (result,) = await tested_run(**{"policy.name": "first-verified", "policy.options.at_once": 1})
    assert result.status == "verified"
    assert actions(tmp_path)[-1] == ("end_task", 0)
    task = RunStore(tmp_path / "run").task("one")
    assert result.selected == task.rollouts(0)[-1]
    assert task.rollouts(1) == []
    evidence = [task.rollout(one).evidence() for one in task.rollouts(0)]
    assert [one.verdict == "verified" for one in evidence].count(True) == 1


async def test_no_votes_are_spent_on_what_cannot_win(tested_run, tmp_path):
    asked = []
    await tested_run(model=CountingModel(asked), **{"policy.name": "first-verified", "policy.options.at_once": 1})
    assert {kind for kind, *_ in asked} == {"agent"}


async def test_fixed_plays_as_many_attempts_as_before_policies_and_ends_likewise(tested_run, tmp_path):
    (result,) = await tested_run()
    assert len(result.rollouts) == 8
    assert actions(tmp_path) == [("next_heat", 0)]


async def test_stop_when_verified_holds_with_any_policy(tested_run, tmp_path):
    (result,) = await tested_run(**{"refine.stop_when_verified": True})
    assert (result.status, result.heats) == ("verified", 1)


class Slow(CountingModel):
    """Leaves time between turns to drop an attempt."""

    async def complete(self, messages, **options):
        await asyncio.sleep(0.002)
        return await super().complete(messages, **options)


@pytest.mark.parametrize("stop_after", [0, 1, 3, 5, 7, 9, 12])
@pytest.mark.parametrize(
    "policy", ["first-verified", "agreement", "give-up", "target", "two-pass", "conformal", "prune"]
)
async def test_a_killed_run_keeps_its_decisions_and_repeats_no_attempt(
    tested_run, tmp_path, monkeypatch, policy, stop_after
):
    monkeypatch.setattr("heats.runner.allocation.half_way", lambda trajectory, steps: 1 / (1 + int(trajectory.id[-2:])))
    asked, settings = [], {"policy.name": policy, **options_of(policy, tmp_path)}
    uncut = await tested_run("one", "two", model=Slow([]), directory=tmp_path / "uncut", **settings)
    with pytest.raises(BaseException) as caught:
        await tested_run("one", "two", model=Slow(asked, fail_after=stop_after), **settings)
    assert isinstance(_cause(caught.value), Killed)
    before = {task: decisions(tmp_path, task) for task in ("one", "two") if _journal(tmp_path, task).exists()}
    results = await tested_run("one", "two", model=Slow(asked), **settings)
    assert [(one.status, one.selected) for one in results] == [(one.status, one.selected) for one in uncut], results
    for task, lines in before.items():
        assert decisions(tmp_path, task)[: len(lines)] == lines
    events = [line["event"] for line in decisions(tmp_path)]
    told = [(one["kind"], one["attempt"]["rollout"]) for one in events if "attempt" in one]
    assert len(told) == len(set(told))
    assert max(Counter(asked).values()) <= 2  # only what was on its way when it was killed


def options_of(policy, directory):
    """Options with which a policy plays one attempt at a time, and decides something."""
    if policy == "prune":
        return {"policy.options": {"at": 1, "peers": 2, "share": 0.5, "policy": "give-up", "options": {"at_once": 1}}}
    if policy != "conformal":
        return {"policy.options.at_once": 1}
    tasks = [PastTask(task=f"t{number}", tested=True, wrong=3.25 + number / 100) for number in range(9)]
    known = {"models": ("fake:counting",), "rollouts": 4, "iterations": 2, "policy": "fixed", "options": {}}
    file = directory / "file.json"
    file.write_text(Calibration(at_once=1, tasks=tuple(tasks), **known).model_dump_json())
    return {"policy.options": {"calibration": str(file), "at_once": 1}}


class Together(CountingModel):
    """No attempt takes its second turn before all were looked at; each looks as good as it is said to."""

    def __init__(self, looks):
        super().__init__([])
        self.looks, self.seen, self.all_seen = looks, set(), asyncio.Event()

    def look(self, trajectory, steps):
        self.seen.add(trajectory.id)
        if self.seen == set(self.looks):
            self.all_seen.set()
        return self.looks[trajectory.id]

    async def complete(self, messages, **options):
        if any(one["role"] == "assistant" for one in messages):
            await self.all_seen.wait()
            await asyncio.sleep(0.01)
        return await super().complete(messages, **options)


async def test_the_worst_attempt_of_four_at_half_way_is_dropped_and_no_other(tested_run, tmp_path, monkeypatch):
    scores = {f"heat-0/rollout-{place:02}": score for place, score in enumerate((0.9, 0.2, 0.8, 0.7))}
    model = Together(scores)
    monkeypatch.setattr("heats.runner.allocation.half_way", model.look)
    await tested_run(model=model, iterations=1, **{"policy.name": "prune", "policy.options.at": 1})
    dropped = [one["rollout"] for line in decisions(tmp_path) for one in line.get("actions", ()) if one["do"] == "drop"]
    assert dropped == ["heat-0/rollout-01"]
    looks = [line["event"]["attempt"] for line in decisions(tmp_path) if line["event"]["kind"] == "half"]
    assert {one["rollout"]: one["half"] for one in looks} == scores
    states = {name: RunStore(tmp_path / "run").task("one").rollout(name).outcome() for name in scores}
    assert [name for name, outcome in states.items() if outcome is None or outcome.exit is None] == dropped


async def test_two_pass_gives_what_is_left_to_tasks_that_are_not_solved(paper_run, tested_run, tmp_path):
    settings = {"policy.name": "two-pass", "policy.options": {"first": 1, "mean": 2, "at_once": 1}}
    names = ("one", "two", "three", "four")
    results = await tested_run(*names, **settings, iterations=1)
    store = RunStore(tmp_path / "run")
    used = {name: len(store.task(name).rollouts(0)) for name in names}
    first = {name: store.task(name).rollout("heat-0/rollout-00").evidence().verdict for name in names}
    assert all(used[name] == 1 for name in names if first[name] == "verified")
    assert any(used[name] > 1 for name in names if first[name] != "verified")
    assert sum(used.values()) <= 2 * len(names)
    assert all(one.status for one in results)
    assert (tmp_path / "run" / "passes.jsonl").exists()


class Impatient:
    """Starts everything, drops the last attempt, and wants another heat after each tournament."""

    def decide(self, event, task, sweep):
        if event.kind == "bracket":
            return [next_heat("random-k")]
        if event.kind == "heat":
            return [start(99)]
        last = task.running()[-1:]
        return [Action(do="drop", rollout=one.rollout, why="too slow") for one in last if event.heat == 0]


async def test_impossible_actions_are_skipped_and_attempts_can_be_dropped(tested_run, tmp_path):
    (result,) = await tested_run(**{"policy.name": f"{__name__}:Impatient"})
    assert result.heats == 2
    lines = decisions(tmp_path)
    assert lines[0]["actions"] == [{"do": "start", "count": 4}]
    assert any(one["do"] == "drop" for line in lines for one in line["actions"])
    contexts = [line["actions"] for line in lines if line["event"]["kind"] == "bracket"]
    assert contexts == [[{"do": "next_heat", "context": "random-k"}]]


@pytest.mark.parametrize(
    ("selected", "chosen"), [(("02", "00"), "00"), (("01", "02"), "01"), (("02",), "00"), ((), "00")]
)
def test_attempts_that_behave_alike_are_chosen_whatever_the_votes_kept(selected, chosen):
    attempts = tuple(
        Attempt(rollout=f"heat-0/rollout-{name}", heat=0, state="ended", patch=name) for name in ("00", "01", "02")
    )
    kept = tuple(f"heat-0/rollout-{name}" for name in selected)
    behaviours = dict(zip((one.rollout for one in attempts), "xxy", strict=True))
    event = Event(kind="bracket", heat=0, selected=kept, behaviours=behaviours)
    state = after(TaskState(task="t", rollouts=3, heats=2, attempts=attempts, over=True), event)
    for action in legal(state, event, open_policy("agreement").decide(event, state, [state])):
        state = acted(state, action)
    assert (state.final, state.chosen) == (True, f"heat-0/rollout-{chosen}")


class Last:
    """Chooses, after the tournament, an attempt that it did not keep."""

    def decide(self, event, task, sweep):
        if event.kind == "heat":
            return [start(task.rollouts)]
        if event.kind == "bracket":
            others = [one.rollout for one in task.ended() if one.patch and one.rollout not in event.selected]
            return [end_task("because", others[-1])]
        return []


async def test_what_a_policy_chooses_after_the_tournament_is_handed_over(tested_run, tmp_path):
    told = []
    settings = {"policy.name": f"{__name__}:Last", "select_k": 1}
    (result,) = await tested_run(**settings, listeners=[told.append])
    run = RunStore(tmp_path / "run").task("one")
    assert result.selected and result.selected not in run.bracket(0).selected
    assert [event.data["selected"] for event in told if event.kind == "selected"] == [(result.selected,)]
    assert run.rollout(result.selected).evidence().verdict == result.status
    (again,) = await tested_run(**settings)
    assert again.selected == result.selected


class Silent:
    """Never starts anything."""

    def decide(self, event, task, sweep):
        return []


async def test_a_policy_that_starts_nothing_does_not_hang_the_task(tested_run):
    (result,) = await tested_run(**{"policy.name": f"{__name__}:Silent"})
    assert result.status == "error"


class Leaver:
    """Plays heat 0, and ends the task as soon as heat 1 begins, with or without a choice."""

    def __init__(self, *, rollout=""):
        self.rollout = rollout

    def decide(self, event, task, sweep):
        if event.kind == "bracket":
            return [next_heat()]
        return [start(99)] if event.heat == 0 else [end_task("enough", self.rollout)]


class Chooser(Leaver):
    """Chooses an attempt of heat 0 in heat 1."""

    def __init__(self):
        super().__init__(rollout="heat-0/rollout-02")


@pytest.mark.parametrize("policy", [Leaver, Chooser])
async def test_a_heat_in_which_nothing_was_played_does_not_lose_the_heats_before(tested_run, tmp_path, policy):
    keys = {"policy.name": f"{__name__}:{policy.__name__}", "refine.keep_candidates": False}
    (result,) = await tested_run(iterations=3, **keys)
    best = RunStore(tmp_path / "run").task("one").bracket(0).selected[0]
    assert result.selected == (policy().rollout or best), result.detail


async def test_an_attempt_that_is_still_being_verified_when_time_runs_out_is_not_lost(tested_run, monkeypatch):
    late = asyncio.Event()

    async def verify(self, patch, rollout):
        if not late.is_set():
            asyncio.get_running_loop().call_later(1.5, late.set)
            await asyncio.sleep(3)
        return Evidence(patch_sha256=patch.sha256, verdict="unverified", reason="checked", rank=1)

    monkeypatch.setattr(TaskRun, "verify", verify)
    settings = {"within_timeout": True, "iterations": 1, "timeout_s": 1.0, "policy.name": "first-verified"}
    (result,) = await tested_run(**settings)
    assert result.status == "unverified" and result.selected, result.detail


async def test_a_resumed_run_has_used_the_time_of_the_killed_one_and_keeps_its_turns(tested_run, tmp_path):
    settings = {"within_timeout": True, "iterations": 1, "timeout_s": 600.0}
    with pytest.raises(BaseException) as caught:
        await tested_run(model=Slow([], fail_after=6), **settings, **{"limits.rollout.calls": 40})
    assert isinstance(_cause(caught.value), Killed)
    files = RunStore(tmp_path / "run").task("one")
    clock = files.directory / "clock.json"
    assert json.loads(clock.read_text())["spent_s"] > 0.004  # two turns of `Slow` at least
    clock.write_text('{"spent_s": 400.0}')
    begun = {name: turns(files, name) for name in files.rollouts(0)}
    assert sum(map(len, begun.values())) >= 4
    await tested_run(model=Slow([]), **settings, **{"limits.rollout.calls": 50})  # either would change what it is told
    assert {name: turns(files, name)[: len(before)] for name, before in begun.items()} == begun


async def test_a_rollout_is_not_told_of_a_minute_that_it_does_not_have(tested_run):
    asked = []
    await tested_run(model=CountingModel(asked), timeout_s=45.0, iterations=1, **{"agent.step_limit": 1})
    assert all("Limits: 1 reply, 45 seconds in all" in text for kind, text, _ in asked if kind == "agent")


def turns(files, rollout):
    """When the turns of a rollout were taken."""
    trajectory = files.rollout(rollout).trajectory()
    return [step.timestamp for step in trajectory.steps if step.source == "agent"] if trajectory else []


async def test_an_attempt_that_is_played_on_after_a_kill_has_the_model_that_the_policy_chose():
    """Its server failed after it had changed something: it counts as ended, and a later process tries it again."""
    asked, name = [], "heat-0/rollout-00"
    ended = Attempt(rollout=name, heat=0, arm=1, temperature=0.5, state="ended")
    state = TaskState(task="one", rollouts=4, attempts=(ended,))
    run = SimpleNamespace(candidate=AsyncMock(side_effect=asked.append))
    playing = _Playing(run, SimpleNamespace(state=state), {name: Plan(rollout=name)})
    await playing.candidates(0)
    assert [(plan.arm, plan.temperature) for plan in asked] == [(1, 0.5)]


def test_half_way_looks_at_an_attempts_own_steps_and_not_at_those_it_took_over():
    failed, worked = (Observation(tool_call_id="1", content="", exit_code=code) for code in (1, 0))
    step = Step(id=1, source="agent", content="", observations=(failed,))
    steps = (*[step.model_copy(update={"copied": True})] * 5, step.model_copy(update={"observations": (worked,)}))
    trajectory = Trajectory(id="r", task_id="t", agent="bash", model="m", seed=1, steps=steps)
    assert half_way(trajectory, 5) == 1.0


class Eager:
    """Ends the task with the first attempt that ends."""

    def decide(self, event, task, sweep):
        return [start(2)] if event.kind == "heat" else [end_task("enough")]


async def test_reasons_are_events(tested_run):
    heard = []
    await tested_run(listeners=(heard.append,), **{"policy.name": f"{__name__}:Eager"})
    assert [event.data["why"] for event in heard if event.kind == "policy"] == ["enough"]


def test_an_unknown_policy_is_refused_when_it_is_configured():
    with pytest.raises(UsageError, match=r"unknown policy 'first-verifed'.*did you mean first-verified\?"):
        load_config((), {"policy.name": "first-verifed"})


def test_the_identity_of_a_run_without_a_policy_is_that_of_earlier_versions():
    assert "policy" not in load_config(()).identity()
    assert load_config((), {"policy.name": "give-up"}).identity()["policy"]["name"] == "give-up"


def _journal(directory, task):
    return directory / "run" / "tasks" / task / "policy.jsonl"


def _cause(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def test_a_policy_knows_what_tokens_money_and_time_are_left(tested_run, monkeypatch):
    seen = []

    class Watching:
        whole_heats = False

        def __init__(self, *, options=None):
            pass

        def decide(self, event, task, sweep):
            seen.append((task.tokens_left, task.usd_left, task.seconds_left))
            return [] if task.ended() else [start(1 - len(task.running()))]

    monkeypatch.setattr("heats.policies.sequential.FirstVerified", Watching)
    limits = {"limits.task.tokens": 10**6, "limits.run.time_s": 500.0, "limits.task.time_s": 900.0}
    await tested_run(**{"policy.name": "first-verified", **limits})
    first, last = seen[0], seen[-1]
    assert (first[0], first[1]) == (10**6, None) and 400 < first[2] < 500
    assert last[0] < first[0] and last[2] < first[2]
