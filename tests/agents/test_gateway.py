"""The gateway: four wire formats in front of the rollout's model, and the record that its requests become."""

import asyncio
import json

import pytest

from agents.errors import ContextOverflow, ModelConfigError, ModelUnavailable, ToolsNotTaken
from agents.llm.base import Completion, Sampling
from agents.llm.fake import FakeModel, calls, text
from agents.llm.ledger import Ledger, Limits
from tests.agents.gateway_client import CHAT, GENERATE, MESSAGES, RESPONSES, RUN, STREAM, chat, open_gateway

TOOLS = {
    CHAT: {"tools": [{"type": "function", "function": {"name": "run", "description": "runs", "parameters": RUN}}]},
    MESSAGES: {"tools": [{"name": "run", "description": "runs", "input_schema": RUN}], "max_tokens": 100},
    RESPONSES: {"tools": [{"type": "function", "name": "run", "description": "runs", "parameters": RUN}]},
    GENERATE: {
        "tools": [
            {"googleSearch": {}},
            {"functionDeclarations": [{"name": "run", "description": "runs", "parametersJsonSchema": RUN}]},
        ]
    },
}
CONVERSATION = {
    CHAT: {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
            {"role": "user", "content": "fix it"},
            {
                "role": "assistant",
                "content": "look",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "run", "arguments": '{"cmd": "ls"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
        ]
    },
    MESSAGES: {
        "system": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief", "cache_control": {}}],
        "messages": [
            {"role": "user", "content": "fix it"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": ""},
                    {"type": "text", "text": "look"},
                    {"type": "tool_use", "id": "c1", "name": "run", "input": {"cmd": "ls"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a.py"}]}
                ],
            },
        ],
    },
    RESPONSES: {
        "instructions": "be\nbrief",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "look"}]},
            {"type": "function_call", "call_id": "c1", "name": "run", "arguments": '{"cmd": "ls"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
        ],
    },
    GENERATE: {
        "systemInstruction": {"parts": [{"text": "be"}, {"text": "brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "fix it"}]},
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "look"},
                    {"functionCall": {"id": "c1", "name": "run", "args": {"cmd": "ls"}}, "thoughtSignature": "x"},
                ],
            },
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "c1", "name": "run", "response": {"output": "a.py"}}}],
            },
        ],
    },
}
"""The same conversation in every format."""
FORMATS = pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES, GENERATE])


@FORMATS
async def test_every_format_reaches_the_model_as_the_same_conversation(tmp_path, path):
    model = FakeModel(text("done"))
    async with open_gateway(model, tmp_path / "s") as gateway:
        status, _ = await gateway.post(path, {"model": "any", **CONVERSATION[path], **TOOLS[path]})
    (asked,) = model.requests
    assert status == 200
    assert list(asked.messages) == [
        {"role": "system", "content": "be\nbrief"},
        {"role": "user", "content": "fix it"},
        CONVERSATION[CHAT]["messages"][2],
        {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
    ]
    assert [(tool.name, tool.parameters, tool.foreign) for tool in asked.tools] == [("run", RUN, True)]


@FORMATS
@pytest.mark.parametrize("stream", [False, True])
async def test_every_format_brings_back_text_and_calls_whole_and_as_a_stream(tmp_path, path, stream):
    model = FakeModel(calls(("run", {"cmd": "ls"}), content="look"))
    async with open_gateway(model, tmp_path / "s") as gateway:
        body = {"model": "any", **CONVERSATION[path], **TOOLS[path], "stream": stream}
        _, reply = await gateway.post(STREAM if path == GENERATE and stream else path, body)
    assert said(path, reply, stream) == ("look", "run", '{"cmd": "ls"}')


def said(path, reply, stream):
    """Text, tool and arguments of a reply, put together as a client does."""
    if path == CHAT and stream:
        deltas = [one["choices"][0]["delta"] for one in reply]
        call = next(one["tool_calls"][0]["function"] for one in deltas if "tool_calls" in one)
        return "".join(one.get("content") or "" for one in deltas), call["name"], call["arguments"]
    if path == CHAT:
        message = reply["choices"][0]["message"]
        call = message["tool_calls"][0]["function"]
        return message["content"], call["name"], call["arguments"]
    if path == MESSAGES and stream:
        text_delta, json_delta = (one["delta"] for one in reply if one["type"] == "content_block_delta")
        starts = [one["content_block"] for one in reply if one["type"] == "content_block_start"]
        return text_delta["text"], starts[1]["name"], json_delta["partial_json"]
    if path == MESSAGES:
        assert reply["stop_reason"] == "tool_use"
        one, call = reply["content"]
        return one["text"], call["name"], '{"cmd": "ls"}' if call["input"] == {"cmd": "ls"} else ""
    if path == GENERATE:
        one, call = (reply[-1] if stream else reply)["candidates"][0]["content"]["parts"]
        return one["text"], call["functionCall"]["name"], json.dumps(call["functionCall"]["args"])
    if stream:
        reply = reply[-1]["response"]
    message, call = reply["output"]
    return message["content"][0]["text"], call["name"], call["arguments"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (CHAT, [{"type": "image_url", "image_url": {"url": "data:,"}}]),
        (MESSAGES, [{"type": "image", "source": {}}]),
        (MESSAGES, [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "image", "source": {}}]}]),
        (RESPONSES, [{"type": "input_image", "image_url": "data:,"}]),
        (GENERATE, [{"inlineData": {"mimeType": "image/png", "data": ""}}]),
        (GENERATE, [{"functionResponse": {"name": "run", "response": {}, "parts": [{"inlineData": {}}]}}]),
    ],
)
async def test_images_are_refused_in_words_before_the_model_is_asked(tmp_path, path, content):
    model = FakeModel()
    key = {RESPONSES: "input", GENERATE: "contents"}.get(path, "messages")
    said = {"role": "user", "parts" if path == GENERATE else "content": content}
    async with open_gateway(model, tmp_path / "s") as gateway:
        status, reply = await gateway.post(path, {"model": "m", key: [said]})
    assert (status, model.requests) == (400, [])
    assert "images and files are not supported" in reply["error"]["message"]


