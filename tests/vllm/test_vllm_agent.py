"""Agent, summarizer and judge against a real vLLM: constrained decoding gives valid output despite random weights."""

import json

import pytest

from agents import Assignment, BashAgent
from agents.llm.base import Sampling
from agents.llm.openai_client import OpenAIModel
from benchmarks.tiny_vllm import CONTEXT
from heats.config import load_config
from summarizer import summarize
from tournament.base import Candidate, Case
from tournament.journal import MemoryJournal
from tournament.judge import ModelJudge
from tournament.match_votes import MatchVotes
from tournament.prompt_judge import request_seed
from tournament.tally import weighed

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

TASK = Assignment(rollout_id="heat-0/rollout-00", task_id="t", instruction="Fix it.", workdir="/testbed", seed=7)
CONFIG = load_config(())


async def rollout(client, sandbox, ledger, **settings):
    agent = BashAgent(CONFIG.agent.model_copy(update=settings))
    return await agent.run(TASK, sandbox, client, ledger, lambda trajectory: None)


@pytest.fixture
async def trajectory(tiny, sandbox_class, ledger):
    """A rollout in which the server forces every turn to call a tool."""
    client = OpenAIModel(tiny.config(extra_body=tiny.never_submits(), max_tokens=512))
    done = await rollout(client, sandbox_class(), ledger, step_limit=6)
    await client.close()
    return done


async def test_forced_tool_calls_are_valid_every_time(trajectory):
    calls = [call for step in trajectory.steps for call in step.tool_calls]
    assert trajectory.exit.kind == "step_limit" and trajectory.agent_steps == 6 <= len(calls)
    for call in calls:
        assert call.name == "bash" and {"command"} <= json.loads(call.arguments).keys() <= {"command", "timeout_s"}


async def test_the_ledger_of_a_rollout_is_the_servers_own_count(tiny, trajectory, ledger):
    counted = tiny.counted()
    assert ledger.spent.calls == counted.requests == tiny.chats("2xx")
    assert ledger.spent.prompt_tokens == counted.prompt_tokens
    assert ledger.spent.completion_tokens == counted.generation_tokens
    assert ledger.spent.cached_tokens == counted.prefix_hits
    assert trajectory.usage == ledger.spent


async def test_a_summary_by_schema_is_the_models_own(model, trajectory, ledger):
    summary = await summarize(
        trajectory, statement="Fix it.", patch=b"", model=model, ledger=ledger, config=CONFIG.summarizer, seed=1
    )
    assert summary.source == "model"
    assert summary.facts.steps == trajectory.agent_steps


def candidates(count, words=200):
    names = [chr(ord("a") + index) for index in range(count)]
    return [Candidate(id=name, summary=f"attempt {name}: " + f"{name}{name} changed " * words) for name in names]


async def test_eight_votes_of_one_order_are_one_request_and_one_prefill(tiny, model, ledger):
    judge = ModelJudge(CONFIG.tournament, model)
    votes = await judge.vote("Fix it.", candidates(2), count=16, first=0, seed=1, ledger=ledger)
    counted = tiny.counted()
    assert len(votes) == 16 and all(vote.choice in ("a", "b") for vote in votes)
    assert ledger.spent.calls == counted.requests == tiny.chats("2xx") == 2
    assert ledger.spent.completion_tokens == counted.generation_tokens
    assert counted.prompt_tokens == 8 * ledger.spent.prompt_tokens
    # What each of the 16 computes itself is the rest of its last block of 32 tokens.
    assert counted.prefix_queries - counted.prefix_hits <= ledger.spent.prompt_tokens + 16 * 32


async def test_probabilities_of_the_labels_arrive_and_decide_a_match_by_one_request_an_order(tiny, model, ledger):
    """Labels consist of several tokens here, single bytes, and the grammar allows nothing else in their place."""
    judge = ModelJudge(CONFIG.tournament, model)
    assert await judge.weighs(ledger)
    before, field = ledger.spent.calls, candidates(3)
    case = Case("Fix it.", 1, ledger, MemoryJournal())
    match = await MatchVotes(CONFIG.tournament, judge, case).decide("r0-m0", tuple(field))
    assert ledger.spent.calls - before == len(match.votes) == 3
    assert {vote.order[0] for vote in match.votes} == {"a", "b", "c"}
    for vote in match.votes:
        assert sum(vote.shares) == pytest.approx(1) and min(vote.shares) > 0
    shares = weighed(match.votes, 3)
    assert (match.winner, match.decided_by) == (max(shares, key=shares.__getitem__), "votes")


