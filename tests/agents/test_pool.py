"""Several servers of one model: where sessions go, what happens when one dies, and who counts what."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from agents.llm import share_servers
from agents.llm.base import Sampling, Session
from agents.llm.config import ModelConfig
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from agents.llm.session import in_session

USER = [{"role": "user", "content": "hello"}]


class Servers:
    """Three fake servers and a client for all of them."""

    def __init__(self, stack):
        self.stack, self.servers = stack, []

    async def start(self, count=3, **options):
        for _ in range(count):
            server = FakeServer(lambda request: "fine", ServerOptions.model_validate(options))
            self.servers.append(await self.stack.enter_async_context(server))
        return self

    def client(self, **changes):
        waits = {"request_timeout_s": 10, "call_deadline_s": 60, "backoff_cap_s": 0.02}
        urls = [server.base_url for server in self.servers]
        model = OpenAIModel(ModelConfig.model_validate({"name": "fake-model", "base_url": urls, **waits, **changes}))
        self.stack.push_async_callback(model.close)
        return model

    def counts(self, name="replies"):
        return [server.counts[name] for server in self.servers]


@pytest.fixture
async def servers():
    async with AsyncExitStack() as stack:
        yield Servers(stack)


def asked(name, turn=0):
    return Sampling(seed=1, turn=turn, session=Session(id=name))


async def test_a_session_stays_where_it_is_and_new_ones_go_to_the_least_loaded(servers, ledger):
    await servers.start()
    model = servers.client()
    for turn in range(4):
        for name in "abcdef":
            await model.complete(USER, ledger=ledger, sampling=asked(name, turn))
    assert servers.counts() == [8, 8, 8]
    for server in servers.servers:
        assert len({headers["x-session-id"] for headers in server.headers}) == 2


async def test_an_ended_session_makes_room_and_is_found_where_its_prefix_is(servers, ledger):
    await servers.start(2)
    model = servers.client()
    async with in_session(model, Session(id="a")):
        await model.complete(USER, ledger=ledger, sampling=asked("a"))
    await model.complete(USER, ledger=ledger, sampling=asked("b"))
    await model.complete(USER, ledger=ledger, sampling=asked("c"))
    await model.complete(USER, ledger=ledger, sampling=asked("a"))
    assert servers.counts() == [3, 1] or servers.counts() == [2, 2]
    homes = [server for server in servers.servers if any(one["x-session-id"] == "a" for one in server.headers)]
    assert len(homes) == 1


async def test_sessions_of_a_dead_server_move_and_it_is_used_again_once_it_answers(servers, ledger, until, monkeypatch):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.05)
    await servers.start(2)
    model = servers.client()
    for name in "abcd":
        await model.complete(USER, ledger=ledger, sampling=asked(name))
    dead, port = servers.servers[0], servers.servers[0].port
    await dead.stop()
    await asyncio.gather(*(model.complete(USER, ledger=ledger, sampling=asked(name, 1)) for name in "abcd"))
    assert servers.counts() == [2, 6]
    await dead.start(port)
    await until(lambda: not model.pool.endpoints[0].breaker.open)
    await model.complete(USER, ledger=ledger, sampling=asked("e"))
    assert servers.counts() == [3, 6]


async def test_while_all_are_dead_requests_wait_for_whichever_comes_back(servers, ledger, until, monkeypatch):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.05)
    await servers.start(2)
    model = servers.client()
    await model.complete(USER, ledger=ledger, sampling=asked("a"))
    ports = [server.port for server in servers.servers]
    for server in servers.servers:
        await server.stop()
    waiting = [asyncio.create_task(model.complete(USER, ledger=ledger, sampling=asked(name, 1))) for name in "abc"]
    await until(lambda: all(one.breaker.open for one in model.pool.endpoints))
    await servers.servers[1].start(ports[1])
    await asyncio.gather(*waiting)
    assert servers.counts()[1] >= 3


async def test_one_server_of_three_is_killed_and_restarted_and_no_call_is_lost_or_made_twice(
    servers, until, monkeypatch
):
    """24 conversations of 20 turns. The ledger has every reply and token that the servers counted.

    Besides, it has the requests that were under way to the dead server, at most one for each of its 8 sessions: whether
    the server read them nobody can tell.
    """
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.05)
    await servers.start(3, latency_s=0.01)
    model, ledger = servers.client(), Ledger("run")
    done = []

    async def rollout(number):
        async with in_session(model, Session(id=f"r{number}")):
            for turn in range(20):
                history = [{"role": "user", "content": f"{number}/{turn}"}]
                await model.complete(history, ledger=ledger, sampling=asked(f"r{number}", turn))
                done.append((number, turn))

    work = asyncio.gather(*(rollout(number) for number in range(24)))
    victim, port = servers.servers[1], servers.servers[1].port
    await until(lambda: len(done) > 60)
    await victim.stop()
    await until(lambda: len(done) > 240)
    await victim.start(port)
    await work
    assert sorted(done) == [(number, turn) for number in range(24) for turn in range(20)]
    assert sum(servers.counts("repeated")) == 0
    assert sum(servers.counts()) == 24 * 20
    assert 0 <= ledger.spent.calls - sum(servers.counts("requests")) <= 8
    assert ledger.spent.completion_tokens == sum(servers.counts("completion_tokens"))


async def test_a_server_that_is_down_at_the_start_does_not_stop_the_run(servers, ledger):
    await servers.start(2)
    await servers.servers[0].stop()
    model = servers.client()
    assert (await model.preflight())["model"] == "fake-model"
    await model.complete(USER, ledger=ledger, sampling=asked("a"))
    assert servers.counts() == [0, 1]


async def test_limits_are_per_server(servers, ledger):
    await servers.start(2, latency_s=0.05)
    model = servers.client(max_concurrency=2)
    calls = (model.complete(USER, ledger=ledger, sampling=asked(str(number))) for number in range(12))
    await asyncio.gather(*calls)
    assert servers.counts("peak_in_flight") == [2, 2] and servers.counts() == [6, 6]


async def test_a_cap_that_binds_is_said_once(servers, ledger):
    await servers.start(1, latency_s=0.02)
    model = servers.client(max_concurrency=2)
    for turn in range(2):
        calls = (model.complete(USER, ledger=ledger, sampling=asked(str(number), turn)) for number in range(6))
        await asyncio.gather(*calls)
    assert len(model.notes) == 1
    assert model.notes[0].startswith("2 requests in flight of ") and "raise model.max_concurrency" in model.notes[0]


async def test_models_that_have_a_server_in_common_share_it(servers):
    await servers.start(2)
    agent, judge = servers.client(), servers.client(temperature=0.1)
    share_servers([agent, judge])
    for one, other in zip(agent.pool.endpoints, judge.pool.endpoints, strict=True):
        assert one.limit is other.limit and one.seats is other.seats


async def test_models_that_share_a_server_keep_their_own_request_fields(servers, ledger):
    """A judge's requests once carried the agent's `extra_body`, so that no vote could be read."""
    await servers.start(1)
    agent, judge = servers.client(extra_body={"mark": "agent"}), servers.client(extra_body={"mark": "judge"})
    share_servers([agent, judge])
    for model in (agent, judge):
        await model.complete(USER, ledger=ledger)
    assert [request.get("mark") for request in servers.servers[0].requests] == ["agent", "judge"]