async def test_a_reply_without_a_usable_call_is_asked_for_again(tmp_path):
    """An agent takes a reply without calls for the end of the work."""
    broken = Completion(message={"role": "assistant", "content": "hm"}, content="hm", problems=("not valid JSON",))
    model = FakeModel(broken, calls(("run", {"cmd": "ls"})))
    async with open_gateway(model, tmp_path / "s") as gateway:
        _, reply = await gateway.post(CHAT, chat("fix it"))
    assert reply["choices"][0]["finish_reason"] == "tool_calls"
    seeds = [asked.sampling.request_seed() for asked in model.requests]
    assert len(set(seeds)) == 2


@pytest.mark.parametrize(
    ("error", "status", "exit_kind"),
    [
        (ContextOverflow("too long"), 400, None),
        (ModelUnavailable("gone"), 503, "model_error"),
        (ModelConfigError("no such model"), 403, None),
    ],
)
async def test_errors_of_the_model_reach_the_agent_and_the_rollout(tmp_path, error, status, exit_kind):
    async with open_gateway(FakeModel(error), tmp_path / "s") as gateway:
        answered, _ = await gateway.post(CHAT, chat("fix it"))
        asking = gateway.asking
    assert answered == status
    assert (asking.exit.kind if asking.exit else None) == exit_kind
    assert asking.over.is_set() == (not isinstance(error, ContextOverflow))
    assert asking.problem is None or asking.problem.kind == "context_overflow"


@pytest.mark.parametrize(
    ("limits", "step_limit", "kind"), [(Limits(tokens=1), 9, "token_limit"), (Limits(), 1, "step_limit")]
)
async def test_a_limit_ends_the_rollout_at_the_next_request(tmp_path, limits, step_limit, kind):
    ledger = Ledger("rollout", limits)
    async with open_gateway(FakeModel("one", "two"), tmp_path / "s", ledger=ledger, step_limit=step_limit) as gateway:
        assert (await gateway.post(CHAT, chat("a")))[0] == 200
        assert (await gateway.post(CHAT, chat("b")))[0] == 403
        assert gateway.asking.exit.kind == kind
        assert gateway.asking.replies == 1


async def test_requests_without_a_reply_are_no_steps_but_do_not_go_on_for_ever(tmp_path):
    model = FakeModel(*[ContextOverflow("too long") for _ in range(6)])
    async with open_gateway(model, tmp_path / "s", step_limit=2) as gateway:
        statuses = [(await gateway.post(CHAT, chat("a")))[0] for _ in range(7)]
    assert statuses == [400] * 6 + [403]
    assert (gateway.asking.exit.kind, gateway.asking.replies) == ("context_overflow", 0)
    model = FakeModel(ContextOverflow("too long"), ContextOverflow("too long"), "one", "two")
    async with open_gateway(model, tmp_path / "t", step_limit=2) as gateway:
        statuses = [(await gateway.post(CHAT, chat("a")))[0] for _ in range(5)]
    assert statuses == [400, 400, 200, 200, 403]
    assert gateway.asking.exit.kind == "step_limit"


