"""Allocation policies on simulated attempts: what they start, where they stop, and what that saves."""

from collections import Counter

import pytest

from heats.context_rules import fresh_rollouts
from heats.planning.dice import Dice, Signals, SimulatedArm
from heats.planning.plan import Cost, Prices, TaskLimits, outlooks
from heats.planning.recommend import policy_outlooks, reasons, recommended
from heats.planning.simulate import Method, Simulation, World
from heats.planning.spending import play_policy, total
from heats.policies.base import Arm, Attempt, Event, TaskState, start
from heats.policies.chances import Prior, counted, fit
from heats.policies.registry import POLICIES, open_policy
from heats.policies.state import legal

PRICES = Prices(steps=(20.0, 10.0), step=Cost(tokens=100, usd=0.01, seconds=1), summary=Cost(), vote=Cost(tokens=50))
WORLD = World(mean=0.5, concentration=1.0, accuracy=(0.6, 0.55), refined=(0.05, 0.5, 0.9))
SURE = Signals(true_pass=1.0, false_pass=0.0)


def dice(rollouts=8, heats=1, signals=SURE, world=WORLD, arms=()):
    return Dice(Method(rollouts=rollouts, iterations=heats, select_k=2), world, signals, PRICES, arms)


def played(name, table, tasks=200, **options):
    return play_policy(open_policy(name, options), table.tasks(tasks))


@pytest.mark.parametrize("name", sorted(set(POLICIES.known) - {"conformal"}))  # needs a calibration file
def test_every_policy_ends_every_task_within_n_and_t(name):
    found = played(name, dice(rollouts=4, heats=2, arms=(SimulatedArm("a"), SimulatedArm("b"))), tasks=60)
    assert all(1 <= one.attempts <= 8 for one in found)
    assert all(one.attempts == 8 for one in found) == (name in ("fixed", "prune"))  # dice are not looked at


def test_with_tests_that_never_err_stopping_costs_nothing_and_saves_most_attempts():
    fixed, first = total(played("fixed", dice())), total(played("first-verified", dice(), at_once=1))
    assert first.passed == fixed.passed
    assert first.attempts < 0.5 * fixed.attempts


def test_more_attempts_at_once_cost_attempts_and_save_time():
    slow, fast = (total(played("first-verified", dice(), at_once=width)) for width in (1, 8))
    assert slow.attempts < fast.attempts
    assert slow.seconds > fast.seconds


def test_without_tests_attempts_that_agree_end_the_task():
    blind = Signals(true_pass=None, equal_right=0.9, equal_wrong=0.0)
    agreed, fixed = (total(played(name, dice(signals=blind))) for name in ("agreement", "fixed"))
    assert agreed.attempts < 0.8 * fixed.attempts
    assert agreed.passed >= fixed.passed - 0.02


def test_equal_attempts_that_fail_the_tests_do_not_count_as_agreement():
    task = TaskState(task="t", rollouts=8)
    equal = [_ended(index, patch="same", rank=1, verdict="unverified") for index in range(3)]
    decided = _asked("agreement", task.model_copy(update={"attempts": tuple(equal)}), equal[-1])
    assert [action.do for action in decided] == ["start"]


def test_it_gives_up_where_nothing_ever_changes_anything():
    idle = [_ended(index, exit="declined") for index in range(3)]
    (action,) = _asked("give-up", TaskState(task="t", rollouts=8, attempts=tuple(idle)), idle[-1])
    assert (action.do, action.why) == ("end_task", "all 3 attempts declined")


def test_the_cascade_tries_the_next_model_only_after_the_first_has_failed():
    arms = (SimulatedArm("cheap", shift=-20), SimulatedArm("dear", cost=10))
    table = dice(arms=arms)
    found = play_policy(open_policy("cascade", {"tries": 3}), table.tasks(50))
    assert min(one.attempts for one in found) >= 4


