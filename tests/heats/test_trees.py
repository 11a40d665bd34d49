"""Attempts played in slices: which partial attempts are continued, and that a tree of them is an ordinary run."""

from collections import Counter
from dataclasses import replace

import pytest
from doubles import CountingModel, Killed
from test_branching import Watched
from test_context_rules import BRACKET, NAMES

from agents.atif import from_atif, to_atif
from agents.base import Slice
from core.errors import InvalidOptions
from envs.base import Evidence, TestReport
from heats import formatting as say
from heats.config import load_config
from heats.context_rules import Before, Choice, Earlier, choice_of, open_context_rule
from heats.context_rules.base import Turn
from heats.runner.services import _check_parts
from heats.runner.slices import slice_of
from heats.runner.values import value_of
from heats.store.reader import read_events
from heats.store.store import RunStore
from tournament.base import Candidate

A, B, C, D = NAMES
SLICED = {"refine.context": "particles", "refine.options": {"turns": 1}, "iterations": 3, "agent.step_limit": 6}
RULES = ("particles", "best-first", "coverage")


def evidence(fixed=0, left=0, broken=0):
    tests = {f"old{number}": "passed" for number in range(4)}
    return Evidence(
        patch_sha256="",
        verdict="unverified",
        reason="",
        rank=2,
        before=TestReport(command="t", status="failed", tests=tests),
        after=TestReport(command="t", status="failed"),
        fixed=tuple(f"f{number}" for number in range(fixed)),
        still_failing=tuple(f"s{number}" for number in range(left)),
        broken=tuple(f"old{number}" for number in range(broken)),
    )


def node(name, value=0.0, *, turns=4, paused=True, patch="", files="f.py", **more):
    candidate = Candidate(id=name, summary="", patch=patch, patch_key=patch)
    own = tuple(Turn(frozenset({files})) for _ in range(turns))
    return Earlier(candidate, value=value, turns=own, paused=paused, **more)


def before(*nodes, older=(), **more):
    view = Before(bracket=BRACKET, usable=NAMES[:3], predecessor=A, k=2, seed=7, heat_seed=9, heats=3, rollouts=4)
    found = {one.candidate.id: one for one in nodes}
    return replace(view, attempts=found, older={one.candidate.id: one for one in older}, **more)


def chosen(rule, view, rollouts=4, **options):
    opened = open_context_rule(rule, options)
    return [choice_of(opened, replace(view, index=index, rollouts=rollouts)) for index in range(rollouts)]


def continued(rule, view, rollouts=4, **options):
    return Counter(one.start for one in chosen(rule, view, rollouts, **options))


def test_a_higher_evidence_class_always_has_a_higher_value() -> None:
    best = [value_of(evidence(fixed=5), level, 1.0) for level in range(-1, 7)]
    worst = [value_of(evidence(left=5), level, 0.0) for level in range(-1, 7)]
    assert all(lower < higher for lower, higher in zip(best[1:], worst[2:], strict=False))
    assert worst[0] == 0 and best[-1] <= 1


def test_within_a_class_tests_count_first_and_the_tournament_second() -> None:
    one, two = value_of(evidence(1, 2), 4, 1.0), value_of(evidence(2, 1), 4, 0.0)
    assert two > one > value_of(evidence(1, 2), 4, 0.0)
    assert value_of(evidence(2, 1, broken=2), 4, 0.0) < two
    assert value_of(None, 0, 0.0) == 0


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_continues_at_the_end_of_a_paused_attempt_and_never_one_that_ended(rule) -> None:
    view = before(node(A, 0.5, turns=3), node(B, 0.9, paused=False), node(C, 0.9, turns=0))
    assert set(chosen(rule, view)) == {Choice(parents=(A,), start=A, turns=3)}


@pytest.mark.parametrize("rule", RULES)
def test_fresh_rollouts_continue_too_and_without_paused_attempts_the_kept_are_read(rule) -> None:
    assert chosen(rule, before(node(A), fresh=True))[3].start == A
    over = before(node(A, paused=False))
    assert set(chosen(rule, over)) == {Choice(parents=(A, B))}
    assert set(chosen(rule, replace(over, fresh=True))) == {Choice()}


