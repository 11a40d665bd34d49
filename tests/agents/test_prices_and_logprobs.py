"""Optional parts of a reply: log probabilities, and the cost of a server's time."""

import asyncio
import time

import pytest

from agents.llm import Prices
from agents.llm.base import Sampling, TokenLogprob
from agents.llm.fake import text
from agents.llm.replies import completions_of

USER = [{"role": "user", "content": "hello"}]


async def test_log_probabilities_are_asked_for_and_read_where_somebody_wants_them(bench, ledger):
    known = (TokenLogprob(token="QX", logprob=-0.25, top=(("QX", -0.25), ("K7", -1.5))),)
    server = await bench.serve(lambda request: text("QX").model_copy(update={"logprobs": known}))
    reply = await bench.client().complete(USER, ledger=ledger, sampling=Sampling(logprobs=2))
    assert reply.first.logprobs == known
    assert (server.requests[0]["logprobs"], server.requests[0]["top_logprobs"]) == (True, 2)
    await bench.client().complete(USER, ledger=ledger)
    assert "logprobs" not in server.requests[1]


@pytest.mark.parametrize("odd", [7, {}, {"content": 7}, {"content": [7]}, {"content": [{"token": 1, "logprob": "x"}]}])
def test_odd_log_probabilities_do_not_spoil_a_reply(odd):
    choice = {"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop", "logprobs": odd}
    (completion,), _ = completions_of({"choices": [choice]})
    assert (completion.content, completion.logprobs) == ("hi", ())


async def test_a_server_by_the_hour_costs_the_time_in_which_it_was_asked(bench, ledger):
    """Ten concurrent requests share the time, so the total is the server's hourly price, not ten times that."""
    await bench.serve(latency_s=0.3)
    client = bench.client(prices=Prices(server_hour=3600.0))
    started = time.monotonic()
    await asyncio.gather(*(client.complete(USER, ledger=ledger.child(str(index))) for index in range(10)))
    assert 0.3 <= ledger.spent.cost_usd <= time.monotonic() - started
