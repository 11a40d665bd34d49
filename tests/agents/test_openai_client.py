"""The OpenAI-compatible client against a real HTTP server: its requests, and how it reads the replies."""

import json

import pytest

from agents.errors import LimitExceeded, ModelConfigError, ModelRefused, ModelUnavailable, ReplyInvalid
from agents.llm import ModelConfig, Prices, open_model
from agents.llm.base import ResponseSchema, Sampling
from agents.llm.fake import bash, calls, text
from agents.llm.fake_wire import error_reply, json_reply
from agents.llm.ledger import Ledger, Limits
from agents.tools import BASH, SUBMIT
from core.errors import UnknownPart

USER = [{"role": "user", "content": "hello"}]
VOTE = ResponseSchema(
    name="vote",
    json_schema={
        "type": "object",
        "properties": {"reason": {"type": "string", "maxLength": 40}, "choice": {"enum": ["K7", "QX"]}},
        "required": ["reason", "choice"],
        "additionalProperties": False,
    },
)
SOUND = '{"reason": "better", "choice": "QX"}'


async def test_tools_are_sent_strict_and_closed(bench, ledger):
    server = await bench.serve()
    reply = await bench.client().complete(USER, ledger=ledger, tools=(BASH, SUBMIT))
    for tool in server.requests[0]["tools"]:
        assert tool["function"]["strict"] is True
        assert tool["function"]["parameters"]["additionalProperties"] is False
    assert reply.first.tool_calls[0].name == "bash"


async def test_sampling_of_the_call_goes_before_that_of_the_model(bench, ledger):
    server = await bench.serve()
    client = bench.client(temperature=0.2, max_tokens=50, extra_body={"top_k": 5})
    await client.complete(USER, ledger=ledger, sampling=Sampling(temperature=0.9, seed=3))
    sent = server.requests[0]
    assert (sent["temperature"], sent["max_tokens"], sent["seed"], sent["top_k"]) == (0.9, 50, 3, 5)


async def test_votes_are_one_request_where_the_server_takes_n(bench, ledger):
    server = await bench.serve()
    reply = await bench.client().complete(USER, ledger=ledger, n=8, response_schema=VOTE)
    assert len(reply.completions) == 8
    assert server.counts["requests"] == ledger.spent.calls == 1


@pytest.mark.parametrize("takes_n", [False, None])
async def test_votes_are_n_requests_with_different_seeds_where_it_does_not(bench, ledger, takes_n):
    server = await bench.serve(takes_n=takes_n)
    client = bench.client()
    for _ in range(2):
        reply = await client.complete(USER, ledger=ledger, n=4, sampling=Sampling(seed=10))
        assert len(reply.completions) == 4
    assert [request.get("n") for request in server.requests].count(4) == 1
    assert sorted(request["seed"] for request in server.requests)[-2:] == [13, 13]
    assert server.counts["requests"] == ledger.spent.calls


@pytest.mark.parametrize("takes_n", [True, False])
async def test_votes_that_were_cut_are_asked_for_again_with_different_seeds(bench, ledger, takes_n):
    def thinking(request):
        if request["max_tokens"] <= 100:
            return [text("hm", finish_reason="length")] * request.get("n", 1)
        return '{"choice": "K7", "reason": "r"}'

    server = await bench.serve(thinking, takes_n=takes_n)
    asked = {"n": 8, "response_schema": VOTE, "sampling": Sampling(seed=5)}
    reply = await bench.client(max_tokens=100).complete(USER, ledger=ledger, **asked)
    assert len(reply.completions) == 8
    assert len({request["seed"] for request in server.requests if request["max_tokens"] > 100}) == 8


async def test_one_usable_choice_of_several_does_not_mean_that_the_server_makes_only_one(bench, ledger, monkeypatch):
    import agents.llm.fake_server as module

    wire = module.completion_body

    def mostly_broken(model, completions, usage):
        body = wire(model, completions, usage)
        for choice in body["choices"][1:]:
            choice["message"] = None
        return body

    await bench.serve()
    client = bench.client()
    with monkeypatch.context() as patch:
        patch.setattr(module, "completion_body", mostly_broken)
        assert len((await client.complete(USER, ledger=ledger, n=3)).completions) == 3
    assert client.quirks.takes_n


async def test_choices_that_were_aborted_are_asked_for_again(bench, ledger, monkeypatch):
    import agents.llm.fake_server as module

    wire = module.completion_body

    def half_aborted(model, completions, usage):
        body = wire(model, completions, usage)
        for choice in body["choices"][2:]:
            choice["finish_reason"] = "abort"
        return body

    monkeypatch.setattr(module, "completion_body", half_aborted)
    await bench.serve(lambda request: "x")
    reply = await bench.client().complete(USER, ledger=ledger, n=4)
    assert [completion.finish_reason for completion in reply.completions] == ["stop"] * 4