def test_the_bandit_learns_which_model_solves_tasks():
    table, sweep = dice(arms=(SimulatedArm("bad", shift=-20), SimulatedArm("good"))), []
    policy = open_policy("bandit", {"exploration": 0.2})
    seen = _Recording(policy, sweep)
    play_policy(seen, table.tasks(100))
    used = Counter(one.arm for one in seen.attempts())
    assert used[1] > 3 * used[0]


def _chosen_arm(*attempts, **options):
    """The model that the bandit uses next, given attempts as (arm, fields)."""
    made = [_ended(index, arm=arm, **more) for index, (arm, more) in enumerate(attempts)]
    task = TaskState(task="t", rollouts=99, arms=(Arm(model="a"), Arm(model="b")), attempts=tuple(made))
    return open_policy("bandit", options).arm(task, [task])


@pytest.mark.parametrize("state", ["running", "failed"])
def test_the_bandit_does_not_take_a_model_for_cheap_because_no_attempt_on_it_has_ended(state):
    solved = [(0, {"verdict": "verified", "rank": 3, "tokens": 100})] * 3
    waiting = [(1, {"state": state})] * 3
    assert _chosen_arm(*solved, *waiting) == 0


def test_the_bandit_does_not_compare_the_dollars_of_one_model_with_the_tokens_of_another():
    free = [(0, {"tokens": 300_000, "verdict": "verified", "rank": 3})] * 4
    paid = [(1, {"tokens": 300_000, "cost_usd": 2.0, "verdict": "verified", "rank": 3})] * 4
    assert _chosen_arm(*free, *paid) == 0


def test_two_pass_keeps_the_budget_and_solves_more_than_the_same_for_all():
    uniform = total(played("fixed", dice(rollouts=3)))
    shared = total(played("two-pass", dice(rollouts=16), first=1, mean=3))
    assert shared.attempts <= 3
    assert shared.passed > uniform.passed


def test_two_pass_does_not_blame_the_budget_when_a_task_has_had_all_its_attempts():
    failed = tuple(_ended(index, rank=1, verdict="unverified", patch=f"{index}") for index in range(2))
    others = tuple(TaskState(task=f"t{place}", rollouts=2) for place in range(5))
    task = TaskState(task="t", rollouts=2, attempts=failed)
    event = Event(kind="attempt", heat=0, attempt=failed[-1])
    (action,) = open_policy("two-pass").decide(event, task, (task, *others))
    assert (action.do, action.why) == ("end_task", "all 2 attempts are made")


def test_the_fit_is_not_fooled_by_tasks_that_stop_at_their_first_pass():
    policy, sweep = open_policy("first-verified", {"at_once": 1}), []
    seen = _Recording(policy, sweep)
    play_policy(seen, dice().tasks(400))
    counts = counted(list(seen.states.values()))
    share = sum(passed for passed, _ in counts) / sum(known for _, known in counts)
    prior = fit(counts)
    assert abs(prior.a / (prior.a + prior.b) - 0.5) < 0.06
    assert share < 0.3  # a share of all attempts says something else
    assert Prior(1, 1).some(1) == pytest.approx(0.5)


def test_a_judge_that_prefers_some_wrong_patches_has_an_n_beyond_which_more_hurt():
    world = World(mean=0.6, concentration=30.0, accuracy=(0.9,), refined=(0.5, 0.5), misled=0.1)
    finals = [Simulation(Method(rollouts=n, select_k=1, iterations=1), world).run(800).final for n in (1, 4, 64)]
    assert finals[0] < finals[1] > finals[2]


def test_a_policy_is_recommended_with_reasons_for_it_and_for_t():
    methods = [Method(rollouts=8, select_k=2, iterations=heats) for heats in (1, 2)]
    found = list(
        policy_outlooks(["fixed", "first-verified"], methods, WORLD, SURE, PRICES, TaskLimits(calls=120), tasks=100)
    )
    chosen = recommended(found)
    assert chosen is not None and chosen.policy == "first-verified"
    assert not next(one for one in found if one.policy == "fixed").within
    told = "\n".join(reasons(found, chosen))
    assert "against fixed" in told and "fewer attempts" in told and "rather than" in told


