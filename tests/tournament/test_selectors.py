"""The other selectors: each does what its name says, behind the same interface."""

import asyncio
import json
import sys
from types import SimpleNamespace

import pytest

from core.errors import InvalidOptions, UnknownPart
from core.record import Config
from tournament import SELECTORS, open_selector
from tournament.base import Candidate
from tournament.baselines import FirstFinishSelector, MajoritySelector, RandomSelector
from tournament.bradley_terry import strengths
from tournament.errors import NoCandidates
from tournament.fake import AccuracyJudge, BiasedJudge, PerfectJudge, RandomJudge, RefusingJudge
from tournament.journal import MemoryJournal
from tournament.registry import needs_model
from tournament.rtv import AdaptiveSelector
from tournament.scored import PointwiseSelector, VerifySelector
from tournament.swiss import SwissSelector


def structured(kit, quality):
    """A model that votes, scores and verifies by the quality found in the text (`q7`)."""

    def reply(messages, schema, index):
        entries = kit.payload(messages)["candidates"]
        worth = [quality(one["summary"]) for one in entries]
        fields = schema["properties"]
        if "choice" in fields:
            return json.dumps({"reason": "", "choice": entries[worth.index(max(worth))]["label"]})
        if "score" in fields:
            return json.dumps({"reason": "", "score": worth[0]})
        return json.dumps({"reason": "", "verdict": "accept" if worth[0] > 7 else "reject"})

    return kit.Answering(reply)


def number(text: str) -> int:
    return int("".join(filter(str.isdigit, text)) or 0)


@pytest.mark.parametrize("name", SELECTORS.known)
async def test_every_selector_keeps_the_contract(name, config, kit) -> None:
    selector = open_selector(config.model_copy(update={"selector": name}), structured(kit, number))
    slots = {one.id: kit.at_once(one) for one in kit.field(7)} | {"lost": kit.at_once(None)}
    bracket = await kit.play(selector, slots, 3)
    assert (bracket.selector, selector.name) == (name, name)
    assert len(bracket.selected) == 3
    assert bracket.selected == bracket.ranking[:3]
    with pytest.raises(NoCandidates):
        await kit.play(selector, {"lost": kit.at_once(None)})


@pytest.mark.parametrize("name", SELECTORS.known)
async def test_every_selector_puts_evidence_first(name, config, kit) -> None:
    selector = open_selector(config.model_copy(update={"selector": name}), structured(kit, number))
    field = [*kit.field(6), Candidate(id="verified", summary="summary 0", evidence_rank=3)]
    if name == "first-finish":
        assert (await kit.play(selector, field, 7)).selected[0] == "verified"
    else:
        assert (await kit.play(selector, field, 1)).selected == ("verified",)


@pytest.mark.parametrize("name", ["rtv", "adaptive", "swiss", "pointwise", "verify"])
async def test_a_judge_that_knows_finds_the_best(name, config, kit) -> None:
    selector = open_selector(config.model_copy(update={"selector": name}), structured(kit, number))
    for seed in range(5):
        assert (await kit.play(selector, kit.field(9), 1, seed)).selected == ("heat-0/rollout-08",)


@pytest.mark.parametrize("name", ["rtv", "adaptive", "swiss", "pointwise", "verify"])
async def test_a_resumed_selection_asks_nothing_again(name, config, kit) -> None:
    config = config.model_copy(update={"selector": name})
    journal, again = MemoryJournal(), structured(kit, number)
    first = await kit.play(open_selector(config, structured(kit, number)), kit.field(5), 2, 1, journal)
    assert await kit.play(open_selector(config, again), kit.field(5), 2, 1, journal) == first
    assert again.requests == []


def test_an_unknown_selector_is_named_with_the_known_ones(config, kit) -> None:
    with pytest.raises(UnknownPart, match=r"unknown selector 'rvt' \(did you mean rtv\?\); known: rtv, adaptive"):
        open_selector(config.model_copy(update={"selector": "rvt"}), structured(kit, number))
    with pytest.raises(UnknownPart, match="cannot be loaded"):
        open_selector(config.model_copy(update={"selector": "no_such_module:X"}), structured(kit, number))


def test_a_selector_of_ones_own_is_loaded_by_module_and_name(config, kit) -> None:
    name = "tournament.scored:PointwiseSelector"
    assert isinstance(open_selector(config.model_copy(update={"selector": name}), None), PointwiseSelector)


class Longest(RandomSelector):
    """A custom selector with settings."""

    class Options(Config):
        at_most: int = 100

    @classmethod
    def open(cls, config, model, *, options):
        made = cls()
        made.options = options
        return made


def test_a_selector_of_ones_own_has_settings_that_it_checks_itself(config) -> None:
    name = f"{__name__}:Longest"
    sys.modules[__name__] = sys.modules.get(__name__) or SimpleNamespace(Longest=Longest)
    config = config.model_copy(update={"selector": name, "options": {"at_most": 7}})
    assert open_selector(config, None).options.at_most == 7
    with pytest.raises(InvalidOptions, match=r"unknown option tournament\.options\.at_last; known: at_most"):
        open_selector(config.model_copy(update={"options": {"at_last": 7}}), None)
    with pytest.raises(InvalidOptions, match=r"tournament\.options\.at_most; it takes no options"):
        open_selector(config.model_copy(update={"selector": "random"}), None)


def test_a_selector_says_itself_whether_it_needs_a_model(config) -> None:
    asked = {name for name in SELECTORS.known if needs_model(config.model_copy(update={"selector": name}))}
    assert asked == {"rtv", "adaptive", "swiss", "pointwise", "verify", "critic"}


