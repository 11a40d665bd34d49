"""A sweep over three model servers of which one is killed and restarted."""

import asyncio
from contextlib import AsyncExitStack

from doubles import Persona, Script

from agents.llm.config import ModelConfig
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.openai_client import OpenAIModel
from heats.store.store import RunStore

COMMANDS = ["look", "look", "look", "patch right", "look"]


async def test_a_server_that_is_killed_and_restarted_costs_no_rollout_and_plays_none_twice(
    paper_run, tmp_path, monkeypatch, until
):
    monkeypatch.setattr("agents.llm.pool._LOOK_S", 0.05)
    async with AsyncExitStack() as stack:
        servers = []
        for _ in range(3):
            persona = Persona(Script.model_validate({"rules": [{"commands": COMMANDS}]}))
            server = FakeServer(persona, ServerOptions(latency_s=0.02))
            servers.append(await stack.enter_async_context(server))
        urls = [server.base_url for server in servers]
        config = ModelConfig(name="fake-model", base_url=urls, request_timeout_s=10, backoff_cap_s=0.05)
        model = OpenAIModel(config, workers=8)
        stack.push_async_callback(model.close)
        tasks = [f"t{number}" for number in range(8)]
        sweep = asyncio.create_task(paper_run(*tasks, model=model, iterations=1, evidence=False))
        victim, port = servers[1], servers[1].port
        await until(lambda: sum(server.counts["replies"] for server in servers) > 40)
        await victim.stop()
        await until(lambda: sum(server.counts["replies"] for server in servers) > 120)
        await victim.start(port)
        results = await sweep
    run = RunStore(tmp_path / "run")
    outcomes = [run.task(task).rollout(f"heat-0/rollout-{n:02d}").outcome() for task in tasks for n in range(4)]
    assert [outcome.exit for outcome in outcomes] == ["submitted"] * 32
    assert {result.status for result in results} == {"unverified"}
    charges = [charge.usage for charge in run.charges()]
    counted = {name: sum(server.counts[name] for server in servers) for name in ("requests", "replies", "repeated")}
    assert (counted["replies"], counted["repeated"]) == (32 * 6, 0)
    assert sum(usage.completion_tokens for usage in charges) == sum(one.counts["completion_tokens"] for one in servers)
    # Requests that were under way to the killed server are in the ledger; whether it read them nobody can tell.
    assert 0 <= sum(usage.calls for usage in charges) - counted["requests"] <= 8
