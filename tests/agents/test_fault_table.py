"""Every way a model server has been seen to fail, and what the client makes of it."""

import time

import pytest

from agents.errors import ContextOverflow, ModelConfigError, ModelError, ModelRefused, ModelUnavailable, ReplyInvalid
from agents.llm.fake import text
from agents.llm.fake_faults import FaultMix
from agents.llm.fake_wire import error_reply
from agents.llm.ledger import Ledger

USER = [{"role": "user", "content": "hello"}]
RETRIED = [
    "rate_limit",
    "server_error",
    "reset",
    "hang",
    "garbage_json",
    "html",
    "truncated_body",
    "event_stream",
    "empty_choices",
    "null_choices",
    "in_band_error",
    "abort",
    "null_finish",
    "slow_drip",
]
PERMANENT = {
    "refusal": ModelRefused,
    "overflow_vllm": ContextOverflow,
    "overflow_openai": ContextOverflow,
    "unauthorized": ModelConfigError,
    "not_found": ModelConfigError,
}


@pytest.mark.parametrize("fault", RETRIED)
async def test_a_passing_fault_costs_one_more_request_and_is_not_seen(bench, ledger, fault):
    server = await bench.serve(lambda request: "fine")
    server.faults.force(fault)
    patience = 1 if fault in ("hang", "slow_drip") else 10
    reply = await bench.client(request_timeout_s=patience).complete(USER, ledger=ledger)
    assert reply.first.content == "fine"
    assert server.counts["requests"] == ledger.spent.calls == 2


@pytest.mark.parametrize(("fault", "error"), PERMANENT.items())
async def test_a_permanent_fault_costs_exactly_one_request(bench, ledger, fault, error):
    server = await bench.serve(lambda request: "fine")
    server.faults.force(fault)
    with pytest.raises(error):
        await bench.client().complete(USER, ledger=ledger)
    assert server.counts["requests"] == ledger.spent.calls == 1


async def test_null_content_is_a_typed_empty_answer(bench, ledger):
    server = await bench.serve(lambda request: "fine")
    server.faults.force("null_content")
    reply = await bench.client().complete(USER, ledger=ledger)
    assert reply.first.content == ""
    assert reply.first.message == {"role": "assistant", "content": ""}


async def test_a_reply_cut_at_the_token_limit_says_so(bench, ledger):
    server = await bench.serve(lambda request: "half of")
    server.faults.force("length")
    reply = await bench.client().complete(USER, ledger=ledger)
    assert (reply.first.finish_reason, reply.first.content) == ("length", "half of")


@pytest.mark.parametrize("fault", ["empty_choices", "null_choices", "abort", "null_finish"])
async def test_replies_that_turn_out_unusable_are_billed(bench, ledger, fault):
    server = await bench.serve(lambda request: "fine")
    server.faults.force(fault)
    reply = await bench.client().complete(USER, ledger=ledger)
    assert ledger.spent.completion_tokens == server.counts["completion_tokens"] > 0
    assert reply.usage == ledger.spent


async def test_useless_replies_end_after_the_allowed_attempts(bench, ledger):
    server = await bench.serve(lambda request: "x", FaultMix({"garbage_json": 1.0}))
    with pytest.raises(ReplyInvalid, match="not JSON"):
        await bench.client(max_attempts=3).complete(USER, ledger=ledger)
    assert server.counts["requests"] == 3


@pytest.mark.parametrize("fault", ["slow_drip", "hang"])
async def test_a_server_that_never_finishes_meets_the_total_deadline(bench, ledger, fault):
    await bench.serve(lambda request: "x", FaultMix({fault: 1.0}), drip_s=0.05)
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"within 0\.5 s"):
        await bench.client(request_timeout_s=60, call_deadline_s=0.5).complete(USER, ledger=ledger)
    assert time.monotonic() - started < 30  # a busy machine may take its time


async def test_a_server_that_stays_busy_is_waited_for_until_the_deadline(bench, ledger):
    server = await bench.serve(lambda request: "x", FaultMix({"rate_limit": 1.0}), retry_after_s=0.01)
    with pytest.raises(ModelUnavailable, match="429"):
        await bench.client(call_deadline_s=3, max_attempts=1).complete(USER, ledger=ledger)
    assert server.counts["requests"] > 2


async def test_the_servers_account_of_an_overflow_reaches_the_user(bench, ledger):
    server = await bench.serve()
    server.faults.force("overflow_vllm")
    with pytest.raises(ContextOverflow, match="maximum context length is 4096"):
        await bench.client().complete(USER, ledger=ledger)


async def test_an_in_band_overflow_is_permanent_too(bench, ledger, monkeypatch):
    import agents.llm.fake_wire as wire

    said = {"error": {"message": "This model's maximum context length is 10 tokens", "code": 400}}
    monkeypatch.setattr(wire, "_PLAIN", {**wire._PLAIN, "in_band_error": wire.json_reply(200, said)})
    server = await bench.serve()
    server.faults.force("in_band_error")
    with pytest.raises(ContextOverflow):
        await bench.client().complete(USER, ledger=ledger)


async def test_a_key_that_the_server_echoes_is_not_repeated(bench, monkeypatch, caplog):
    import agents.llm.fake_wire as wire
    from agents.llm.openai_client import OpenAIModel

    echo = wire.error_reply(401, "Incorrect API key provided: sk-canary-123")
    monkeypatch.setattr(wire, "_PLAIN", {**wire._PLAIN, "unauthorized": echo})
    server = await bench.serve(lambda request: text("x"))
    server.faults.force("unauthorized")
    config = bench.client().config
    model = OpenAIModel(config, api_key="sk-canary-123")
    with pytest.raises(ModelConfigError) as caught, caplog.at_level("DEBUG"):
        await model.complete(USER, ledger=Ledger("t"))
    await model.close()
    assert "sk-canary" not in str(caught.value) + caplog.text + repr(config)


async def test_a_context_that_the_request_speaks_of_is_not_the_servers(bench, ledger):
    """A server that quotes its input let one sandbox set the context length of all rollouts."""
    said = "maximum context length is 300 tokens, 100 in the messages"

    def rejecting(request):
        return error_reply(400, f"Input should be a valid string, input: {request['messages'][-1]['content']!r}")

    await bench.serve(rejecting)
    client = bench.client()
    with pytest.raises(ModelError):
        await client.complete([{"role": "user", "content": f"look: {said}."}], ledger=ledger)
    assert client.quirks.context is None
