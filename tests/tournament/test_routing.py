"""Matches divided between a small and a large judge: whose votes count, and what is compared."""

from dataclasses import replace

import pytest

from tournament.fake import PerfectJudge, RefusingJudge
from tournament.journal import MemoryJournal
from tournament.match_votes import MarginVotes, MatchVotes
from tournament.swiss import SwissSelector

FIRST, SECOND = {"heat-0/rollout-00": 1.0}, {"heat-0/rollout-01": 1.0}


class Routing:
    """Routes every match the same way."""

    def __init__(self, way, large):
        self.way, self.large, self.journal, self.told = way, large, MemoryJournal(), []

    def route(self, match_id, contestants):
        return self.way

    def compared(self, match_id, contestants, *, agree):
        self.told.append(agree)


def prefers(quality):
    ids = [f"heat-0/rollout-{index:02}" for index in range(4)]
    return PerfectJudge({one: quality.get(one, 0.0) for one in ids})


async def played(kit, config, small, routing, judging=MatchVotes):
    case = replace(kit.case(), routing=routing)
    match = await judging(config, small, case).decide("r0-m0", tuple(kit.field(2)))
    return match, case.journal


@pytest.mark.parametrize("judging", [MatchVotes, MarginVotes])
@pytest.mark.parametrize(("way", "winner"), [("small", "00"), ("large", "01"), ("both", "01")])
async def test_the_judge_of_the_route_decides_and_of_both_the_large_one(kit, config, way, winner, judging):
    routing = Routing(way, prefers(SECOND))
    match, _ = await played(kit, config, prefers(FIRST), routing, judging)
    assert match.winner == f"heat-0/rollout-{winner}"


async def test_votes_of_the_small_judge_in_a_comparison_never_enter_the_match(kit, config):
    routing = Routing("both", prefers(SECOND))
    match, journal = await played(kit, config, prefers(FIRST), routing)
    assert {vote.choice for vote in match.votes} == {"heat-0/rollout-01"}
    assert {vote.choice for vote in journal.votes("r0-m0", match.contestants)} == {"heat-0/rollout-01"}
    assert {vote.choice for vote in routing.journal.votes("r0-m0", match.contestants)} == {"heat-0/rollout-00"}


@pytest.mark.parametrize(("small", "told"), [(FIRST, [False]), (SECOND, [True])])
async def test_the_winners_are_compared(kit, config, small, told):
    routing = Routing("both", prefers(SECOND))
    await played(kit, config, prefers(small), routing)
    assert routing.told == told


async def test_a_small_judge_without_a_readable_vote_disagrees(kit, config):
    routing = Routing("both", prefers(SECOND))
    await played(kit, config, RefusingJudge(), routing)
    assert routing.told == [False]


async def test_nothing_is_compared_with_a_large_judge_without_a_readable_vote(kit, config):
    routing = Routing("both", RefusingJudge())
    await played(kit, config, prefers(FIRST), routing)
    assert routing.told == []


async def test_a_resumed_comparison_asks_neither_judge_again(kit, config):
    routing, small = Routing("both", prefers(SECOND)), prefers(FIRST)
    case, asked = replace(kit.case(), routing=routing), []
    for _ in range(2):
        await MatchVotes(config, small, case).decide("r0-m0", tuple(kit.field(2)))
        asked.append((len(small.asked), len(routing.large.asked)))
    assert asked[0] == asked[1]
    assert min(asked[0]) > 0


async def test_swiss_pairings_are_routed_too(kit, config):
    routing = Routing("large", prefers(SECOND))
    case, small = replace(kit.case(), routing=routing), prefers(FIRST)
    field = {one.id: kit.at_once(one) for one in kit.field(4)}
    bracket = await SwissSelector(config, small).select(field, 1, case)
    assert bracket.selected == ("heat-0/rollout-01",)
    assert not small.asked
