"""Two models on one GPU: who is awake, when the GPU changes hands, and what happens if a server cannot sleep."""

import asyncio
from contextlib import AsyncExitStack
from unittest.mock import AsyncMock

import pytest

from agents.errors import ModelConfigError
from agents.llm import share_servers
from agents.llm.config import ModelConfig
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from agents.llm.server import Server

USER = [{"role": "user", "content": "hello"}]


class Shared:
    """Servers on one GPU, each with a client."""

    def __init__(self, stack):
        self.stack, self.servers, self.models = stack, [], []

    async def start(self, *names, idle_s=0.05, turn_s=60.0, **options):
        for name in names:
            chosen = ServerOptions.model_validate({"model": name, "sleeps": True, **options})
            server = await self.stack.enter_async_context(FakeServer(lambda request: "fine", chosen))
            waits = {"request_timeout_s": 10, "call_deadline_s": 60, "backoff_cap_s": 0.02}
            config = ModelConfig.model_validate({"name": name, "base_url": server.base_url, "gpu": "a", **waits})
            model = OpenAIModel(config)
            self.stack.push_async_callback(model.close)
            self.servers.append(server)
            self.models.append(model)
        share_servers(self.models)
        self.gpu = self.models[0].pool.endpoints[0].gpu
        self.gpu.idle_s, self.gpu.turn_s = idle_s, turn_s
        return self.models

    def asked_asleep(self):
        return [server.counts["asked_asleep"] for server in self.servers]


@pytest.fixture
async def shared():
    async with AsyncExitStack() as stack:
        yield Shared(stack)


async def ask(model, ledger, times=1):
    for _ in range(times):
        await model.complete(USER, ledger=ledger)


async def test_a_model_sleeps_while_the_other_is_asked(shared, ledger):
    agent, judge = await shared.start("agent", "judge")
    await ask(agent, ledger)
    assert [server.asleep for server in shared.servers] == [False, True]
    await ask(judge, ledger)
    assert [server.asleep for server in shared.servers] == [True, False]
    assert (shared.asked_asleep(), shared.gpu.switches) == ([0, 0], 2)


async def test_a_phase_of_many_requests_is_one_turn(shared, ledger):
    agent, judge = await shared.start("agent", "judge", latency_s=0.01)
    await asyncio.gather(*(ask(agent, ledger, 5) for _ in range(8)))
    await asyncio.gather(*(ask(judge, ledger) for _ in range(8)))
    assert (shared.asked_asleep(), shared.gpu.switches) == ([0, 0], 2)


async def test_a_pause_between_two_turns_of_an_agent_does_not_cost_it_the_gpu(shared, ledger):
    agent, judge = await shared.start("agent", "judge", idle_s=1.0)
    await ask(agent, ledger)
    waiting = asyncio.create_task(ask(judge, ledger))
    await asyncio.sleep(0.1)
    await ask(agent, ledger, 3)
    assert (shared.servers[1].counts["requests"], shared.gpu.switches) == (0, 1)
    shared.gpu.idle_s = 0.0
    await waiting
    assert shared.gpu.switches == 2


async def test_a_long_turn_ends_for_a_model_that_waits(shared, ledger):
    agent, judge = await shared.start("agent", "judge", turn_s=0.3, idle_s=10.0, latency_s=0.01)
    busy = asyncio.create_task(ask(agent, ledger, 10_000))
    await ask(judge, ledger)
    assert shared.servers[1].counts["replies"] == 1 and not busy.done()
    busy.cancel()
    assert shared.asked_asleep() == [0, 0]


async def test_a_call_that_is_cancelled_while_it_waits_holds_nobody_up(shared, ledger):
    agent, judge = await shared.start("agent", "judge", idle_s=0.2)
    await ask(agent, ledger)
    waiting = asyncio.create_task(ask(judge, ledger))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await ask(agent, ledger, 3)
    await ask(judge, ledger)
    assert shared.servers[1].counts["replies"] == 1


async def test_a_server_that_was_put_to_sleep_by_somebody_else_is_woken(shared, ledger):
    (agent,) = await shared.start("agent")
    await ask(agent, ledger)
    shared.servers[0].asleep = True
    await ask(agent, ledger)
    assert shared.asked_asleep() == [0]


async def test_nobody_asks_a_server_that_is_still_waking_up(shared, ledger, monkeypatch):
    (agent,) = await shared.start("agent")
    await ask(agent, ledger)
    wake = Server.wake

    async def slowly(self):
        await asyncio.sleep(0.1)
        await wake(self)

    monkeypatch.setattr(Server, "wake", slowly)
    shared.servers[0].asleep = True
    await asyncio.gather(*(ask(agent, ledger) for _ in range(6)))
    assert shared.asked_asleep() == [0]


async def test_a_wake_up_that_fails_is_tried_again_by_the_next_request(shared, monkeypatch):
    (agent,) = await shared.start("agent")
    server = agent.pool.endpoints[0].server
    async with shared.gpu.hold(server):
        pass
    with monkeypatch.context() as patch:
        patch.setattr(Server, "wake", AsyncMock(side_effect=TimeoutError))
        with pytest.raises(TimeoutError):
            async with shared.gpu.hold(server):
                pass
    async with shared.gpu.hold(server), shared.gpu.hold(server):
        assert not shared.servers[0].asleep


async def test_the_gpu_is_not_taken_from_one_that_came_at_the_last_moment(shared):
    agent, judge = (one.pool.endpoints[0].server for one in await shared.start("agent", "judge"))
    async with shared.gpu.hold(agent):
        pass
    waiting = asyncio.create_task(ask(shared.models[1], Ledger("test")))
    await asyncio.sleep(0.02)
    async with shared.gpu.hold(agent):
        shared.gpu._free.set()  # its timer ran just before
        shared.gpu._free.clear()
        await asyncio.sleep(0.1)
        assert not shared.servers[0].asleep
    await waiting
    assert shared.servers[0].asleep and judge is not agent


async def test_a_server_that_is_down_needs_no_sleep(shared, ledger):
    agent, judge = await shared.start("agent", "judge")
    await ask(agent, ledger)
    await shared.servers[0].stop()
    await ask(judge, ledger)
    assert shared.servers[1].counts["replies"] == 1


async def test_a_server_without_sleep_mode_is_refused_with_what_to_do(shared, ledger):
    agent, _ = await shared.start("agent", "judge", sleeps=False)
    with pytest.raises(ModelConfigError, match=r"no sleep mode.*--enable-sleep-mode"):
        await ask(agent, ledger)