def _outlook(name, budget=None, **keys):
    known = {"steps": (10.0,), "step": Cost(seconds=2), "summary": Cost(seconds=5), "vote": Cost(seconds=5)}
    prices = Prices(**{**known, "rollout": Cost(seconds=30), "workers": 2, **keys})
    method, untested = Method(rollouts=4, select_k=1, iterations=1), Signals(true_pass=None, spread=0.0)
    found = policy_outlooks([name], [method], WORLD, untested, prices, budget or TaskLimits(), tasks=50)
    return next(iter(found)), next(iter(outlooks([method], WORLD, prices, TaskLimits(), tasks=50)))


def test_a_policy_that_takes_longer_than_the_budget_is_not_recommended():
    (slow, _), (quick, _) = (_outlook("fixed", TaskLimits(seconds=limit)) for limit in (60, 600))
    assert (slow.within, quick.within) == (False, True)
    assert slow.seconds == quick.seconds > 60
    assert recommended([slow]) is None and recommended([quick]) is quick


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_fixed_takes_as_long_as_the_setting_that_it_plays(workers):
    policy, setting = _outlook("fixed", workers=workers, summary=Cost(), vote=Cost())
    assert policy.seconds == pytest.approx(setting.seconds) == (4 / workers) * (10 * 2 + 30)
    assert _outlook("fixed", workers=workers)[0].seconds > policy.seconds + 5


def test_without_times_a_policy_takes_none_and_attempts_still_end_in_order():
    nothing = {"step": Cost(), "summary": Cost(), "vote": Cost(), "rollout": Cost()}
    assert _outlook("fixed", **nothing)[0].seconds == 0
    assert _outlook("agreement", **nothing)[0].spending.attempts < 4


@pytest.mark.parametrize(("rollouts", "share"), [(2, 0.25), (3, 0.25), (3, 0.6), (7, 0.5), (1, 0.25), (4, 0.0)])
def test_the_planner_starts_as_many_rollouts_afresh_as_the_runner(rollouts, share):
    """It used to round by its own rule: none of two at a share of 0.25, and four of seven at 0.5."""
    world = World(mean=1.0, concentration=1.0, accuracy=(0.6,), refined=(0.0, 0.0))
    method = Method(rollouts=rollouts, select_k=1, iterations=2, fresh_share=share)
    fresh = fresh_rollouts(rollouts, share)
    assert Simulation(method, world).run(20).heats[1] == pytest.approx(fresh / rollouts)
    (planned,) = outlooks([method], world, PRICES, TaskLimits(), tasks=5)
    votes = planned.forecast.votes
    assert planned.calls == pytest.approx(20 * rollouts + 20 * fresh + 10 * (rollouts - fresh) + 2 * rollouts + votes)
    ((_, first),) = Dice(method, world, SURE, PRICES).tasks(1)
    context = [first.attempt(0, 0, None, ())]
    assert sum(first.attempt(1, index, None, context).right for index in range(rollouts)) == fresh


def test_actions_that_are_impossible_are_left_out():
    task, event = TaskState(task="t", rollouts=2, arms=(Arm(model="m"),)), Event(kind="heat", heat=0)
    assert list(legal(task, event, [start(5, arm=3), start(5), start(1)])) == [start(2)]


def _ended(index, **how):
    return Attempt(**{"rollout": f"heat-0/rollout-{index:02}", "heat": 0, "state": "ended", **how})


def _asked(name, task, attempt):
    event = Event(kind="attempt", heat=0, attempt=attempt)
    return list(open_policy(name).decide(event, task, (task,)))


class _Recording:
    """A policy that keeps the last state of every task that another one was asked about."""

    def __init__(self, policy, sweep):
        self.policy, self.states = policy, {}

    def decide(self, event, task, sweep):
        self.states[task.task] = task
        return self.policy.decide(event, task, sweep)

    def attempts(self):
        return [one for state in self.states.values() for one in state.attempts]
