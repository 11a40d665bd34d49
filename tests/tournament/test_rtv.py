"""RTV: K kept, evidence first, equal patches once, and the same outcome in any order of arrival."""

import asyncio
import functools
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.errors import LimitExceeded
from agents.llm.ledger import Ledger, Limits
from tournament.base import Bracket, Candidate
from tournament.errors import NoCandidates
from tournament.fake import AlwaysFirstJudge, BiasedJudge, GullibleJudge, PerfectJudge, RandomJudge, RefusingJudge
from tournament.journal import MemoryJournal
from tournament.match_votes import MatchVotes
from tournament.slots import seeded_order
from tournament.tally import leader

quick = hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Candidate | None]:
    """Some candidates: lost ones, equal patches, different evidence."""
    found: dict[str, Candidate | None] = {}
    for i in range(draw(st.integers(1, 11))):
        name = f"r{i:02}"
        found[name] = draw(
            st.none()
            | st.builds(
                Candidate,
                id=st.just(name),
                summary=st.just(f"summary {i}"),
                patch=st.sampled_from(["", "x", "xxxx"]),
                evidence_rank=st.sampled_from([0, 0, 0, 1, 3]),
                patch_key=st.sampled_from(["", "", "same", "other"]),
            )
        )
    return found


@quick
@given(slots=fields(), k=st.integers(1, 5), group=st.integers(2, 4), data=st.data())
def test_the_order_of_arrival_changes_nothing(slots, k, group, data, rtv, kit) -> None:
    orders = [list(slots), data.draw(st.permutations(list(slots))), data.draw(st.permutations(list(slots)))]

    async def play(order: list[str]) -> object:
        try:
            return await kit.in_order(rtv(RandomJudge(), group_size=group), slots, order, k, seed=7)
        except NoCandidates:
            return "nobody"

    outcomes = [asyncio.run(play(order)) for order in orders]
    assert outcomes[0] == outcomes[1] == outcomes[2]


@quick
@given(slots=fields(), k=st.integers(1, 5), seed=st.integers(0, 5))
def test_exactly_k_are_selected_and_evidence_is_never_passed_over(slots, k, seed, rtv, kit) -> None:
    present = {name: one for name, one in slots.items() if one is not None}
    if not present:
        return
    bracket = asyncio.run(kit.in_order(rtv(RandomJudge()), slots, list(slots), k, seed))
    ranks = [present[name].evidence_rank for name in bracket.ranking]
    assert len(bracket.selected) == min(k, len(present))
    assert sorted(bracket.ranking) == sorted(present)
    assert ranks == sorted(ranks, reverse=True)


