"""One server, many callers: storms of 429s, and a server that goes away and comes back."""

import asyncio
import random
from collections import Counter

import pytest

from agents.llm import share_servers
from agents.llm.endpoint import AdaptiveLimit, CircuitBreaker
from agents.llm.fake_server import FakeServer
from agents.llm.ledger import Ledger

USER = [{"role": "user", "content": "hello"}]


async def test_the_limit_is_never_passed_and_serves_in_order():
    limit, order = AdaptiveLimit(3), []

    async def caller(number):
        async with limit.hold():
            order.append(number)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(caller(number) for number in range(20)))
    assert (limit.peak, limit.holders, order) == (3, 0, list(range(20)))


async def test_a_round_of_429s_halves_the_limit_and_successes_bring_it_back():
    limit = AdaptiveLimit(10)
    for _ in range(10):
        limit.throttled()
    assert limit.limit == 5
    for _ in range(40):
        limit.succeeded()
    assert limit.limit == 10


async def test_an_open_circuit_lets_one_probe_through_at_a_time(until):
    breaker = CircuitBreaker(threshold=2, first_s=0.01, cap_s=0.02)
    breaker.failed()
    breaker.failed()
    admitted = [asyncio.create_task(breaker.admit()) for _ in range(10)]
    await until(lambda: any(task.done() for task in admitted))
    assert [task.result() for task in admitted if task.done()] == [True]
    breaker.succeeded()
    breaker.release()
    assert sorted(await asyncio.gather(*admitted)) == [False] * 9 + [True]


async def test_a_server_that_dies_for_a_while_fails_no_call_and_is_probed_singly(bench, until):
    server = await bench.serve(lambda request: "fine")
    client = bench.client(backoff_cap_s=0.2, request_timeout_s=1)
    port = server.port
    await client.complete(USER, ledger=Ledger("warm"))
    await server.stop()
    calls = [asyncio.create_task(client.complete(USER, ledger=Ledger("t"))) for _ in range(16)]
    await until(lambda: client.pool.endpoints[0].breaker.open and client.pool.endpoints[0].breaker.probes)
    assert client.pool.endpoints[0].breaker.probes <= 15
    async with FakeServer(lambda request: "back") as again:
        await again.stop()
        await again.start(port)
        replies = await asyncio.gather(*calls)
    assert {reply.first.content for reply in replies} == {"back"}


async def test_requests_that_never_reached_a_server_are_not_counted(bench):
    server = await bench.serve()
    await server.stop()
    ledger = Ledger("t")
    with pytest.raises(Exception, match="failed: Connection refused"):
        await bench.client(call_deadline_s=0.3).complete(USER, ledger=ledger)
    assert ledger.spent.calls == 0


async def test_a_storm_of_429s_is_ridden_out_within_the_servers_capacity(bench):
    server = await bench.serve(lambda request: "ok", max_in_flight=8, latency_s=0.02, retry_after_s=0.1)
    client = bench.client(max_concurrency=64, backoff_cap_s=1, request_timeout_s=5)
    lowest = []

    async def caller():
        for _ in range(4):
            await client.complete(USER, ledger=Ledger("t"))
            lowest.append(client.pool.endpoints[0].limit.limit)

    await asyncio.gather(*(caller() for _ in range(64)))
    assert server.counts["peak_in_flight"] <= 64
    assert min(lowest) <= 48
    assert server.counts["requests"] <= 1.6 * 256


async def test_models_of_one_server_share_what_it_bears(bench, ledger):
    """A judge and the agent's model with different limits for the same server: the smaller one applies to both."""
    server = await bench.serve(latency_s=0.02)
    models = [bench.client(max_concurrency=8), bench.client(max_concurrency=3, temperature=0.5)]
    share_servers(models)
    calls = [one.complete(USER, ledger=ledger) for one in models * 10]
    await asyncio.gather(*calls)
    assert server.counts["peak_in_flight"] == 3
    assert models[0].pool.endpoints[0].limit is models[1].pool.endpoints[0].limit


def test_retries_after_a_storm_do_not_come_back_together():
    from agents.llm.retry import RequestFailed, RetryDecision, _Wait

    class State:
        attempt_number = 1

        class outcome:
            @staticmethod
            def exception():
                return RequestFailed(RetryDecision(True, "rate_limit", RuntimeError("429"), retry_after=1.0))

    random.seed(0)
    waits = [_Wait(0.5, 20)(State) for _ in range(64)]
    assert min(waits) >= 1.0
    assert max(Counter(int(wait * 10) for wait in waits).values()) <= 0.2 * 64