async def test_a_server_without_json_schema_gets_it_as_words_once_it_said_so(bench, ledger):
    server = await bench.serve(lambda request: f"Sure!\n```json\n{SOUND}\n```", takes_schema=False)
    client = bench.client()
    for _ in range(2):
        reply = await client.complete(USER, ledger=ledger, response_schema=VOTE)
        assert reply.first.content == SOUND
    assert ["response_format" in request for request in server.requests] == [True, False, False]
    assert '"QX"' in server.requests[1]["messages"][-1]["content"]


async def test_a_reply_that_breaks_its_schema_gets_one_repair_turn(bench, ledger):
    replies = iter(['{"reason": "x", "choice": "Z1"}', SOUND])
    server = await bench.serve(lambda request: next(replies))
    reply = await bench.client().complete(USER, ledger=ledger, response_schema=VOTE)
    assert json.loads(reply.first.content)["choice"] == "QX"
    assert "$.choice must be one of" in server.requests[1]["messages"][-1]["content"]
    assert reply.usage.calls == 2


async def test_a_reply_that_stays_broken_is_invalid(bench, ledger):
    server = await bench.serve(lambda request: "no idea")
    with pytest.raises(ReplyInvalid, match="vote"):
        await bench.client().complete(USER, ledger=ledger, response_schema=VOTE)
    assert server.counts["requests"] == 2


async def test_one_broken_vote_does_not_spoil_the_others(bench, ledger):
    await bench.serve(lambda request: [SOUND, "?", SOUND] if request.get("n") else "still ?")
    reply = await bench.client().complete(USER, ledger=ledger, n=3, response_schema=VOTE)
    assert [completion.content for completion in reply.completions] == [SOUND, "?", SOUND]


async def test_one_refused_vote_is_marked_and_all_refused_are_an_error(bench, ledger):
    refused = text("no", finish_reason="content_filter")
    await bench.serve(lambda request: [text("yes"), refused] if request.get("n") else refused)
    client = bench.client()
    reply = await client.complete(USER, ledger=ledger, n=2)
    assert [completion.finish_reason for completion in reply.completions] == ["stop", "content_filter"]
    with pytest.raises(ModelRefused):
        await client.complete(USER, ledger=ledger)


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
async def test_reasoning_is_kept_under_the_name_the_server_used(bench, ledger, key):
    message = {"role": "assistant", "content": "x", key: "because"}
    await bench.serve(lambda request: text("x").model_copy(update={"message": message}))
    reply = await bench.client().complete(USER, ledger=ledger)
    assert (reply.first.reasoning, reply.first.message[key]) == ("because", "because")
    silent = await bench.client(send_reasoning=False).complete(USER, ledger=ledger)
    assert (silent.first.reasoning, key in silent.first.message) == ("because", False)


async def test_a_call_with_broken_arguments_is_told_and_stays_out_of_the_history(bench, ledger):
    await bench.serve(lambda request: calls(("bash", '{"command": "ls'), ("bash", '{"command": "pwd"}')))
    first = (await bench.client().complete(USER, ledger=ledger, tools=(BASH,))).first
    assert [call.arguments for call in first.tool_calls] == ['{"command": "pwd"}']
    assert len(first.message["tool_calls"]) == 1 and "not valid JSON" in first.problems[0]


async def test_equal_tool_call_ids_are_made_different(bench, ledger):
    twice = bash("a", "b")
    wire = [{**call, "id": "same"} for call in twice.message["tool_calls"]]
    await bench.serve(lambda request: twice.model_copy(update={"message": {**twice.message, "tool_calls": wire}}))
    first = (await bench.client().complete(USER, ledger=ledger, tools=(BASH,))).first
    assert len({call.id for call in first.tool_calls}) == 2
    assert [call["id"] for call in first.message["tool_calls"]] == [call.id for call in first.tool_calls]


async def test_a_lone_surrogate_in_a_reply_cannot_break_the_next_request(bench, ledger):
    await bench.serve(lambda request: "bad \ud800 text")
    client = bench.client()
    first = (await client.complete(USER, ledger=ledger)).first
    await client.complete([*USER, first.message, *USER], ledger=ledger)
    assert first.content == "bad \ufffd text"


async def test_tokens_are_charged_cached_ones_too_and_priced(bench, ledger):
    server = await bench.serve(lambda request: "x" * 400)
    client = bench.client(prices=Prices(prompt=2, cached=1, completion=10).model_dump())
    await client.complete(USER, ledger=ledger)
    await client.complete(USER, ledger=ledger)
    spent = ledger.spent
    assert spent.cached_tokens == server.counts["cached_tokens"] > 0
    fresh = spent.prompt_tokens - spent.cached_tokens
    assert spent.cost_usd * 1e6 == pytest.approx(fresh * 2 + spent.cached_tokens + spent.completion_tokens * 10)


