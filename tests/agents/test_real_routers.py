"""Real routers in front of two servers: which server a session's requests reach, and that sessions are released."""

import asyncio
import os
import socket
import subprocess
from collections import defaultdict
from contextlib import asynccontextmanager

import httpx
import pytest

from agents.llm.base import History, Sampling, Session
from agents.llm.config import ModelConfig
from agents.llm.fake_server import FakeServer
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from agents.llm.session import in_session, session_id
from heats.serving.replicas import Replica, router_command
from heats.serving.server import Wanted

pytestmark = [pytest.mark.slow, pytest.mark.tool("router")]
CONVERSATIONS, TURNS = 8, 3


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@asynccontextmanager
async def running(command, port, log):
    """A router that answers; its output goes to `log`."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(300):
                assert process.poll() is None, log.read_text()[-2000:]
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


async def converse(model, number):
    """Ask in one session, with a history that grows."""
    history, session = History(), Session(id=session_id("conversation", number))
    async with in_session(model, session):
        for turn in range(TURNS):
            history.append({"role": "user", "content": f"conversation {number}, turn {turn}"})
            sampling = Sampling(seed=number, turn=turn, session=session)
            reply = await model.complete(history, sampling=sampling, ledger=Ledger(str(number)))
            history.append(reply.first.message)


async def servers_of_each(tmp_path, command_for, session):
    """For each conversation, the servers that its requests reached; and the router's log.

    Args:
        tmp_path: directory for the log.
        command_for: the router's command, from the servers' URLs and its own port.
        session: how requests name their session.
    """
    port, log = free_port(), tmp_path / "router.log"
    async with FakeServer() as one, FakeServer() as other:
        command = command_for([server.base_url for server in (one, other)], port)
        async with running(command, port, log):
            config = ModelConfig(name="fake-model", base_url=f"http://127.0.0.1:{port}/v1", session=session)
            model = OpenAIModel(config, workers=CONVERSATIONS)
            await asyncio.gather(*(converse(model, number) for number in range(CONVERSATIONS)))
            await model.close()
        found = defaultdict(list)
        for number, server in enumerate((one, other)):
            for request in server.requests:
                found[request["messages"][0]["content"]].append(number)
    assert {len(servers) for servers in found.values()} == {TURNS} and len(found) == CONVERSATIONS
    return [set(servers) for servers in found.values()], log.read_text()


async def test_vllms_router_as_heats_serve_starts_it_keeps_sessions_together_and_frees_them(tmp_path, tool_env):
    program = str(tool_env("router") / "bin" / "vllm-router")

    def command(urls, port):
        servers = [Replica(Wanted(model="m", port=int(url.split(":")[-1].removesuffix("/v1")))) for url in urls]
        started = router_command(program, Wanted(model="m", port=port), servers)
        assert "sticky_least_loaded" in started
        return [*started, "--prometheus-port", str(free_port())]

    servers, log = await servers_of_each(tmp_path, command, "vllm-router")
    assert all(len(one) == 1 for one in servers)
    assert set.union(*servers) == {0, 1}
    assert all(f"finished session '{session_id('conversation', one)}'" in log for one in range(CONVERSATIONS))


@pytest.mark.parametrize("session", ["vllm-router", "header"])
async def test_vllms_hash_reads_the_header(tmp_path, tool_env, session):
    servers, _ = await servers_of_each(tmp_path, vllm_router(tool_env, "consistent_hash"), session)
    assert all(len(one) == 1 for one in servers)


async def test_sglangs_manual_policy_reads_its_own_header(tmp_path, tool_env):
    servers, _ = await servers_of_each(tmp_path, sglang_router(tool_env, "manual"), "sglang")
    assert all(len(one) == 1 for one in servers)
    assert set.union(*servers) == {0, 1}


async def test_a_router_without_a_session_policy_scatters_them(tmp_path, tool_env):
    servers, _ = await servers_of_each(tmp_path, vllm_router(tool_env, "round_robin"), "vllm-router")
    assert any(len(one) == 2 for one in servers)


def vllm_router(tool_env, policy):
    return router([str(tool_env("router") / "bin" / "vllm-router")], policy)


def sglang_router(tool_env, policy):
    program = [str(tool_env("router") / "bin" / "smg"), "launch", "--assignment-mode", "min_load"]
    return router(program, policy)


def router(program, policy):
    def command(urls, port):
        workers = [url.removesuffix("/v1") for url in urls]
        place = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
        return [*program, "--worker-urls", *workers, "--policy", policy, *place]

    return command
