"""Candidates that exceed the judge's context are truncated according to their counted tokens."""

import json

import pytest

from agents.errors import ContextOverflow
from agents.llm.config import ModelConfig
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from tournament.judge import ModelJudge


def votes_for_the_first(request):
    labels = request["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"]
    return [json.dumps({"reason": "so", "choice": labels[0]})] * request.get("n", 1)


async def votes_in(config, field, **options):
    """The votes on one order, and the server that gave them; its context is 4,096 tokens of four characters."""
    async with FakeServer(votes_for_the_first, ServerOptions(context=4096, **options)) as server:
        model = OpenAIModel(ModelConfig(name="fake-model", base_url=server.base_url))
        votes = await ModelJudge(config, model).vote("issue", field, count=1, first=0, seed=1, ledger=Ledger("t"))
        await model.close()
        return votes, server


@pytest.mark.parametrize("tokenizes", [True, False])
async def test_one_further_request_suffices_where_tokens_are_counted(config, kit, tokenizes) -> None:
    field = [one.model_copy(update={"summary": "word " * 4000}) for one in kit.field(2)]
    votes, server = await votes_in(config, field, tokenizes=tokenizes)
    assert [vote.choice for vote in votes] == [field[0].id]
    assert (server.counts["requests"], server.counts["overflows"]) == (2, 1)
    texts = [len(one["summary"]) for one in kit.payload(server.requests[-1]["messages"])["candidates"]]
    # Half of the 4,096 tokens is for the reply: about 4,000 characters per candidate without the rules.
    assert len(set(texts)) == 1 and 2800 < texts[0] < 4200


async def test_a_short_candidate_is_shown_whole_and_the_long_one_cut(config, kit) -> None:
    short, long = kit.field(2)
    long = long.model_copy(update={"summary": "word " * 4000})
    _, server = await votes_in(config, [short, long])
    shown = [one["summary"] for one in kit.payload(server.requests[-1]["messages"])["candidates"]]
    assert shown[0] == short.summary and 5000 < len(shown[1]) < 12_000


async def test_what_cannot_fit_is_an_abstention_after_one_request(config, kit) -> None:
    error = ContextOverflow("long", prompt=100_000, limit=1000, reply=256)
    model = kit.Answering(lambda *_: error)
    votes = await ModelJudge(config, model).vote(
        "issue " * 2000, kit.field(2), count=1, first=0, seed=1, ledger=Ledger("t")
    )
    assert [vote.choice for vote in votes] == [None] and len(model.requests) == 1


async def test_later_votes_of_an_order_repeat_its_prompt(config, kit) -> None:
    """So that a prefix cache holds all of it; only the sampling seed differs."""
    model = kit.Answering(lambda messages, schema, n: votes_for_the_first({"response_format": form(schema)})[0])
    judge = ModelJudge(config, model)
    for first in (0, 4):
        await judge.vote("issue", kit.field(2), count=4, first=first, seed=1, ledger=Ledger("t"))
    assert model.requests[:2] == model.requests[2:]
    assert len({one.seed for one in model.samplings}) == 4


def form(schema):
    return {"json_schema": {"schema": schema}}
