"""The conformal policy: what its calibration file promises, and what is refused before anything is spent."""

import asyncio
import json
import random

import pytest
from doubles import CountingModel

from core.errors import InvalidOptions
from heats.planning.dice import Dice, Signals
from heats.planning.early_ends import calibrated
from heats.planning.plan import Cost, Prices
from heats.planning.simulate import Method, World
from heats.planning.spending import play_policy, total
from heats.policies.base import Arm, Attempt, Event, TaskState
from heats.policies.conformal import Calibration, PastTask, confidence, threshold
from heats.policies.registry import check_tasks, open_policy

PRICES = Prices(steps=(20.0, 10.0), step=Cost(tokens=100, seconds=1), summary=Cost(), vote=Cost())
WORLD = World(mean=0.5, concentration=1.0, accuracy=(0.6,), refined=(0.05, 0.5, 0.9))
KINDS = {"tested": Signals(false_pass=0.3), "untested": Signals(true_pass=None, equal_right=0.8)}


def simulated(signals, count=60):
    return Dice(Method(rollouts=6, iterations=1), WORLD, signals, PRICES).tasks(count)


def written(path, calibration):
    path.write_text(calibration.model_dump_json())
    return path


def made(tmp_path, tasks=(), **changed):
    known = {"models": ("m",), "rollouts": 6, "iterations": 1, "policy": "fixed", "options": {}, "at_once": 2}
    return written(tmp_path / "file.json", Calibration(tasks=tuple(tasks), **{**known, **changed}))


def wrong_ones(count, tested=True):
    return [PastTask(task=f"t{number}", tested=tested, wrong=number / 10) for number in range(count)]


class Ends:
    """A policy that notes the attempt that another one ended the task with."""

    def __init__(self, policy):
        self.policy, self.chosen = policy, None

    def decide(self, event, task, sweep):
        for action in self.policy.decide(event, task, sweep):
            self.chosen = action.rollout if action.do == "end_task" else self.chosen
            yield action


@pytest.mark.parametrize("error", [0.02, 0.1, 1 / 3, 0.5, 0.95])
@pytest.mark.parametrize("count", [1, 5, 19, 20, 57])
def test_of_n_plus_one_tasks_at_most_the_promised_share_is_above_the_threshold_of_the_others(error, count):
    """Exactly, for any draw: with each of the tasks left out once, the average over them is the coverage."""
    draw = random.Random(f"{error}/{count}")
    for distinct in (True, False):
        scores = [draw.random() if distinct else draw.choice([0.5, 1.5, 3.5]) for _ in range(count + 1)]
        others = [scores[:place] + scores[place + 1 :] for place in range(count + 1)]
        least = [threshold(rest, error) for rest in others]
        above = sum(cut is not None and one > cut for one, cut in zip(scores, least, strict=True))
        assert above <= error * (count + 1) + 1e-9
        assert (least[0] is None) == (count < 1 / error - 1 - 1e-9)
        assert not distinct or least[0] is None or above == int(error * (count + 1) + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_dice_end_with_a_wrong_attempt_as_rarely_as_promised_and_save_attempts(tmp_path, kind):
    """Each simulated task is played with a file made of all others."""
    tasks, error = simulated(KINDS[kind]), 0.2
    known = calibrated(tasks, "fixed", {}, 2)
    early, wrong, spent = 0, 0, []
    for place, (state, source) in enumerate(tasks):
        others = known.model_copy(update={"tasks": known.tasks[:place] + known.tasks[place + 1 :]})
        path = written(tmp_path / "file.json", others)
        ends = Ends(open_policy("conformal", {"calibration": str(path), "error": error}))
        (one,) = play_policy(ends, [(state, source)])
        early += ends.chosen is not None
        wrong += ends.chosen is not None and not one.passed
        spent.append(one)
    some_wrong = len(known.scores(tested=kind == "tested"))
    assert wrong <= error * some_wrong < 60 * 0.2
    assert early > 10
    assert total(spent).attempts < 0.9 * 6


def test_what_agrees_counts_more_the_more_attempts_there_are():
    def told(*patches, rank=None, derived=False):
        ended = [
            Attempt(rollout=f"r{place}", heat=0, state="ended", patch=patch, rank=rank, derived=derived and place > 0)
            for place, patch in enumerate(patches)
        ]
        state = TaskState(task="t", rollouts=8, attempts=tuple(ended))
        return confidence(Event(kind="attempt", heat=0, attempt=ended[-1]), state)

    assert told("a") < told("a", "a") < told("a", "a", "a")
    assert told("b", "a") < told("a")
    assert told("a", "a", derived=True) < told("a", "a")
    assert told("a", rank=3) > 3 > told("a", "a", "a", rank=2)
    assert told("a", "") is None


def test_tasks_with_tests_and_without_have_thresholds_of_their_own(tmp_path):
    path = made(tmp_path, [*wrong_ones(19), *wrong_ones(3, tested=False)])
    policy = open_policy("conformal", {"calibration": str(path)})
    last = Attempt(rollout="heat-0/rollout-00", heat=0, state="ended", patch="a", rank=3)
    for tested, action in ((True, "end_task"), (False, "start")):
        task = TaskState(task="t", rollouts=6, verifiable=tested, attempts=(last,))
        (decided,) = policy.decide(Event(kind="attempt", heat=0, attempt=last), task, (task,))
        assert decided.do == action


def test_a_task_that_was_played_in_several_runs_counts_once():
    tasks = simulated(KINDS["tested"], count=20)
    once, twice = calibrated(tasks, "fixed", {}, 2), calibrated([*tasks, *tasks], "fixed", {}, 2)
    assert once == twice


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot read"),
        ("", "is not a calibration file"),
        ("[]", "is not a calibration file"),
        ('{"version": 2}', "is not a calibration file: version"),
        ({"tasks": [{"task": "t", "tested": True, "wrong": "high"}]}, "is not a calibration file: tasks.0.wrong"),
        ({"tasks": [{"task": "t", "tested": True, "wrong": -1}]}, "is not a calibration file: tasks.0.wrong"),
        ({"extra": 1}, "is not a calibration file: extra"),
        ({"tasks": []}, "has 0 tasks with a wrong attempt; error 0.1 needs 9"),
        ({"policy": "agreement"}, "was made with policy agreement"),
        ({"at_once": 4}, "was made with at_once 4, and policy.options.at_once is 2"),
    ],
)
def test_a_missing_or_malformed_file_is_one_line_and_spends_nothing(heats, tmp_path, text, told):
    path = tmp_path / "file.json"
    if isinstance(text, dict):
        path.write_text(json.dumps({**json.loads(made(tmp_path, wrong_ones(19)).read_text()), **text}))
    elif text is not None:
        path.write_text(text)
    asked = ("-c", "policy.name=conformal", "-c", f"policy.options.calibration={path}", "--out", str(tmp_path / "run"))
    code, out, err = heats("demo", "--task", "semver", "--sandbox", "local", *asked)
    assert (code, out) == (2, "")
    assert told in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


