"""Rollouts over an unreliable server: one request in three fails, in all kinds of ways."""

import asyncio
import time

import pytest

from agents import AgentConfig, BashAgent
from agents.base import Assignment
from agents.llm.fake_faults import MIXED, PERMANENT, FaultMix
from agents.llm.fake_persona import Persona, Rule, Script
from agents.llm.ledger import Ledger

CALLS, AT_ONCE, TIMEOUT_S = 10, 32, 2


class Stalls:
    """Counts how often this process stalled so long that time-outs expired although replies were sound.

    A request that timed out before the server read it is a call for the ledger but not for the server; a reply that was
    sent too late has tokens that only the server knows. Neither can be avoided, and both require a stalled machine.
    """

    def __init__(self):
        self.count = 0

    async def watch(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.02)
            self.count += time.monotonic() - before > TIMEOUT_S / 2


async def rollouts_on_a_bad_day(bench, settings, sandbox_class, count, seed):
    persona = Persona(Script(rules=(Rule(commands=("true",) * (CALLS - 1)),)))
    server = await bench.serve(persona, FaultMix(MIXED, seed), retry_after_s=0.02)
    client = bench.client(request_timeout_s=TIMEOUT_S, call_deadline_s=120, backoff_cap_s=0.05, max_concurrency=AT_ONCE)
    agent, run = BashAgent(AgentConfig.model_validate(settings)), Ledger("run")

    async def rollout(index):
        told = Assignment(rollout_id=f"heat-0/{index}", task_id="t", instruction="Fix.", workdir="/w", seed=index)
        ledger = run.child(f"rollout {index}")
        return await agent.run(told, sandbox_class(), client, ledger, lambda trajectory: None)

    stalls = Stalls()
    watching = asyncio.create_task(stalls.watch())
    trajectories = await asyncio.gather(*(rollout(index) for index in range(count)))
    watching.cancel()
    return server, run, trajectories, stalls.count


def check(server, run, trajectories, stalls):
    ends = [trajectory.exit.kind for trajectory in trajectories]
    hit = sum(server.counts[f"faults.{fault}"] for fault in PERMANENT)
    ideal = sum(t.agent_steps + (t.exit.kind != "submitted") for t in trajectories)
    assert set(ends) <= {"submitted", "context_overflow", "model_error"}
    assert ends.count("submitted") >= 0.99 * (len(ends) - hit)
    assert server.counts["requests"] <= 1.5 * ideal + stalls * AT_ONCE
    assert abs(run.spent.calls - server.counts["requests"]) <= stalls * AT_ONCE
    for kind in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        ours, theirs = getattr(run.spent, kind), server.counts[kind]
        assert ours == theirs or (stalls and ours < theirs)
    assert run.spent == sum((t.usage for t in trajectories[1:]), trajectories[0].usage)


async def test_every_rollout_ends_typed_and_the_ledger_is_the_servers(bench, agent_settings, sandbox_class):
    check(*await rollouts_on_a_bad_day(bench, agent_settings, sandbox_class, 20, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
async def test_two_hundred_rollouts_on_a_bad_day(bench, agent_settings, sandbox_class, seed):
    check(*await rollouts_on_a_bad_day(bench, agent_settings, sandbox_class, 200, seed=seed))