def test_particles_are_drawn_in_proportion_and_equal_ones_once_each() -> None:
    assert continued("particles", before(*map(node, NAMES))) == Counter(NAMES)
    drawn = continued("particles", before(node(A, 0.5), node(B, 0.4), node(C, 0.0)), 200)
    assert drawn[A] / drawn[B] == pytest.approx(2.7, rel=0.1) and drawn[C] <= 2
    assert continued("particles", before(node(A, 0.5), node(B, 0.4)), temperature=0) == {A: 4}


def test_annealing_spreads_early_draws_and_no_late_ones() -> None:
    view = before(node(A, 0.6), node(B, 0.2), node(C, 0.2), node(D, 0.2))
    plain = continued("particles", view, 100)[A]
    early = continued("particles", replace(view, heat=1, heats=8), 100, anneal=True)[A]
    late = continued("particles", replace(view, heat=7, heats=8), 100, anneal=True)[A]
    assert early < 70 < late == plain


def test_best_first_takes_the_best_of_all_heats_that_nobody_continued_yet() -> None:
    older = [node("heat-0/rollout-05", 0.7), node("heat-0/rollout-06", 0.9)]
    view = before(node(A, 0.6, parents=("heat-0/rollout-06",), copied=2), node(B, 0.1), older=older)
    assert continued("best-first", view) == {"heat-0/rollout-05": 2, A: 2}
    assert continued("best-first", view, children=1) == {"heat-0/rollout-05": 2, A: 1, B: 1}


def test_best_first_prefers_the_shorter_way_if_turns_have_a_price() -> None:
    view = before(node(A, 0.6, turns=20), node(B, 0.5, turns=4))
    assert chosen("best-first", view)[0].start == A
    assert chosen("best-first", view, cost=0.01)[0].start == B


def test_coverage_keeps_another_change_rather_than_the_same_one_twice() -> None:
    nodes = [node(A, 0.5, patch="x"), node(B, 0.49, patch="x"), node(C, 0.2, patch="y")]
    assert set(continued("coverage", before(*nodes), price=1.5)) == {A, C}
    assert set(continued("coverage", before(*nodes), price=0, bonus=0)) == {A, B, C}


def test_coverage_prefers_attempts_that_share_their_history() -> None:
    root = node("heat-0/rollout-05", turns=20)
    shared = {"parents": ("heat-0/rollout-05",), "copied": 20}
    nodes = [node(A, 0.3, turns=24, **shared), node(B, 0.3, turns=24, **shared), node(C, 0.3, turns=24)]
    assert set(continued("coverage", before(*nodes, older=[root]), price=1.5)) == {A, B}


@pytest.mark.parametrize(("heat", "part"), [(0, Slice(8, 92)), (1, Slice(8, 84)), (2, Slice(84))])
def test_all_slices_together_have_as_many_turns_as_an_attempt_in_one_piece(heat, part) -> None:
    config = load_config((), {"iterations": 3})
    assert slice_of(open_context_rule("particles"), heat, config) == part
    assert slice_of(open_context_rule("phases"), heat, config) is None


def test_slices_that_leave_no_turn_for_the_last_heat_are_refused() -> None:
    with pytest.raises(InvalidOptions, match="leave nothing"):
        _check_parts(load_config((), {"refine.context": "coverage", "iterations": 3, "agent.step_limit": 16}))


def rollouts(directory, heat):
    task = RunStore(directory).task("one")
    return [task.rollout(name) for name in task.rollouts(heat)]


@pytest.mark.parametrize("rule", RULES)
async def test_a_run_in_slices_grows_paths_over_heats_and_pays_for_each_turn_once(paper_run, tmp_path, rule):
    model = CountingModel([])
    await paper_run(model=model, backend=Watched(), **{**SLICED, "refine.context": rule})
    run = RunStore(tmp_path / "run")
    first, last = rollouts(tmp_path / "run", 0), rollouts(tmp_path / "run", 2)
    assert {one.outcome().exit for one in first} == {"paused"}
    assert {one.outcome().steps for one in first} == {1}
    assert "paused" not in {one.outcome().exit for one in last}
    grown = [one.trajectory() for one in last if one.trajectory().copied_steps]
    assert grown and max(one.agent_steps for one in grown) <= 6
    assert rule == "best-first" or {one.copied_steps for one in grown} == {2}  # which may continue an older one
    assert sum(charge.usage.calls for charge in run.charges()) == len(model.asked)
    assert run.task("one").result().selected is not None


