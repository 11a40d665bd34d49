"""Rollouts that submit their sandbox's state: when they are graded, and a time-out that covers everything."""

import asyncio
import sys
from pathlib import Path

import pytest

from agents.base import Assignment
from agents.llm.fake import FakeModel
from agents.llm.ledger import Ledger
from agents.trajectory import Exit, Step, Trajectory
from envs.base import EndState, Grade, Patch
from envs.errors import SetupFailed, TaskError
from heats.errors import UsageError
from heats.runner.oracle import OracleAgent
from heats.runner.snapshots import state_image
from heats.runner.time_budget import TimeBudget, in_time
from heats.store.records import Outcome
from heats.store.store import RolloutStore, RunStore
from sandbox.fake import FakeSandbox, result

sys.path.insert(0, str(Path(__file__).parent))
from doubles import CountingModel, PaperEnv


class StateEnv(PaperEnv):
    """Submits the sandbox's contents; grades them only while the sandbox is open."""

    def __init__(self, *ids, timeout_s=None, slow_s=0.0):
        super().__init__(*ids)
        more = {"submission": "state", "agent_timeout_s": timeout_s}
        self._tasks = [task.model_copy(update=more) for task in self._tasks]
        self.slow_s, self.graded, self.waiting = slow_s, [], []

    async def prepare(self, task, sandbox):
        if self.slow_s:
            self.waiting.append(sandbox)
            if len(self.waiting) % 2 == 0:  # every second rollout is slower than the available time
                sandbox.exec = self._hang
        await super().prepare(task, sandbox)

    async def _hang(self, command, **_):
        await asyncio.sleep(60)

    async def collect(self, task, sandbox):
        return EndState(f"{sandbox.content}\n".encode() if sandbox.content else b"")

    async def grade_state(self, task, sandbox, backend):
        assert not sandbox.closed
        self.graded.append(sandbox.content)
        return Grade(task_id=task.id, outcome="pass" if sandbox.content == "right" else "fail")

    async def grade(self, task, patch, backend):
        raise AssertionError("the sandbox of a state is gone by then")


def test_end_states_are_kept_under_a_name_of_their_own_and_those_of_old_runs_are_read(tmp_path):
    store = RunStore(tmp_path).task("one").rollout("heat-0/rollout-00")
    store.finish(Outcome(rollout="heat-0/rollout-00", exit=None), EndState(b"a file\n"))
    assert store.patch() == EndState(b"a file\n") and not (store.directory / "patch.diff").exists()
    (store.directory / "end-state.txt").unlink()
    (store.directory / "patch.diff").write_bytes(b"# heats: end state of the sandbox\n")
    assert isinstance(store.patch(), EndState)
    (store.directory / "patch.diff").write_bytes(b"diff --git a/x b/x\n")
    assert type(store.patch()) is Patch


async def test_every_state_is_graded_before_its_sandbox_closes(paper_run, tmp_path):
    env = StateEnv("one")
    (done,) = await paper_run(model=CountingModel([]), env=env)
    store = RunStore(tmp_path / "run")
    outcomes = [store.grades.grade("one", rollout).outcome for rollout in done.rollouts]
    assert len(env.graded) == len(outcomes) == 8
    assert outcomes.count("pass") == env.graded.count("right")
    assert done.detail == "the winner's end state is the submission"


async def test_no_grade_reaches_selection(paper_run):
    asked = []
    await paper_run(model=CountingModel(asked), env=StateEnv("one"))
    assert not any("outcome" in text and "'pass'" in text for _, text, _ in asked)


async def test_states_are_not_graded_when_grades_are_off(paper_run):
    env = StateEnv("one")
    await paper_run(model=CountingModel([]), env=env, grade=False)
    assert env.graded == []