async def test_what_the_run_configures_goes_before_what_the_agent_asks_for(tmp_path):
    model = FakeModel("a")
    given = Sampling(temperature=0.8, max_tokens=50)
    async with open_gateway(model, tmp_path / "s", sampling=given) as gateway:
        await gateway.post(CHAT, chat("fix it", temperature=0, top_p=0.5, max_tokens=5000))
    sampling = model.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (0.8, 0.5, 50, 7)


async def test_a_model_without_tools_is_asked_in_text(tmp_path):
    block = '<tool_call>\n{"name": "run", "arguments": {"cmd": "ls"}}\n</tool_call>'
    model = FakeModel(ToolsNotTaken("no tools"), f"look\n{block}", "done")

    def takes_no_tools(messages):
        model.text_protocol = True
        raise ToolsNotTaken("no tools")

    model = FakeModel(takes_no_tools, f"look\n{block}", "done")
    async with open_gateway(model, tmp_path / "s") as gateway:
        _, reply = await gateway.post(CHAT, chat("fix it"))
        call = reply["choices"][0]["message"]
        shown = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "a.py"}
        await gateway.post(CHAT, chat("fix it", call, shown))
    last = model.requests[-1]
    assert call["tool_calls"][0]["function"] == {"name": "run", "arguments": '{"cmd": "ls"}'}
    assert (last.tools, last.messages[0]["role"]) == ((), "system")
    assert [one["content"] for one in last.messages[2:]] == [
        f"look\n{block}",
        "<tool_response>\na.py\n</tool_response>",
    ]