NAMES = [f"task-{number}" for number in range(5)]


async def test_a_file_made_of_a_run_ends_tasks_of_the_next_one_early(paper_run, heats, tmp_path):
    options = {"error": 0.4, "at_once": 1, "calibration": str(tmp_path / "file.json")}
    await paper_run(*NAMES, model=CountingModel([]), iterations=1)
    code, out, err = await asyncio.to_thread(heats, "calibrate", "run", "--at-once", "1", "--out", "file.json")
    assert (code, err) == (0, "reading 1 run\n")
    assert "5 tasks without tests" in out and "file.json" in out
    known = Calibration.model_validate_json((tmp_path / "file.json").read_bytes())
    assert (known.rollouts, known.iterations, known.models) == (4, 1, ("fake:counting",))
    assert [one.task for one in known.tasks] == NAMES
    asked = {"directory": tmp_path / "next", "policy.name": "conformal", "iterations": 1, "policy.options": options}
    results = await paper_run(*NAMES, model=CountingModel([]), **asked)
    journals = [path.read_text() for path in (tmp_path / "next" / "tasks").glob("*/policy.jsonl")]
    assert any("is above" in one for one in journals)
    assert sum(len(one.rollouts) for one in results) < 5 * 4


async def test_only_graded_runs_that_played_every_heat_make_a_file(paper_run, heats, tmp_path):
    await paper_run(model=CountingModel([]), grade=False)
    assert "not graded by hidden tests" in (await asyncio.to_thread(heats, "calibrate", "run", "-o", "f"))[2]
    await paper_run(model=CountingModel([]), directory=tmp_path / "early", **{"policy.name": "give-up"})
    assert "may have ended tasks early" in (await asyncio.to_thread(heats, "calibrate", "early", "-o", "f"))[2]
    assert not (tmp_path / "f").exists()


def test_without_a_file_there_is_no_conformal_policy():
    with pytest.raises(InvalidOptions, match=r"policy\.options\.calibration: Field required"):
        open_policy("conformal")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rollouts": 4}, "was made with rollouts 6, and this run has 4"),
        ({"heats": 2}, "was made with iterations 1, and this run has 2"),
        ({"timed": True}, "does not go with within_timeout"),
        ({"arms": (Arm(model="other"),)}, "was made with models m, and this run has other"),
    ],
)
def test_a_run_with_other_settings_than_those_of_the_file_is_refused(tmp_path, changed, told):
    policy = open_policy("conformal", {"calibration": str(made(tmp_path, wrong_ones(19)))})
    task = TaskState(task="t", rollouts=6, heats=1, arms=(Arm(model="m"),))
    check_tasks(policy, [task])
    with pytest.raises(InvalidOptions, match=told):
        check_tasks(policy, [task, task.model_copy(update=changed)])


@pytest.mark.parametrize("policy", ["two-pass", "prune"])
def test_no_error_can_be_promised_for_what_cannot_be_replayed_task_by_task(tmp_path, policy):
    path = made(tmp_path, wrong_ones(19), policy=policy)
    with pytest.raises(InvalidOptions, match=f"{policy} cannot be replayed task by task"):
        open_policy("conformal", {"calibration": str(path), "policy": policy})