@pytest.mark.slow
async def test_within_the_time_out_slow_rollouts_are_stopped_and_the_others_win(paper_run, tmp_path):
    env = StateEnv("one", timeout_s=6.0, slow_s=1.0)
    started = asyncio.get_running_loop().time()
    (done,) = await paper_run(model=CountingModel([]), env=env, within_timeout=True, iterations=1)
    assert asyncio.get_running_loop().time() - started < 60  # the slow rollouts hang for this long
    store = RunStore(tmp_path / "run")
    exits = [store.task("one").rollout(rollout).outcome().exit for rollout in done.rollouts]
    assert sorted(exits) == ["submitted", "submitted", "time_limit", "time_limit"]
    assert store.task("one").rollout(done.selected).outcome().exit == "submitted"
    assert len(env.graded) == 4


class SlowVotes(CountingModel):
    """Votes come after the time limit."""

    async def complete(self, messages, **options):
        schema = options.get("response_schema")
        if schema is not None and schema.name == "vote":
            await asyncio.sleep(60)
        return await super().complete(messages, **options)


@pytest.mark.slow
async def test_when_votes_are_late_the_winner_is_taken_from_what_is_there(paper_run, tmp_path):
    env = StateEnv("one", timeout_s=3.0)
    (done,) = await paper_run(model=SlowVotes([]), env=env, within_timeout=True, iterations=1)
    bracket = RunStore(tmp_path / "run").task("one").bracket(0)
    assert (bracket.selector, bracket.ranking[0]) == ("deadline", done.selected)
    assert len(bracket.ranking) == 4


async def test_an_agent_out_of_time_keeps_what_it_did(tmp_path):
    files = RolloutStore(tmp_path, "heat-0/rollout-00")
    so_far = Trajectory(
        id="heat-0/rollout-00",
        task_id="t",
        agent="a",
        model="m",
        seed=1,
        steps=(Step(id=1, source="user", content="do"),),
        exit=Exit(kind="cancelled"),
    )
    files.save_trajectory(so_far)
    ended = await in_time(asyncio.sleep(60), 0.05, files)
    assert (ended.exit.kind, ended.steps) == ("time_limit", so_far.steps)


async def test_a_clock_shares_what_is_left_and_remembers_what_was_spent(tmp_path):
    clock = TimeBudget(100, 2, 0.2, tmp_path / "clock.json")
    clock.start_heat(0)
    assert clock.rollout_s(None) == pytest.approx(40, abs=1)
    assert clock.winners_s() == pytest.approx(50, abs=1)
    assert clock.rollout_s(5) == 5
    clock.start_heat(1)
    assert clock.winners_s() == pytest.approx(100, abs=1)
    (tmp_path / "clock.json").write_text('{"spent_s": 90.0}')
    later = TimeBudget(100, 2, 0.2, tmp_path / "clock.json")
    later.start_heat(1)
    assert later.winners_s() == pytest.approx(10, abs=1)


def test_without_a_limit_a_clock_has_nothing_to_say(tmp_path):
    clock = TimeBudget(None, 2, 0.2, tmp_path / "clock.json")
    clock.start_heat(0)
    clock.save()
    assert (clock.rollout_s(None), clock.rollout_s(7), clock.winners_s()) == (None, 7, None)
    assert not (tmp_path / "clock.json").exists()


def test_an_image_of_a_state_has_a_name_that_docker_takes():
    name = state_image("run-1", "Odd Task__x/1", "heat-0/rollout-03")
    repository, _, tag = name.partition(":")
    assert repository.startswith("heats-state/odd-task")
    assert repository == repository.lower()
    assert tag == "heat-0-rollout-03"


class Solvable:
    name = "solvable"

    def __init__(self, reply):
        self.reply = reply

    async def solve(self, task_id, sandbox):
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


async def test_the_oracle_plays_the_solution_and_asks_no_model():
    task = Assignment(rollout_id="r", task_id="t", instruction="do", workdir="/", seed=1)
    agent = OracleAgent(Solvable(result("", 0)))
    trajectory = await agent.run(task, FakeSandbox(), FakeModel(), Ledger("x"), lambda _: None)
    assert (trajectory.exit.kind, trajectory.usage.calls) == ("submitted", 0)
    with pytest.raises(SetupFailed, match="none"):
        await OracleAgent(Solvable(TaskError("none"))).run(task, FakeSandbox(), FakeModel(), Ledger("x"), print)
    with pytest.raises(UsageError, match="no reference solutions"):
        OracleAgent(PaperEnv("one"))