async def test_what_is_continued_is_what_was_executed_with_the_best_result(tested_run, tmp_path):
    keys = {"refine.options": {"turns": 2, "temperature": 0}, "iterations": 2}
    await tested_run(**{**SLICED, **keys})
    parents = {one.trajectory().parents for one in rollouts(tmp_path / "run", 1)}
    assert all(b"+right" in RunStore(tmp_path / "run").task("one").rollout(one).patch().data for (one,) in parents)


async def test_a_paused_attempt_whose_change_is_verified_can_end_the_task(tested_run, tmp_path):
    keys = {"refine.options": {"turns": 2}, "policy.name": "first-verified"}
    (result,) = await tested_run(**{**SLICED, **keys})
    run = RunStore(tmp_path / "run").task("one")
    assert result.status == "verified" and run.rollout(result.selected).outcome().exit == "paused"


@pytest.mark.parametrize("policy", ["give-up", "agreement", "marginal", "target", "two-pass", "bandit", "cascade"])
def test_a_policy_that_decides_from_whole_attempts_is_refused(policy):
    with pytest.raises(InvalidOptions, match=rf"in slices, and policy.name={policy} .*: use fixed or first-verified"):
        _check_parts(load_config((), {**SLICED, "policy.name": policy}))
    _check_parts(load_config((), {**SLICED, "policy.name": policy, "iterations": 1}))
    _check_parts(load_config((), {**SLICED, "policy.name": "first-verified"}))


async def test_one_that_submits_within_its_slice_stays_in_the_final_selection(paper_run, tmp_path):
    await paper_run(
        model=CountingModel([]), **{**SLICED, "refine.options": {"turns": 2}, "refine.keep_candidates": False}
    )
    leaves = [one for one in rollouts(tmp_path / "run", 0) if one.outcome().exit == "submitted"]
    final = RunStore(tmp_path / "run").task("one").bracket(2)
    assert leaves and {one.rollout for one in leaves if one.patch()} <= set(final.ranking)
    continued = {
        parent for heat in (1, 2) for one in rollouts(tmp_path / "run", heat) for parent in one.trajectory().parents
    }
    assert continued.isdisjoint(one.rollout for one in leaves)


async def test_a_paused_rollout_reads_well_everywhere(paper_run, tmp_path):
    await paper_run(model=CountingModel([]), **SLICED)
    (one, *_) = rollouts(tmp_path / "run", 0)
    assert say.ending(one.outcome().exit) == "paused"
    assert from_atif(to_atif(one.trajectory())) == one.trajectory()
    warnings = [event.data["text"] for event in read_events(RunStore(tmp_path / "run")) if event.kind == "warning"]
    assert not any("nothing is kept" in text for text in warnings)


async def test_a_path_that_cannot_be_repeated_starts_over_within_its_slice(paper_run, tmp_path):
    await paper_run(model=CountingModel([]), backend=Watched(differs=4), **SLICED)
    texts = [one.data["text"] for one in read_events(RunStore(tmp_path / "run")) if one.kind == "warning"]
    assert any("started over" in text for text in texts)
    assert all(one.outcome().steps <= 1 for one in rollouts(tmp_path / "run", 1))


@pytest.mark.parametrize("stop_after", [3, 6, 9, 12, 15])
async def test_an_interrupted_run_in_slices_ends_alike(paper_run, tmp_path, stop_after):
    wanted = {**SLICED, "workers": 1}
    whole = await paper_run(model=CountingModel([]), backend=Watched(), directory=tmp_path / "whole", **wanted)
    asked = []
    with pytest.raises(BaseException) as caught:
        await paper_run(model=CountingModel(asked, fail_after=stop_after), backend=Watched(), **wanted)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Killed)
    again = await paper_run(model=CountingModel(asked), backend=Watched(), **wanted)
    assert [(one.selected, one.patch_sha256) for one in again] == [(one.selected, one.patch_sha256) for one in whole]
    for heat in range(3):
        for one, other in zip(rollouts(tmp_path / "run", heat), rollouts(tmp_path / "whole", heat), strict=True):
            assert one.trajectory().parents == other.trajectory().parents
            assert one.outcome().steps == other.outcome().steps
