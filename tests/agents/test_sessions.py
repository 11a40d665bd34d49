"""Session identity: what requests carry, how long an id lives, and its release."""

import asyncio

import pytest

from agents.llm.base import Sampling, Session
from agents.llm.config import ModelConfig
from agents.llm.fake_faults import FaultMix
from agents.llm.session import in_session

USER = [{"role": "user", "content": "hello"}]
ONE = Sampling(seed=1, session=Session(id="s1"))


@pytest.mark.parametrize(
    ("preset", "header", "field"),
    [
        ("header", "x-session-id", None),
        ("vllm-router", "x-session-id", {"session_id": "s1"}),
        ("sglang", "x-smg-routing-key", None),
        ("dynamo", "x-dynamo-session-id", None),
        ("litellm", "x-litellm-session-id", None),
    ],
)
async def test_every_preset_names_the_session_its_own_way(bench, ledger, preset, header, field):
    server = await bench.serve()
    await bench.client(session=preset).complete(USER, ledger=ledger, sampling=ONE)
    assert server.headers[-1][header] == "s1"
    assert server.requests[-1].get("session_params") == field


async def test_none_sends_nothing_and_own_names_are_taken(bench, ledger):
    server = await bench.serve()
    await bench.client(session="none").complete(USER, ledger=ledger, sampling=ONE)
    assert "s1" not in str(server.headers[-1]) + str(server.requests[-1])
    own = {"header": "X-Mine", "field": "metadata.session"}
    await bench.client(session=own).complete(USER, ledger=ledger, sampling=ONE)
    assert server.headers[-1]["x-mine"] == "s1" and server.requests[-1]["metadata"] == {"session": "s1"}


def test_an_unknown_preset_lists_those_that_are_known():
    with pytest.raises(ValueError, match="known: header, vllm-router"):
        ModelConfig(name="m", session="vlm-router")


async def test_an_id_is_kept_over_retries(bench, ledger):
    faults = FaultMix()
    faults.force("server_error", "garbage_json", "rate_limit")
    server = await bench.serve(faults=faults)
    await bench.client().complete(USER, ledger=ledger, sampling=ONE)
    assert [headers["x-session-id"] for headers in server.headers] == ["s1"] * 4


async def test_a_server_that_rejects_the_field_gets_the_header_alone(bench, ledger):
    server = await bench.serve(takes_session_field=False)
    client = bench.client(session="vllm-router")
    for _ in range(2):
        await client.complete(USER, ledger=ledger, sampling=ONE)
    assert ["session_params" in request for request in server.requests] == [True, False, False]
    assert server.headers[-1]["x-session-id"] == "s1"


async def test_requests_that_were_on_their_way_with_the_field_are_sent_again_as_well(bench, ledger):
    await bench.serve(takes_session_field=False, latency_s=0.05)
    client = bench.client(session="vllm-router")
    each = [Sampling(seed=1, session=Session(id=f"s{number}")) for number in range(4)]
    replies = await asyncio.gather(*(client.complete(USER, ledger=ledger, sampling=one) for one in each))
    assert len(replies) == 4


async def test_a_session_is_released_once_by_the_last_who_holds_it(bench, ledger, until):
    server = await bench.serve(finishes_sessions=True)
    client = bench.client(session="vllm-router")
    async with in_session(client, ONE.session), in_session(client, ONE.session):
        await client.complete(USER, ledger=ledger, sampling=ONE)
        assert server.finished_sessions == []
    await until(lambda: server.finished_sessions)
    assert server.finished_sessions == ["s1"]


async def test_a_cancelled_session_is_released_too(bench, ledger, until):
    server = await bench.serve(finishes_sessions=True, latency_s=30)
    client = bench.client(session="vllm-router")

    async def rollout():
        async with in_session(client, ONE.session):
            await client.complete(USER, ledger=ledger, sampling=ONE)

    task = asyncio.create_task(rollout())
    await until(lambda: server.requests)
    task.cancel()
    await until(lambda: server.finished_sessions == ["s1"])


async def test_a_router_without_release_is_asked_once(bench, ledger, until):
    server = await bench.serve()
    client = bench.client(session="vllm-router")
    async with in_session(client, ONE.session):
        await client.complete(USER, ledger=ledger, sampling=ONE)
    await until(lambda: not client.pool._releasing)
    server.options = server.options.model_copy(update={"finishes_sessions": True})
    async with in_session(client, Session(id="s2")):
        pass
    await client.close()
    assert server.finished_sessions == []
