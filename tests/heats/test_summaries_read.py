"""Summaries are made only for readers: a judge, or the next heat."""

import pytest
from doubles import CountingModel

from agents.llm.fake_persona import Persona, Script
from heats.store.store import RunStore


class Playing(CountingModel):
    """Plays each rollout by its own script, in the order of requests."""

    def __init__(self, asked, *variants):
        super().__init__(asked)
        script = Script.model_validate({"rules": [{"variants": list(variants)}], "pick": "hash"})
        self.script, self._persona = script, Persona(script)


def summaries(asked):
    return [kind for kind, *_ in asked if kind == "summary"]


async def test_one_rollout_of_one_heat_is_read_by_nobody(paper_run, tmp_path):
    asked = []
    one = {"rollouts": 1, "iterations": 1, "select_k": 1}
    (result,) = await paper_run(model=CountingModel(asked), **one)
    assert result.status in ("unverified", "no_patch")
    assert not summaries(asked)


async def test_one_who_asks_for_all_gets_all(paper_run, tmp_path):
    asked = []
    one = {"rollouts": 1, "iterations": 1, "select_k": 1, "summarizer.when": "always"}
    await paper_run(model=CountingModel(asked), **one)
    assert len(summaries(asked)) == 1
    assert RunStore(tmp_path / "run").task("one").rollout("heat-0/rollout-00").summary().source == "model"


async def test_copies_of_one_change_are_compared_with_nobody_and_read_by_nobody(paper_run):
    asked = []
    await paper_run(model=Playing(asked, ["patch right"]), iterations=1)
    assert not summaries(asked)


async def test_the_next_heat_reads_what_was_kept(paper_run, tmp_path):
    asked = []
    await paper_run(model=Playing(asked, ["patch right"]), **{"refine.keep_candidates": False})
    assert len(summaries(asked)) == 1  # four copies of one change give one record
    task = RunStore(tmp_path / "run").task("one")
    told = task.rollout("heat-1/rollout-00").trajectory().steps[1].content
    assert "4 attempts made this same change independently." in told
    assert "+right" in told and "git apply" in told


@pytest.mark.parametrize("view", ["patch", "trajectory"])
async def test_judges_that_read_no_summaries_have_none_made(paper_run, view):
    asked = []
    await paper_run(model=CountingModel(asked), iterations=1, **{"tournament.judge.view": view})
    assert not summaries(asked)


async def test_a_rollout_at_its_own_limit_is_compared_like_any(paper_run):
    asked = []
    (result,) = await paper_run(model=CountingModel(asked), iterations=1, **{"limits.rollout.calls": 2})
    assert result.status in ("unverified", "no_patch")


async def test_a_context_is_made_once_for_a_heat(paper_run, monkeypatch):
    import heats.runner.heat as heat_module

    made = []
    real = heat_module.make_context
    monkeypatch.setattr(heat_module, "make_context", lambda *given: made.append(given[0]) or real(*given))
    await paper_run(model=CountingModel([]), rollouts=16, **{"refine.fresh_share": 0.0, "select_k": 4})
    assert len(made) == 1


async def test_who_took_over_a_change_is_no_further_voice_for_it(paper_run, tmp_path):
    asked = []
    await paper_run(model=Playing(asked, ["patch right"]), iterations=3, **{"refine.fresh_share": 0.0})
    task = RunStore(tmp_path / "run").task("one")
    told = task.rollout("heat-2/rollout-00").trajectory().steps[1].content
    assert "attempts made this same change independently" not in told
    assert len(summaries(asked)) == 1  # an attempt adopted unchanged keeps its summary


async def test_an_attempt_that_did_nothing_costs_no_summary_and_teaches_nobody(paper_run, tmp_path):
    asked = []
    everybody = {"refine.context": "random-k", "select_k": 4, "refine.fresh_share": 0.0}
    await paper_run(model=Playing(asked, ["patch right"], [], ["patch wrong"]), **everybody)
    task = RunStore(tmp_path / "run").task("one")
    idle = [one for one in task.rollouts(0) if not task.rollout(one).patch()]
    assert idle
    for one in idle:
        assert task.rollout(one).summary().source == "harness"
    told = {parent for one in task.rollouts(1) for parent in task.rollout(one).trajectory().parents}
    assert told and told.isdisjoint(idle)