async def test_samples_agree_with_the_probabilities_that_the_server_gives(tiny, model, ledger):
    """The share of 64 sampled labels equals the label's probability at temperature 1, without a preceding reason."""
    config = CONFIG.tournament.judge.model_copy(update={"temperature": 1.0, "max_tokens": 64})
    judge, pair = ModelJudge(CONFIG.tournament.model_copy(update={"judge": config}), model), candidates(2)
    (vote, _) = await judge.weigh("Fix it.", pair, seed=1, ledger=ledger)
    asked = await judge.asker.ask(
        judge.direct, "Fix it.", pair, n=64, seed=2, ledger=ledger, label_seed=request_seed(1, 0)
    )
    first = sum(f'"{asked.labels[0]}"' in text.split(",")[0] for text in asked.texts) / 64
    assert asked.labels == vote.labels and abs(first - vote.shares[0]) < 0.2


async def test_what_does_not_fit_ends_the_rollout_after_one_rejected_request(tiny, sandbox_class, ledger):
    client = OpenAIModel(tiny.config(extra_body=tiny.never_submits(), max_tokens=512))
    done = await rollout(
        client, sandbox_class("line of output\n" * 4000), ledger, step_limit=9, observation_head=60_000
    )
    await client.close()
    assert done.exit.kind == "context_overflow"
    assert "the model's context 8192" in done.exit.detail
    assert tiny.chats("4xx") == 1 and ledger.spent.calls == tiny.chats("2xx") + 1
    assert done.agent_steps == tiny.chats("2xx") > 0


def numbers(count):
    """Text without repetitions, at two or three characters per token."""
    return " ".join(str(index * 7919 % 100_003) for index in range(count))


async def test_candidates_that_do_not_fit_are_shown_cut_by_one_further_request(tiny, model, ledger):
    long = [Candidate(id=name, summary=f"attempt {name}: {numbers(3000)}") for name in "ab"]
    votes = await ModelJudge(CONFIG.tournament, model).vote("Fix it.", long, count=1, first=0, seed=1, ledger=ledger)
    assert votes[0].choice in ("a", "b")
    assert (tiny.chats("4xx"), tiny.chats("2xx")) == (1, 1)
    room = CONTEXT // 2  # the other half is for the reply
    assert 0.6 * room < ledger.spent.prompt_tokens <= room


def again(step, turn):
    """The step as part of a later turn, with new outputs: one that was shown before is not shown again."""
    seen = [one.model_copy(update={"content": f"{turn}.{step.id}: {one.content}"}) for one in step.observations]
    return step.model_copy(update={"id": step.id + 9 * turn, "observations": tuple(seen)})


async def test_a_trajectory_that_does_not_fit_is_summarised_in_parts_that_do(tiny, model, sandbox_class, ledger):
    client = OpenAIModel(tiny.config(extra_body=tiny.never_submits(), max_tokens=512))
    done = await rollout(client, sandbox_class(numbers(200)), ledger, step_limit=5)
    await client.close()
    steps = [again(step, turn) for turn in range(4) for step in done.steps]
    before, refused, spent = tiny.chats("2xx"), tiny.chats("4xx"), ledger.child("summary")
    summary = await summarize(
        done.model_copy(update={"steps": tuple(steps)}),
        statement="Fix it.",
        patch=b"",
        model=model,
        ledger=spent,
        config=CONFIG.summarizer.model_copy(update={"least_chars": 100_000}),  # as much as a window holds
        seed=1,
    )
    assert summary.source == "model"
    refused = tiny.chats("4xx") - refused
    assert 1 <= refused <= 2 and tiny.chats("2xx") - before == spent.spent.calls - refused >= 3


async def test_a_reply_longer_than_the_context_is_asked_for_shorter(tiny, ledger):
    client = OpenAIModel(tiny.config())  # it has not queried the context length
    reply = await client.complete(
        [{"role": "user", "content": "hello"}], ledger=ledger, sampling=Sampling(max_tokens=20_000, seed=1)
    )
    await client.close()
    assert reply.first.finish_reason in ("stop", "length")
    assert (tiny.chats("4xx"), tiny.chats("2xx")) == (1, 1)