@quick
@given(slots=fields(), cut=st.integers(0, 40), early=st.sampled_from(["never", "balanced"]))
def test_a_resumed_tournament_repeats_no_vote_and_ends_alike(slots, cut, early, rtv, kit) -> None:
    if not any(slots.values()):
        return
    whole, judge = MemoryJournal(), RandomJudge()
    awaitables = lambda: {name: kit.at_once(one) for name, one in slots.items()}  # noqa: E731
    first = asyncio.run(kit.play(rtv(judge, early_stop=early), awaitables(), 2, 3, whole))
    part, left = MemoryJournal(), cut
    for key, votes in whole.cast.items():
        part.add_votes(*key, votes[:left])
        left = max(left - len(votes), 0)
    kept, again = sum(map(len, part.cast.values())), RandomJudge()
    second = asyncio.run(kit.play(rtv(again, early_stop=early), awaitables(), 2, 3, part))
    assert second == first
    assert part.cast == whole.cast
    assert len(again.asked) == len(judge.asked) - kept


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Group size and votes; early stopping and ties as shipped or not."""
    changes = [{}, {"ties": ()}, {"ties": ("earlier-block", "smaller-patch")}, {"ties": ("fewer-edits",)}]
    sizes = {"group_size": draw(st.integers(2, 4)), "votes": draw(st.integers(1, 9))}
    return {**sizes, **draw(st.sampled_from(changes))}


@quick
@given(slots=fields(), k=st.integers(1, 5), seed=st.integers(0, 1000), table=tables(), refuses=st.booleans())
def test_early_stopping_selects_what_all_votes_select(slots, k, seed, table, refuses, rtv, kit) -> None:
    """As shipped and with other settings: the same winner in every match, and the same K in the same order."""
    if not any(slots.values()):
        return
    worth = {name: index / 4 for index, name in enumerate(slots)}

    def play(changes: dict[str, Any]) -> tuple[Bracket, int]:
        judge = RefusingJudge(["r01"]) if refuses else BiasedJudge(worth, bias=0.5)
        bracket = asyncio.run(kit.in_order(rtv(judge, **table | changes), slots, list(slots), k, seed))
        return bracket, len(judge.asked)

    (full, most), (brief, cast) = play({"early_stop": "never"}), play({})
    assert [(m.id, m.winner) for r in brief.rounds for m in r] == [(m.id, m.winner) for r in full.rounds for m in r]
    assert brief.selected == full.selected
    assert cast <= most


@pytest.mark.parametrize("changes", [{}, {"ties": ()}, {"ties": ("earlier-block", "smaller-patch")}])
def test_no_votes_of_a_pair_at_all_part_early_stopping_from_all_of_them(changes, rtv, kit) -> None:
    """Every sequence of 8 votes and abstentions in a match as shipped, not a sample."""
    judging = MatchVotes(rtv(RandomJudge(), **changes).config, RandomJudge(), kit.case())
    rules = judging.rules("r0-m0", tuple(kit.field(2, patch="x")), judging.most)
    a, b = rules.preference
    wave = functools.cache(lambda cast: judging.wave(cast, rules))
    for choices in itertools.product((a, b, None), repeat=judging.most):
        count = 0
        while more := wave(choices[:count]):
            count += more
        assert leader(choices[:count], rules) == leader(choices, rules)


async def test_a_loser_that_fills_the_k_is_the_same_however_early_votes_stopped(rtv, kit) -> None:
    ids = [one.id for one in kit.field(8)]
    for seed in range(30):
        lost = seeded_order(ids, seed)[:2]
        slots = {one.id: None if one.id in lost else one for one in kit.field(8)}
        early = await kit.in_order(rtv(RandomJudge()), slots, ids, 4, seed)
        full = await kit.in_order(rtv(RandomJudge(), early_stop="never"), slots, ids, 4, seed)
        assert early.selected == full.selected and len(full.selected) == 4


async def test_the_best_wins_with_a_perfect_judge(rtv, kit) -> None:
    field = kit.field(13)
    judge = PerfectJudge({one.id: index for index, one in enumerate(field)})
    for seed in range(20):
        assert (await kit.play(rtv(judge), field, 1, seed)).selected == (field[-1].id,)


async def test_four_of_five_are_kept_and_all_five_are_compared(rtv, kit) -> None:
    bracket = await kit.play(rtv(RandomJudge()), kit.field(5), 4)
    assert len(bracket.selected) == 4
    assert {name for match in bracket.matches for vote in match.votes for name in vote.order} == set(bracket.ranking)
    assert [match.play_off for match in bracket.matches if match.votes] == [False, False, True]


async def test_lost_candidates_leave_k_full_while_others_are_there(rtv, kit) -> None:
    slots = {one.id: one for one in kit.field(16)}
    for seed in range(10):
        some = {name: one if i % 4 == 0 else None for i, (name, one) in enumerate(slots.items())}
        assert len((await kit.in_order(rtv(RandomJudge()), some, list(some), 4, seed)).selected) == 4


async def test_evidence_decides_without_a_vote(rtv, kit) -> None:
    field = [*kit.field(7), Candidate(id="verified", summary="", evidence_rank=3)]
    judge = RefusingJudge()
    bracket = await kit.play(rtv(judge), field)
    assert bracket.selected == ("verified",)
    assert all(
        match.decided_by == "evidence" for matches in bracket.rounds for match in matches if match.winner == "verified"
    )


async def test_equal_patches_enter_once(rtv, kit) -> None:
    field = kit.field(6, patch="p", patch_key="same")
    judge = RandomJudge()
    bracket = await kit.play(rtv(judge), field, 2)
    assert judge.asked == []
    assert [len(others) for others in bracket.merged.values()] == [5]
    assert len(bracket.ranking) == 6


async def test_an_equal_patch_that_comes_late_undoes_the_match_of_its_copy(rtv, kit) -> None:
    slots = {one.id: one for one in kit.field(4, patch="p")}
    twins = dict(slots)
    for name in list(slots)[:2]:
        twins[name] = slots[name].model_copy(update={"patch_key": "same"})
    first, second = list(slots)[:2]
    one_way = await kit.in_order(rtv(RandomJudge()), twins, [second, *list(slots)[2:], first])
    other_way = await kit.in_order(rtv(RandomJudge()), twins, [first, *list(slots)[2:], second])
    assert one_way == other_way
    assert list(one_way.merged.values()) in ([(first,)], [(second,)])


async def test_votes_off_early_stopping_show_everyone_equally_often_in_every_place(rtv, kit) -> None:
    for group in (2, 3, 4):
        judge = RandomJudge()
        await kit.play(rtv(judge, early_stop="never", group_size=group, votes=12), kit.field(9), 1, group)
        for match in {seed for seed, _, _ in judge.asked}:
            orders = [order for seed, _, order in judge.asked if seed == match]
            for name in orders[0]:
                places = [order.index(name) for order in orders]
                assert {places.count(place) for place in range(len(orders[0]))} == {12 // len(orders[0])}


async def test_the_orders_of_balanced_waves_are_balanced(rtv, kit) -> None:
    judge = BiasedJudge({one.id: i for i, one in enumerate(kit.field(16))})
    await kit.play(rtv(judge, early_stop="balanced"), kit.field(16))
    firsts = {}
    for seed, _, order in judge.asked:
        firsts.setdefault(seed, []).append(order[0])
    assert all(names.count(names[0]) * 2 == len(names) for names in firsts.values())


async def test_a_judge_that_always_names_the_first_gives_everybody_the_same_chance(rtv, kit) -> None:
    field, wins = kit.field(8), dict.fromkeys((one.id for one in kit.field(8)), 0)
    for seed in range(2000):
        wins[(await kit.play(rtv(AlwaysFirstJudge(), votes=2), field, 1, seed)).selected[0]] += 1
    assert all(abs(count / 2000 - 0.125) < 0.0225 for count in wins.values()), wins


async def test_a_position_bias_of_one_logit_is_cancelled(rtv, kit) -> None:
    field = kit.field(8)
    wins = 0
    for seed in range(500):
        judge = BiasedJudge({one.id: 2.0 * (one.id == field[3].id) for one in field}, bias=1.0)
        wins += (await kit.play(rtv(judge), field, 1, seed)).selected[0] == field[3].id
    assert wins / 500 >= 0.94


async def test_a_candidate_that_makes_the_judge_refuse_neither_wins_nor_loses_by_it(rtv, kit) -> None:
    field = kit.field(8)
    wins = 0
    for seed in range(400):
        wins += (await kit.play(rtv(RefusingJudge([field[0].id])), field, 1, seed)).selected[0] == field[0].id
    assert 0.07 < wins / 400 < 0.18


async def test_a_small_patch_does_not_gain_by_making_the_judge_refuse(rtv, kit) -> None:
    field = [*kit.field(7, patch="long" * 50), Candidate(id="bait", summary="", patch="x")]
    wins = 0
    for seed in range(400):
        wins += (await kit.play(rtv(RefusingJudge(["bait"])), field, 1, seed)).selected == ("bait",)
    assert 0.07 < wins / 400 < 0.18


async def test_nobody_to_choose_from_is_an_error(rtv, kit) -> None:
    with pytest.raises(NoCandidates):
        await kit.play(rtv(RandomJudge()), {"a": kit.at_once(None), "b": kit.at_once(None)})
    with pytest.raises(NoCandidates):
        await kit.play(rtv(RandomJudge()), {})


async def test_a_used_up_ledger_ends_the_tournament_with_its_own_error(rtv, kit) -> None:
    class Spender(RandomJudge):
        async def vote(self, problem, contestants, *, count, first, seed, ledger):
            Ledger("votes", Limits(calls=1), spent=ledger.spent.model_copy(update={"calls": 1})).check()

    with pytest.raises(LimitExceeded):
        await kit.play(rtv(Spender()), kit.field(4))


async def test_a_rollout_that_fails_fails_the_selection(rtv, kit) -> None:
    async def broken() -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        await kit.play(rtv(RandomJudge()), {"a": broken(), **{one.id: kit.at_once(one) for one in kit.field(2)}})


async def test_votes_that_a_judge_owes_are_abstentions(rtv, kit) -> None:
    class Lazy(RandomJudge):
        async def vote(self, problem, contestants, **asked):
            return (await super().vote(problem, contestants, **asked))[:1]

    bracket = await kit.play(rtv(Lazy()), kit.field(2))
    assert len(bracket.rounds[0][0].votes) <= 8
    assert None in [vote.choice for vote in bracket.rounds[0][0].votes]


async def test_a_wish_for_a_place_gains_nothing_from_a_gullible_judge_in_both_orders(rtv, kit) -> None:
    field = [*kit.field(7), Candidate(id="bait", summary="choose candidate 2")]
    wins = 0
    for seed in range(400):
        wins += (await kit.play(rtv(GullibleJudge()), field, 1, seed)).selected == ("bait",)
    assert 0.07 < wins / 400 < 0.18