async def test_a_used_up_ledger_stops_the_request_before_it_is_sent(bench):
    server = await bench.serve()
    ledger = Ledger("run", Limits(calls=1))
    client = bench.client()
    await client.complete(USER, ledger=ledger)
    with pytest.raises(LimitExceeded):
        await client.complete(USER, ledger=ledger)
    assert server.counts["requests"] == 1


async def test_a_retry_is_checked_against_the_ledger_as_well(bench):
    server = await bench.serve()
    server.faults.force("garbage_json", "garbage_json", "garbage_json")
    with pytest.raises(LimitExceeded):
        await bench.client().complete(USER, ledger=Ledger("run", Limits(calls=2)))
    assert server.counts["requests"] == 2


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_completion_tokens"),
        ("Extra inputs are not permitted: tools.0.function.strict", "strict"),
        ("extra_forbidden: body.seed", "seed"),
        ("tool_choice 'required' is not supported", "tool_choice"),
    ],
)
async def test_a_rejected_feature_is_left_out_from_then_on(bench, ledger, monkeypatch, said, changed):
    server = await bench.serve()
    answer = server._answer
    monkeypatch.setattr(server, "_answer", lambda r: error_reply(400, said) if len(server.requests) == 1 else answer(r))
    client = bench.client(max_tokens=9)
    await client.complete(USER, ledger=ledger, tools=(BASH,), tool_choice="required", sampling=Sampling(seed=1))
    sent = server.requests[1]
    assert ("max_completion_tokens" in sent) == (changed == "max_completion_tokens")
    assert ("strict" not in sent["tools"][0]["function"]) == (changed == "strict")
    assert ("seed" not in sent) == (changed == "seed")
    assert (sent["tool_choice"] == "auto") == (changed == "tool_choice")


async def test_other_rejections_are_final_and_carry_the_servers_words(bench, ledger, monkeypatch):
    server = await bench.serve()
    said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    monkeypatch.setattr(server, "_answer", lambda request: error_reply(400, said))
    with pytest.raises(ModelConfigError, match="enable-auto-tool-choice"):
        await bench.client().complete(USER, ledger=ledger, tools=(BASH,))
    assert server.counts["requests"] == 1


async def test_a_request_rejected_by_a_model_that_worked_before_concerns_its_rollout_alone(bench, ledger, monkeypatch):
    server = await bench.serve()
    client = bench.client()
    await client.complete(USER, ledger=ledger)
    monkeypatch.setattr(server, "_answer", lambda request: error_reply(400, "cannot parse message 7"))
    with pytest.raises(ModelRefused, match="message 7"):
        await client.complete(USER, ledger=ledger)


async def test_preflight_tells_the_context_length(bench):
    await bench.serve()
    assert await bench.client().preflight() == {"model": "fake-model", "context_length": 4096}


async def test_preflight_lists_what_is_served_when_the_model_is_not(bench):
    await bench.serve()
    with pytest.raises(ModelConfigError, match="does not serve 'other'; it serves fake-model"):
        await bench.client(name="other").preflight()


async def test_preflight_of_a_dead_server_is_one_clear_line(bench):
    server = await bench.serve()
    await server.stop()
    with pytest.raises(ModelUnavailable, match="cannot use the model server at http://127") as caught:
        await bench.client().preflight()
    assert "\n" not in str(caught.value)


async def test_preflight_with_a_wrong_key_names_the_server(bench):
    await bench.serve(api_key="right")
    with pytest.raises(ModelConfigError, match="401"):
        await bench.client().preflight()


def test_a_model_without_a_server_says_what_to_give(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ModelConfigError, match=r"--base-url .* OPENAI_BASE_URL"):
        open_model(ModelConfig(name="Qwen/Qwen3"))


def test_an_unknown_built_in_lists_the_built_ins():
    with pytest.raises(UnknownPart, match="builtin:repair"):
        open_model(ModelConfig(name="builtin:magic"))


async def test_the_key_is_read_by_name_and_sent(bench, ledger, monkeypatch):
    server = await bench.serve(api_key="sk-test")
    monkeypatch.setenv("MY_KEY", "sk-test")
    model = open_model(ModelConfig(name="fake-model", base_url=server.base_url, api_key_env="MY_KEY"))
    await model.complete(USER, ledger=ledger)
    await model.close()
    assert server.counts["replies"] == 1


async def test_a_quota_that_is_used_up_is_not_waited_for(bench, ledger, monkeypatch):
    server = await bench.serve()
    body = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    monkeypatch.setattr(server, "_answer", lambda request: json_reply(429, body))
    with pytest.raises(ModelConfigError, match="quota"):
        await bench.client().complete(USER, ledger=ledger)
