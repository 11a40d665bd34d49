"""A small real model behind a real vLLM: output that repeats, rambles and breaks format; a template without tools."""

import json
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from agents import Assignment, BashAgent
from agents.llm.base import Sampling
from agents.llm.config import ModelConfig
from agents.llm.openai_client import OpenAIModel
from benchmarks.tiny_vllm import CONTEXT, smol_server
from heats.config import load_config
from tournament.base import Candidate
from tournament.judge import ModelJudge

pytestmark = [pytest.mark.vllm, pytest.mark.tool("smol"), pytest.mark.timeout(900)]

CONFIG = load_config(())
TASK = Assignment(
    rollout_id="heat-0/rollout-00", task_id="t", instruction="Fix add() in calc.py.", workdir="/testbed", seed=7
)


@pytest.fixture(scope="module")
def url():
    with smol_server() as base_url:
        yield base_url


@pytest.fixture
async def smol(url):
    settings = {"name": "smol", "base_url": url, "request_timeout_s": 200, "call_deadline_s": 400, "max_tokens": 256}
    client = OpenAIModel(ModelConfig.model_validate({**settings, "temperature": 0.8}))
    await client.preflight()
    yield client
    await client.close()


async def rollout(client, sandbox, ledger, **settings):
    agent = BashAgent(CONFIG.agent.model_copy(update=settings))
    return await agent.run(TASK, sandbox, client, ledger, lambda trajectory: None)


async def test_a_template_without_tools_is_known_at_once_and_every_turn_is_a_call_all_the_same(
    smol, sandbox_class, ledger
):
    """0 of 40 rollouts of this model made a single call while it was offered tools that it never saw."""
    assert smol.text_protocol and "leaves tools out" in smol.notes[0]
    done = await rollout(smol, sandbox_class(), ledger, step_limit=6)
    turns = [step for step in done.steps if step.source == "agent"]
    assert done.exit.kind in ("step_limit", "submitted")
    assert turns and all(len(step.tool_calls) == 1 for step in turns)


async def test_turns_and_tries_do_not_repeat_each_other_word_for_word(smol, sandbox_class, ledger):
    """With one seed per rollout, 30 of 32 turns equalled the one before; max_format_errors of 3 amounted to one try."""
    smol.text_protocol = smol.drops_tools = False
    done = await rollout(smol, sandbox_class(), ledger, max_format_errors=6, text_protocol=True, step_limit=6)
    said = [step.content for step in done.steps if step.source == "agent"]
    assert len(said) >= 2
    assert sum(one == two for one, two in pairwise(said)) <= len(said) // 2


async def test_votes_of_a_model_that_rambles_are_read(smol, ledger):
    names = [Candidate(id=name, summary=f"attempt {name} changed line {at}") for at, name in enumerate("ab")]
    votes = await ModelJudge(CONFIG.tournament, smol).vote("Fix it.", names, count=8, first=0, seed=1, ledger=ledger)
    assert sum(vote.choice is not None for vote in votes) >= 7


async def test_a_reply_that_goes_in_circles_is_ended_by_the_server(smol, ledger):
    smol.server.config = smol.config.model_copy(update={"extra_body": {"ignore_eos": True, "temperature": 0.0}})
    asked = [{"role": "user", "content": "Say the word yes again and again: yes yes yes yes yes yes yes yes yes yes"}]
    reply = await smol.complete(asked, ledger=ledger, sampling=Sampling(max_tokens=CONTEXT // 2))
    assert ledger.spent.completion_tokens < CONTEXT // 2
    assert any("repeated itself" in problem for problem in reply.first.problems) and len(reply.first.content) < 4000


def test_the_doctor_sees_that_tools_are_left_out_and_ends_soon(url):
    heats = [sys.executable, "-c", "from heats.cli import main; main()", "doctor", "--json", "--model", "smol"]
    started = time.monotonic()
    done = subprocess.run([*heats, "--base-url", url], capture_output=True, text=True, timeout=300)
    found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert found["tools"]["state"] == "missing" and "leaves them out" in found["tools"]["detail"]
    print("doctor", round(time.monotonic() - started, 1), "s")
