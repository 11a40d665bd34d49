"""Who may ask a server whose KV cache is full: the oldest sessions go on, the youngest wait, nobody is cancelled."""

import asyncio
import math

import pytest

from agents.llm import share_servers
from agents.llm.admission import Seats
from agents.llm.base import Sampling, Session
from agents.llm.chat_http import StatusError
from agents.llm.counters import Counters, read_counters
from agents.llm.server import Server

USER = [{"role": "user", "content": "hello"}]


class Told:
    """Seats of ten sessions, and what their server says."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr("agents.llm.admission._PAUSE_S", 0.0)
        self.seats, self.counts = Seats(), Counters()
        for number in range(10):
            self.seats.take(Session(id=str(number)))
        self.seats.adjust(self.counts)

    def look(self, *, hits=900, kv_use=0.1, preemptions=0):
        since = Counters(prompt_tokens=10000, prefix_queries=10000, prefix_hits=hits * 10, preemptions=preemptions)
        self.counts = (self.counts + since).model_copy(update={"kv_use": kv_use})
        self.seats.adjust(self.counts)
        return self.seats.limit


@pytest.fixture
async def told(monkeypatch):
    return Told(monkeypatch)


async def test_nobody_waits_until_the_server_is_strained(told):
    assert [told.look() for _ in range(5)] == [math.inf] * 5


@pytest.mark.parametrize("strain", [{"kv_use": 0.9}, {"preemptions": 1}])
async def test_a_full_cache_or_preemptions_lower_the_limit_and_calm_raises_it_again(told, strain):
    assert [told.look(**strain), told.look(**strain)] == [8, 6]
    assert [told.look(), told.look(), told.look(), told.look(), told.look()] == [7, 8, 9, 10, 10]


async def test_hits_that_collapse_are_a_strain_but_one_bad_look_is_none(told):
    told.look()
    assert told.look(hits=100) == math.inf
    assert told.look(hits=100) == 8


async def test_the_oldest_go_on_and_the_youngest_wait_for_one_that_ends(told):
    told.seats.limit = 2
    await told.seats.turn("0")
    await told.seats.turn("1")
    third = asyncio.create_task(told.seats.turn("2"))
    fourth = asyncio.create_task(told.seats.turn("3"))
    await asyncio.sleep(0.01)
    assert not third.done() and not fourth.done()
    told.seats.leave("0")
    await third
    assert not fourth.done()
    fourth.cancel()


async def test_sessions_of_older_tasks_come_first(told):
    told.seats.take(Session(id="older", order=-1))
    assert told.seats.priority("older") < told.seats.priority("0") < told.seats.priority("9")


async def test_one_that_has_begun_waits_no_longer_than_its_patience(told):
    told.seats.limit = 1
    await told.seats.turn("5", 0.01)


async def test_seats_of_sessions_that_nobody_released_are_taken_back(told):
    told.seats.expire({"3": 1}, idle_s=-1)
    assert len(told.seats) == 1 and "3" in told.seats


def test_the_use_of_the_cache_is_read_from_the_page():
    page = 'vllm:kv_cache_usage_perc{engine="0"} 0.25\nvllm:kv_cache_usage_perc{engine="1"} 0.85\n'
    assert read_counters(page).kv_use == 0.85


async def test_a_strained_server_is_noticed_by_its_metrics_and_a_new_rollout_waits(bench, ledger, until, monkeypatch):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.02)
    server = await bench.serve()
    server.metrics = lambda: "vllm:kv_cache_usage_perc 0.95\nvllm:prompt_tokens_total 10\n"
    client = bench.client()
    first, second = (Session(id=name) for name in ("a", "b"))
    await client.begin(first)
    await client.complete(USER, ledger=ledger, sampling=Sampling(session=first))
    await until(lambda: client.pool.endpoints[0].seats.limit == 1)
    late = asyncio.create_task(client.begin(second))
    await client.complete(USER, ledger=ledger, sampling=Sampling(session=first))
    assert not late.done()
    client.end(first)
    await late


STRAINED = "vllm:kv_cache_usage_perc 0.95\nvllm:prompt_tokens_total 10\n"


async def test_another_model_on_the_server_does_not_take_seats_away(bench, ledger, until, monkeypatch):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.02)
    monkeypatch.setattr("agents.llm.pool._IDLE_S", 0.1)
    server = await bench.serve()
    server.metrics = lambda: STRAINED
    agent, judge = bench.client(), bench.client()
    share_servers([agent, judge])
    old, new = (Session(id=name) for name in ("old", "new"))
    await agent.begin(old)
    agent.pool.endpoints[0].seats.limit = 1
    late = asyncio.create_task(agent.begin(new))
    for _ in range(10):
        await judge.complete(USER, ledger=ledger)
        await asyncio.sleep(0.03)
    assert not late.done() and "old" in agent.pool.endpoints[0].seats
    agent.end(old)
    await late
    await agent.close()
    await until(lambda: len(judge.pool.endpoints[0].seats) == 0)


@pytest.mark.parametrize("status", [503, 429])
async def test_metrics_that_cannot_be_read_once_are_read_later(bench, ledger, until, monkeypatch, status):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.02)
    server = await bench.serve()
    pages = iter([None, None])

    async def asked(self, method, url, *more, **options):
        if url.endswith("/metrics") and next(pages, STRAINED) is None:
            raise StatusError(status, {}, "later")
        return await ask(self, method, url, *more, **options)

    ask = Server._asked
    monkeypatch.setattr(Server, "_asked", asked)
    server.metrics = lambda: STRAINED
    client = bench.client()
    for name in ("a", "b"):
        await client.begin(Session(id=name))
    await client.complete(USER, ledger=ledger)
    await until(lambda: client.pool.endpoints[0].seats.limit == 1)


async def test_a_server_without_metrics_is_asked_once(bench, ledger, monkeypatch):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.01)
    await bench.serve()
    client, asked = bench.client(), []

    async def poll(self):
        asked.append(self)

    monkeypatch.setattr(Server, "poll", poll)
    await client.complete(USER, ledger=ledger)
    await asyncio.sleep(0.1)
    assert len(asked) == 1
