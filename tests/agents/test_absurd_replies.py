"""Replies of absurd size, depth or usage end a single rollout, with a typed exit."""

import asyncio
import json

import pytest

from agents import AgentConfig, BashAgent
from agents.base import Assignment
from agents.llm.fake import bash, submit, text
from agents.llm.fake_wire import HttpReply
from agents.llm.ledger import Ledger
from agents.llm.replies import UnusableReply, decode, usage_of

DEEP = "[" * 200_000


def body(message, **more):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 0}}
    return json.dumps({"choices": [choice], "usage": usage, **more}).encode()


ABSURD = {
    "30 MB of text": body({"content": "x" * 30_000_000}),
    "30 MB of thinking": body({"content": "", "reasoning": "x " * 15_000_000}),
    "3 MB of text": body({"content": "x" * 3_000_000}),
    "nested body": b'{"choices": ' + DEEP.encode(),
    "nested arguments": body({"content": None, "tool_calls": [{"function": {"name": "bash", "arguments": DEEP}}]}),
    "nested object": body({"content": None}).replace(
        b'"content": null', b'"tool_calls": ' + b'[{"a": ' * 900 + b"1" + b"}]" * 900
    ),
    "huge name": body({"content": None, "tool_calls": [{"function": {"name": "bash" * 10**6, "arguments": "{}"}}]}),
    "not a number": body({"content": "hi"}).replace(b"10", b"1" + b"0" * 5000),
}


@pytest.mark.parametrize("kind", ABSURD)
async def test_an_absurd_reply_ends_one_rollout_typed_and_never_the_run(
    bench, agent_settings, sandbox_class, kind, monkeypatch
):
    """Another rollout, served by the same client at the same time, is not affected."""
    server = await bench.serve(lambda request: bash("ls") if len(request["messages"]) < 3 else submit())
    honest = server._answer

    def answer(request):
        broken = "ABSURD" in json.dumps(request["messages"])
        return HttpReply(200, ABSURD[kind]) if broken else honest(request)

    monkeypatch.setattr(server, "_answer", answer)
    agent, run, client = (
        BashAgent(AgentConfig.model_validate(agent_settings)),
        Ledger("run"),
        bench.client(max_attempts=2),
    )

    async def rollout(task):
        told = Assignment(rollout_id="r", task_id="t", instruction=task, workdir="/w", seed=1)
        return await agent.run(told, sandbox_class(), client, run.child(task), lambda trajectory: None)

    odd, sound = await asyncio.gather(rollout("ABSURD"), rollout("Fix it."))
    assert odd.exit.kind in ("model_error", "format_errors")
    assert len(odd.exit.detail) <= 500 and len(odd.model_dump_json()) < 200_000
    assert sound.exit.kind == "submitted"


@pytest.mark.parametrize("count", [10**9, 10**18, -5, 1e308, float("nan"), "many", True, None, [1], {"n": 1}])
def test_absurd_usage_is_not_believed(count):
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": {"cached_tokens": count}}
    assert usage_of({"usage": usage, "choices": [{}]}).tokens == 0


def test_a_long_but_possible_count_is_believed():
    found = usage_of({"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 200_000}, "choices": [{}] * 8})
    assert (found.prompt_tokens, found.completion_tokens) == (1_000_000, 200_000)


@pytest.mark.parametrize("reply", [DEEP, '{"a": ' * 5000, '{"choices": "\\ud800", "x": ' + "[" * 990 + "]" * 990 + "}"])
def test_a_body_of_any_depth_is_refused_or_read_and_breaks_nothing(reply):
    try:
        decode(reply)
    except UnusableReply as error:
        assert len(str(error)) < 200


async def test_a_rollout_whose_replies_repeat_themselves_keeps_none_of_them_whole(bench, agent_settings, sandbox_class):
    server = await bench.serve(lambda request: text("I have to look at the file. " * 2000, "length"))
    agent = BashAgent(AgentConfig.model_validate(agent_settings))
    told = Assignment(rollout_id="r", task_id="t", instruction="Fix.", workdir="/w", seed=1)
    trajectory = await agent.run(told, sandbox_class(), bench.client(), Ledger("r"), lambda saved: None)
    assert trajectory.exit.kind == "format_errors" and "repeated itself" in trajectory.exit.detail
    assert max(len(json.dumps(request["messages"])) for request in server.requests) < 12_000
    assert len({request["seed"] for request in server.requests}) == server.counts["requests"] == 3
