"""Votes by probabilities: one request per order, and samples if the server gives no probabilities."""

from contextlib import asynccontextmanager

import pytest

from agents.llm.config import ModelConfig
from agents.llm.fake import text
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from benchmarks.selection_field import gap_for
from benchmarks.selection_shares import JudgeServer, asking, right
from tournament.base import Candidate
from tournament.journal import MemoryJournal
from tournament.judge import ModelJudge
from tournament.match_votes import MatchVotes
from tournament.swiss import SwissSelector

PAIR = (Candidate(id="good", summary="passes"), Candidate(id="bad", summary="fails"))


@asynccontextmanager
async def judge_of(server, votes_from="auto", votes=8, **options):
    """A judge that queries this server over HTTP, and the server."""
    async with FakeServer(server, ServerOptions(**options)) as served:
        model = OpenAIModel(ModelConfig(name="fake-model", base_url=served.base_url))
        yield ModelJudge(asking(votes_from, votes), model), served
        await model.close()


async def match_of(judge, kit, journal=None, votes=8):
    return await MatchVotes(asking("auto", votes), judge, kit.case(0, journal)).decide("r0-m0", PAIR)


async def test_one_request_for_each_order_decides_a_match(kit):
    async with judge_of(JudgeServer(gap=1.0)) as (judge, served):
        await judge.weighs(Ledger("test"))
        served.requests.clear()
        match = await match_of(judge, kit)
    assert (match.winner, match.decided_by) == ("good", "votes")
    assert [(one.get("n"), one["top_logprobs"]) for one in served.requests] == [(None, 20)] * 2
    assert {vote.order for vote in match.votes} == {("good", "bad"), ("bad", "good")}
    assert [vote.margin for vote in match.votes] == pytest.approx([0.462, 0.462], abs=0.001)


async def test_the_choice_comes_first_so_that_no_sampled_reason_decides_it(kit):
    async with judge_of(JudgeServer(gap=1.0)) as (judge, served):
        await match_of(judge, kit)
    schema = served.requests[-1]["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["choice", "reason"]
    assert "`choice` first" in served.requests[-1]["messages"][1]["content"]


async def test_a_preference_for_the_first_place_decides_nothing(kit):
    """With 2 logits for the first place and half a logit for the better one, single votes follow the place."""
    async with judge_of(JudgeServer(gap=0.5, bias=2.0)) as (judge, _):
        assert (await match_of(judge, kit)).winner == "good"


@pytest.mark.parametrize("server", [JudgeServer(5.0, knows=False), JudgeServer(5.0, thinks=600)])
async def test_samples_are_drawn_where_the_model_gives_no_probabilities_or_thinks_first(server, kit):
    async with judge_of(server) as (judge, served):
        match = await match_of(judge, kit)
        again = await match_of(judge, kit)
    assert match == again and match.winner == "good" and len(match.votes) == 8
    assert not any(vote.shares for vote in match.votes)
    assert sum(bool(one.get("logprobs")) for one in served.requests) == 1, "found out once"


async def test_a_server_that_rejects_the_wish_for_probabilities_is_asked_for_samples(kit):
    async with judge_of(JudgeServer(5.0, knows=False), takes_logprobs=False) as (judge, served):
        match = await match_of(judge, kit)
    assert match.winner == "good" and len(match.votes) == 8
    assert sum(bool(one.get("logprobs")) for one in served.requests) == 1


async def test_probabilities_after_thoughts_count_where_that_is_asked_for(kit):
    async with judge_of(JudgeServer(5.0, thinks=600), "logprobs") as (judge, _):
        assert len((await match_of(judge, kit)).votes) == 2


async def test_samples_can_be_asked_for_although_there_are_probabilities(kit):
    async with judge_of(JudgeServer(5.0), "samples") as (judge, served):
        assert len((await match_of(judge, kit)).votes) == 8
    assert not any(one.get("logprobs") for one in served.requests)


async def test_an_order_that_cannot_be_read_is_made_up_for_by_samples(kit):
    server = JudgeServer(5.0)

    def half_deaf(request):
        asked = request["messages"][1]["content"]
        unreadable = request.get("logprobs") and 0 < asked.find('"passes"') < asked.find('"fails"')
        return text("no JSON") if unreadable else server(request)

    async with judge_of(half_deaf) as (judge, _):
        match = await match_of(judge, kit)
    assert match.winner == "good" and len(match.votes) == 8
    assert [vote.choice is None for vote in match.votes].count(True) == 1


async def test_a_resumed_match_asks_for_nothing_again(kit):
    journal = MemoryJournal()
    async with judge_of(JudgeServer(1.0)) as (judge, served):
        first = await match_of(judge, kit, journal)
        served.requests.clear()
        assert await match_of(judge, kit, journal) == first
    assert not served.requests


async def test_swiss_uses_probabilities_as_shares_of_a_win(kit):
    async with judge_of(JudgeServer(2.0)) as (judge, _):
        field = [Candidate(id=f"{i}", summary=f"passes {i}" if i == 3 else f"fails {i}") for i in range(5)]
        bracket = await kit.play(SwissSelector(asking("auto"), judge), field)
    assert bracket.selected == ("3",)
    assert all(vote.shares for match in bracket.matches for vote in match.votes)


async def test_probabilities_are_worth_more_than_as_many_samples():
    """A judge that is right in 6 of 10 votes: two samples are a biased coin, two probabilities are its opinion."""
    sampled, _, cost = await right(asking("samples", 2), JudgeServer(gap_for(0.6, 0.0), bias=1.0), 60)
    weighed, requests, replies = await right(asking("auto"), JudgeServer(gap_for(0.6, 0.0), bias=1.0), 60)
    assert (requests, replies, cost) == (2.0, 2.0, 2.0)
    assert sampled < 0.8 < weighed == 1.0