async def test_a_slow_model_keeps_a_stream_alive_and_its_failure_arrives_in_the_stream(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.gateway.door._PATIENCE_S", 0.02)

    class Slow(FakeModel):
        async def complete(self, *args, **options):
            await asyncio.sleep(0.1)
            raise ModelUnavailable("gone")

    async with open_gateway(Slow(), tmp_path / "s") as gateway:
        status, events = await gateway.post(MESSAGES, {"messages": [{"role": "user", "content": "hi"}], "stream": True})
    assert status == 200
    assert events[0] == {"type": "ping"}
    assert events[-1]["error"]["message"] == "gone"


async def test_while_a_response_is_awaited_events_come_since_codex_gives_up_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.gateway.door._PATIENCE_S", 0.02)

    class Slow(FakeModel):
        async def complete(self, *args, **options):
            await asyncio.sleep(0.1)
            return await super().complete(*args, **options)

    async with open_gateway(Slow("done"), tmp_path / "s") as gateway:
        _, events = await gateway.post(RESPONSES, {"input": "hi", "stream": True})
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.in_progress" and kinds[-1] == "response.completed"


async def test_a_system_message_in_the_middle_becomes_the_users(tmp_path):
    """Claude Code sends one after the first message; chat templates refuse it anywhere but at the beginning."""
    model = FakeModel("ok")
    said = [{"role": "user", "content": "fix it"}, {"role": "system", "content": "today is Monday"}]
    async with open_gateway(model, tmp_path / "s") as gateway:
        await gateway.post(MESSAGES, {"system": "rules", "messages": said})
    assert [one["role"] for one in model.requests[0].messages] == ["system", "user", "user"]


async def test_googles_calls_and_results_without_ids_belong_together(tmp_path):
    """Ids are optional in Google's format; names and order say which result is whose."""
    model = FakeModel("done")
    made = [{"functionCall": {"name": "run", "args": {"cmd": one}}} for one in ("a", "b")]
    shown = [{"function_response": {"name": "run", "response": {"error": one}}} for one in ("no a", "no b")]
    contents = [{"parts": [{"text": "fix it"}]}, {"role": "model", "parts": made}, {"role": "function", "parts": shown}]
    async with open_gateway(model, tmp_path / "s") as gateway:
        assert (await gateway.post(GENERATE, {"contents": contents}))[0] == 200
    _, asked, *told = model.requests[0].messages
    assert [one["tool_call_id"] for one in told] == [call["id"] for call in asked["tool_calls"]]
    assert [one["content"] for one in told] == ['{"error": "no a"}', '{"error": "no b"}']


@pytest.mark.parametrize("stream", [False, True])
async def test_usable_calls_of_a_reply_that_was_cut_complete_a_response(tmp_path, stream):
    model = FakeModel(calls(("run", {"cmd": "ls"})).model_copy(update={"finish_reason": "length"}))
    body = {**CONVERSATION[RESPONSES], **TOOLS[RESPONSES], "stream": stream}
    async with open_gateway(model, tmp_path / "s") as gateway:
        _, answer = await gateway.post(RESPONSES, body)
    response = answer[-1]["response"] if stream else answer
    assert (response["status"], response["incomplete_details"]) == ("completed", None)
    assert not stream or answer[-1]["type"] == "response.completed"


@pytest.mark.parametrize(("path", "nested"), [(CHAT, True), (RESPONSES, False)])
async def test_only_tools_that_are_allowed_are_offered(tmp_path, path, nested):
    model = FakeModel("done")
    named = {"type": "function", "function": {"name": "run"}} if nested else {"type": "function", "name": "run"}
    allowed = {"mode": "auto", "tools": [named]}
    choice = {"type": "allowed_tools", **({"allowed_tools": allowed} if nested else allowed)}
    other = json.loads(json.dumps(TOOLS[path]["tools"][0]).replace('"run"', '"other"'))
    body = {**CONVERSATION[path], "tools": [*TOOLS[path]["tools"], other], "tool_choice": choice}
    async with open_gateway(model, tmp_path / "s") as gateway:
        assert (await gateway.post(path, body))[0] == 200
    assert [tool.name for tool in model.requests[0].tools] == ["run"]


async def test_a_request_that_the_server_rejects_is_no_fault_of_the_configuration(tmp_path):
    """The first request of a run may be the one that is wrong."""
    model = FakeModel(ModelConfigError("the model server answered 400: no messages"), "hello", "fine")
    async with open_gateway(model, tmp_path / "s") as gateway:
        assert (await gateway.post(CHAT, chat()))[0] == 400
        assert (gateway.asking.error, gateway.asking.over.is_set()) == (None, False)
        assert (await gateway.post(CHAT, chat("fix it")))[0] == 200


async def test_a_reply_is_no_longer_than_the_agent_says_and_its_usage_is_its_own(tmp_path, bench):
    server = await bench.serve(lambda request: text("hm", finish_reason="length"))
    ledger = Ledger("rollout")
    async with open_gateway(bench.client(max_tokens=5000), tmp_path / "s", ledger=ledger) as gateway:
        _, reply = await gateway.post(CHAT, chat("fix it", max_tokens=100))
        assert [request["max_tokens"] for request in server.requests] == [100]
        await gateway.post(CHAT, chat("fix it"))
        assert max(request["max_tokens"] for request in server.requests) > 5000
    assert reply["choices"][0]["finish_reason"] == "length"


async def test_googles_own_form_of_schemas_and_settings_reaches_the_model(tmp_path):
    model = FakeModel("done")
    cmd = {"type": "STRING", "nullable": True, "maxLength": "9"}
    schema = {"type": "OBJECT", "properties": {"cmd": cmd, "all": {"type": "ARRAY", "items": {"type": "INTEGER"}}}}
    body = {
        "contents": [{"parts": [{"text": "hi"}]}],
        "tools": [{"function_declarations": [{"name": "run", "parameters": schema}, {"name": "other"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["run"]}},
        "generation_config": {"temperature": 0.5, "topP": 0.9, "max_output_tokens": 7},
    }
    async with open_gateway(model, tmp_path / "s") as gateway:
        assert (await gateway.post(GENERATE, body))[0] == 200
    (asked,) = model.requests
    (tool,) = asked.tools
    assert tool.parameters["properties"] == {
        "cmd": {"type": ["string", "null"], "maxLength": 9},
        "all": {"type": "array", "items": {"type": "integer"}},
    }
    assert (asked.tool_choice, asked.sampling.temperature, asked.sampling.top_p) == ("required", 0.5, 0.9)
    assert asked.sampling.max_tokens == 7


async def test_googles_clients_can_send_the_key_and_learn_what_was_wrong(tmp_path):
    async with open_gateway(FakeModel(ContextOverflow("too long")), tmp_path / "s") as gateway:
        body = {"contents": [{"parts": [{"text": "hi"}]}]}
        key = {"Authorization": "", "x-goog-api-key": gateway.door.token}
        status, reply = await gateway.post(GENERATE, body, headers=key)
        wrong = await gateway.post(STREAM, body, headers={"x-goog-api-key": "wrong"})
    assert (status, reply["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert reply["error"]["message"].startswith("The input token count exceeds the maximum number of tokens")
    assert (wrong[0], wrong[1]["error"]["status"]) == (401, "UNAUTHENTICATED")
