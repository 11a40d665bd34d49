"""What the doctor finds out about a server by probing it."""

import json
import time

import pytest

from agents.errors import ModelConfigError, ModelUnavailable
from agents.llm.config import ModelConfig
from agents.llm.fake import bash, calls, text
from agents.llm.probe import probe


def answer(request):
    if request.get("tools"):
        return bash("true")
    return '{"answer": "yes"}' if request.get("response_format") else "OK"


async def findings(bench, responder=answer, **options):
    server = await bench.serve(responder, **options)
    report = await probe(ModelConfig(name="fake-model", base_url=server.base_url))
    return {one.feature: one for one in report.findings}


async def test_what_a_server_takes_is_found_by_asking(bench):
    found = await findings(bench)
    assert found["tools"].works and found["json_schema"].works and found["n"].works
    assert found["context length"].detail == "4096 tokens"


async def test_what_is_missing_names_what_is_used_instead(bench):
    found = await findings(bench, takes_n=None, takes_schema=False)
    assert not found["n"].works and "single requests" in found["n"].instead
    assert not found["json_schema"].works and "states the schema" in found["json_schema"].instead
    assert not found["/metrics"].works and "ledger" in found["/metrics"].instead
    assert not found["/tokenize"].works


async def test_a_call_that_comes_as_text_betrays_the_wrong_tool_parser(bench):
    said = '<tool_call>{"name": "bash", "arguments": {"command": "true"}}</tool_call>'
    found = await findings(bench, lambda request: text(said))
    assert found["tools"].works is None and "came as text" in found["tools"].detail
    assert "parser" in found["tools"].instead


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("functions.bash:0", '{"command": "true"}'), ("bash", json.dumps('{"command": "true"}')), ("bash<|x|>", "{}")],
)
async def test_a_call_that_only_heats_understands_or_nobody_is_not_called_fine(bench, name, arguments):
    found = await findings(bench, lambda request: calls((name, arguments)) if request.get("tools") else answer(request))
    assert not found["tools"].works


async def test_a_template_that_leaves_tools_out_is_noticed(bench):
    found = await findings(bench, lambda request: "I would rather talk.", shows_tools=False)
    assert found["tools"].works is False and "leaves them out" in found["tools"].detail


async def test_a_slow_model_does_not_hold_up_the_doctor(bench):
    server = await bench.serve(lambda request: answer(request), latency_s=0.0)
    original = server._authorize_and_answer

    def slow(headers, request):
        server.options = server.options.model_copy(update={"latency_s": 0 if request["max_tokens"] < 10 else 60})
        return original(headers, request)

    server._authorize_and_answer = slow
    started = time.monotonic()
    report = await probe(ModelConfig(name="fake-model", base_url=server.base_url), limit_s=2)
    found = {one.feature: one for one in report.findings}
    assert time.monotonic() - started < 20
    assert found["tools"].works is None and "too slow" in found["tools"].detail


async def test_the_doctor_asks_for_short_replies(bench):
    server = await bench.serve(answer)
    await probe(ModelConfig(name="fake-model", base_url=server.base_url))
    assert sum(request["max_tokens"] * (request.get("n") or 1) for request in server.requests) < 500


async def test_a_model_that_calls_no_tool_is_doubted(bench):
    found = await findings(bench, lambda request: "I would rather not.")
    assert found["tools"].works is None and "text_protocol" in found["tools"].instead


async def test_ignored_n_is_noticed(bench):
    found = await findings(bench, takes_n=False)
    assert found["n"].works is False and "got 1" in found["n"].detail


async def test_a_server_that_is_not_there_is_an_error():
    with pytest.raises(ModelUnavailable):
        await probe(ModelConfig(name="m", base_url="http://127.0.0.1:9/v1"))


async def test_a_rejected_key_is_an_error(bench):
    server = await bench.serve(answer, api_key="right")
    with pytest.raises(ModelConfigError):
        await probe(ModelConfig(name="fake-model", base_url=server.base_url))