async def test_random_gives_everybody_the_same_chance(kit) -> None:
    won = [(await kit.play(RandomSelector(), kit.field(4), 1, seed)).selected[0] for seed in range(800)]
    assert all(150 < won.count(name) < 250 for name in won)


async def test_first_finish_returns_before_the_others_and_leaves_them_to_the_caller(kit) -> None:
    loop = asyncio.get_running_loop()
    futures = {one.id: loop.create_future() for one in kit.field(4)}
    task = asyncio.create_task(kit.play(FirstFinishSelector(), futures, 1))
    futures["heat-0/rollout-01"].set_result(None)
    await asyncio.sleep(0)
    futures["heat-0/rollout-02"].set_result(kit.field(4)[2])
    assert (await task).selected == ("heat-0/rollout-02",)
    assert [future.done() for future in futures.values()] == [False, True, True, False]


async def test_the_patch_that_most_made_wins_and_copies_come_after(kit) -> None:
    keys = ["a", "b", "b", "b", "", "a"]
    field = [
        one.model_copy(update={"patch_key": key, "patch": key}) for one, key in zip(kit.field(6), keys, strict=True)
    ]
    by_id = {one.id: one.patch_key for one in field}
    bracket = await kit.play(MajoritySelector(), field, 2)
    assert [by_id[name] for name in bracket.selected] == ["b", "a"]


async def test_majority_counts_different_changes_that_no_executed_test_tells_apart(kit) -> None:
    changes = {"a": "one", "b": "one", "c": "two", "d": "three", "e": "four"}
    field = [
        Candidate(id=name, summary="", patch_key=key, behaviour="alone" if key == "one" else "alike")
        for name, key in changes.items()
    ]
    bracket = await kit.play(MajoritySelector(), {one.id: kit.at_once(one) for one in field}, 3)
    assert set(bracket.selected) == {"c", "d", "e"}


async def test_scores_that_fail_neither_win_nor_lose(config, kit) -> None:
    def reply(messages, schema, index):
        summary = kit.payload(messages)["candidates"][0]["summary"]
        return "garbage" if summary == "summary 1" else json.dumps({"reason": "", "score": number(summary) * 5})

    bracket = await kit.play(PointwiseSelector(config, kit.Answering(reply)), kit.field(3))
    assert bracket.ranking == ("heat-0/rollout-02", "heat-0/rollout-01", "heat-0/rollout-00")


@pytest.mark.parametrize("reply", ['{"reason": "", "score": 11}', '{"reason": "", "score": true}', '{"score": 3}'])
async def test_scores_out_of_bounds_are_abstentions(config, kit, reply) -> None:
    journal = MemoryJournal()
    await kit.play(PointwiseSelector(config, kit.Answering(lambda *_: reply)), kit.field(2), journal=journal)
    assert {vote.choice for votes in journal.cast.values() for vote in votes} == {None}


async def test_one_reject_outweighs_the_same_number_of_accepts(config, kit) -> None:
    def reply(messages, schema, index):
        bad = kit.payload(messages)["candidates"][0]["summary"] == "summary 0" and index == 0
        return json.dumps({"reason": "", "verdict": "reject" if bad else "accept"})

    bracket = await kit.play(VerifySelector(config, kit.Answering(reply)), kit.field(2))
    assert bracket.selected == ("heat-0/rollout-01",)


async def test_swiss_casts_no_more_votes_than_plain_rtv(config, kit) -> None:
    for count, k in ((2, 1), (9, 1), (16, 4), (3, 3)):
        judge = RandomJudge()
        await kit.play(SwissSelector(config, judge), kit.field(count), k)
        assert len(judge.asked) <= config.votes * (count - k)


async def test_swiss_shows_every_pairing_in_both_orders(config, kit) -> None:
    judge = RandomJudge()
    await kit.play(SwissSelector(config, judge), kit.field(8))
    firsts = [(seed, order[0]) for seed, _, order in judge.asked]
    assert len(set(firsts)) == len(firsts)


async def test_swiss_survives_a_judge_that_refuses(config, kit) -> None:
    assert len((await kit.play(SwissSelector(config, RefusingJudge()), kit.field(5), 2)).selected) == 2


async def test_adaptive_spends_votes_where_the_judge_is_unsure(config, kit) -> None:
    field = kit.field(2)
    sure, unsure = PerfectJudge({field[0].id: 1, field[1].id: 0}), BiasedJudge({one.id: 0 for one in field})
    await kit.play(AdaptiveSelector(config, sure), field)
    for seed in range(20):
        await kit.play(AdaptiveSelector(config, unsure), field, 1, seed)
    assert len(sure.asked) == config.adaptive.margin
    assert len(unsure.asked) / 20 > 2 * config.adaptive.margin


def test_strength_grows_with_wins_and_certainty_with_votes() -> None:
    found = strengths(["a", "b", "c"], {("a", "b"): 6, ("b", "a"): 2, ("b", "c"): 2})
    assert found["a"].mean > found["b"].mean > found["c"].mean
    assert found["b"].sd < found["c"].sd


async def test_accuracy_judges_are_as_accurate_as_they_say(config, kit) -> None:
    field = kit.field(2)
    judge = AccuracyJudge([field[0].id], [one.id for one in field], 0.7)
    votes = [vote async for vote in _many(judge, field)]
    assert 0.66 < votes.count(field[0].id) / len(votes) < 0.74


async def _many(judge, field):
    for seed in range(1500):
        for vote in await judge.vote("", field, count=2, first=0, seed=seed, ledger=None):
            yield vote.choice
