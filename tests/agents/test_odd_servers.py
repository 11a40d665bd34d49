"""Servers and chat templates with restrictions: what they refuse is replaced, and reported once."""

import asyncio
import json
import re
from itertools import pairwise

import pytest

from agents import AgentConfig, BashAgent
from agents.base import Assignment
from agents.errors import ContextOverflow, ModelConfigError, ModelError
from agents.llm.base import Sampling
from agents.llm.fake import bash, submit, text
from agents.llm.fake_wire import error_reply
from agents.llm.quirks import Quirks
from agents.tools import BASH, SUBMIT

TALK = [
    {"role": "system", "content": "You are."},
    {"role": "user", "content": "Fix it."},
    {"role": "assistant", "content": "ok"},
    {"role": "user", "content": "one"},
    {"role": "user", "content": "two"},
]
VOTE = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}, "required": ["a"]}


async def refusing(bench, monkeypatch, refusal, responder=lambda request: "fine", **options):
    """A server that refuses a request if `refusal` returns a message; a leading number is the status."""
    server = await bench.serve(responder, **options)
    honest = server._answer

    def answer(request):
        words = refusal(request)
        status, said = re.match(r"(?:(\d{3}) )?(.*)", words or "").groups()
        return error_reply(int(status or 400), said) if words else honest(request)

    monkeypatch.setattr(server, "_answer", answer)
    return server


def roles(request):
    return [message["role"] for message in request["messages"]]


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "500 Jinja Exception: System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    ],
)
async def test_a_template_without_a_system_role_gets_its_text_in_the_first_user_message(
    bench, ledger, monkeypatch, words
):
    server = await refusing(bench, monkeypatch, lambda request: words if "system" in roles(request) else "")
    client = bench.client()
    for _ in range(2):
        await client.complete(TALK[:2], ledger=ledger)
    assert [roles(request) for request in server.requests] == [["system", "user"], ["user"], ["user"]]
    assert server.requests[-1]["messages"][0]["content"] == "You are.\n\nFix it."


async def test_requests_that_were_on_their_way_when_something_was_learned_are_not_lost(bench, ledger, monkeypatch):
    """The second of two rollouts was refused for what the first had just learned, and the run ended."""
    words = "System role not supported"
    await refusing(bench, monkeypatch, lambda request: words if "system" in roles(request) else "", latency_s=0.05)
    client = bench.client()
    replies = await asyncio.gather(*(client.complete(TALK[:2], ledger=ledger) for _ in range(8)))
    assert [reply.first.content for reply in replies] == ["fine"] * 8


async def test_roles_that_must_alternate_do(bench, ledger, monkeypatch):
    words = "After the optional system message, conversation roles must alternate user/assistant"

    def refusal(request):
        plain = [role for role in roles(request) if role != "system"]
        return words if any(a == b for a, b in pairwise(plain)) else ""

    server = await refusing(bench, monkeypatch, refusal)
    await bench.client().complete(TALK, ledger=ledger)
    assert server.requests[-1]["messages"][-1]["content"] == "one\n\ntwo"


async def test_ids_of_calls_are_made_short_where_a_template_wants_it(bench, ledger, monkeypatch):
    def refusal(request):
        ids = [call["id"] for message in request["messages"] for call in message.get("tool_calls") or ()]
        if all(re.fullmatch(r"[a-zA-Z0-9]{9}", one) for one in ids):
            return ""
        return f"Tool call id was {ids[0]} but must be a-z, A-Z, 0-9, with a length of 9."

    server = await refusing(bench, monkeypatch, refusal)
    answer = {"role": "tool", "tool_call_id": "call_0", "content": "a.py"}
    await bench.client().complete([*TALK[:2], bash("ls").message, answer], ledger=ledger, tools=(BASH,))
    call, result = server.requests[-1]["messages"][2:]
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]


async def test_a_server_that_takes_no_bounds_still_gets_the_schema(bench, ledger, monkeypatch):
    from agents.llm.base import ResponseSchema

    def refusal(request):
        return (
            "Invalid schema for response_format 'x': 'maxLength' is not permitted."
            if "maxLength" in str(request)
            else ""
        )

    server = await refusing(bench, monkeypatch, refusal, lambda request: '{"a": "b"}')
    schema = ResponseSchema(name="x", json_schema=VOTE)
    await bench.client().complete(TALK[:2], ledger=ledger, response_schema=schema)
    assert server.requests[-1]["response_format"]["json_schema"]["schema"]["properties"] == {"a": {"type": "string"}}


async def test_an_optional_argument_costs_strictness_and_not_the_run(bench, ledger, monkeypatch):
    def refusal(request):
        strict = any(tool["function"].get("strict") for tool in request["tools"])
        return "Invalid schema for function 'bash': 'required' is required to be supplied" if strict else ""

    server = await refusing(bench, monkeypatch, refusal, lambda request: bash("ls"))
    await bench.client().complete(TALK[:2], ledger=ledger, tools=(BASH, SUBMIT))
    assert server.counts["requests"] == 2


async def test_an_overflow_in_words_that_nobody_reads_is_tried_with_a_shorter_reply(bench, ledger, monkeypatch):
    def refusal(request):
        return "413 payload is over the budget" if request["max_tokens"] > 3000 else ""

    server = await refusing(bench, monkeypatch, refusal)
    await bench.client().complete(TALK[:2], ledger=ledger)
    assert [request["max_tokens"] for request in server.requests] == [16384, 2048]
    with pytest.raises(ContextOverflow):
        await bench.client(max_tokens=10**6).complete(TALK[:2], ledger=ledger)


# A list of models is only a hint.


@pytest.mark.parametrize("listed", ["*", "openai/*", "fake-model:latest"])
async def test_a_model_that_the_list_does_not_name_is_asked_and_not_refused(bench, monkeypatch, listed):
    import agents.llm.fake_server as module

    server = await bench.serve(lambda request: "OK")
    honest = module.json_reply
    models = {"object": "list", "data": [{"id": listed, "object": "model"}]}
    monkeypatch.setattr(
        module, "json_reply", lambda status, value, **more: honest(status, models if "data" in value else value, **more)
    )
    assert (await bench.client().preflight())["model"] == "fake-model"
    assert [request["max_tokens"] for request in server.requests] == [16]


async def test_a_model_that_is_not_served_is_still_refused_before_the_run(bench):
    await bench.serve()
    with pytest.raises(ModelConfigError, match="does not serve 'other'; it serves fake-model"):
        await bench.client(name="other").preflight()


# Templates that drop tools.


class Talker:
    """A model that never sees tools: it talks, and follows instructions if JSON is requested."""

    def __init__(self):
        self.turns = 0

    def __call__(self, request):
        if not request.get("response_format"):
            return text(f"Let me think about it, {len(request['messages'])}.")
        self.turns += 1
        done = "false" if self.turns % 2 else "true"
        return text(f'{{"thought": "", "command": "ls {self.turns}", "submit": {done}}}')


@pytest.fixture
def played(bench, agent_settings, sandbox_class, ledger):
    async def play(client, **settings):
        agent = BashAgent(AgentConfig.model_validate({**agent_settings, **settings}))
        told = Assignment(rollout_id="r", task_id="t", instruction="Fix.", workdir="/w", seed=7)
        sandbox = sandbox_class()
        trajectory = await agent.run(told, sandbox, client, ledger, lambda saved: None)
        return trajectory, sandbox.commands

    return play


async def test_a_template_that_leaves_tools_out_is_known_before_the_run_where_the_server_counts(bench, played):
    server = await bench.serve(Talker(), shows_tools=False, tokenizes=True)
    client = bench.client()
    facts = await client.preflight()
    trajectory, commands = await played(client)
    assert facts["tools"] == "left out" and len(client.notes) == 1
    assert (trajectory.exit.kind, commands) == ("submitted", ["ls 1"])
    assert not any("tools" in request for request in server.requests)


async def test_a_template_that_leaves_tools_out_is_noticed_at_the_second_silent_turn(bench, played):
    server = await bench.serve(Talker(), shows_tools=False)
    client = bench.client()
    trajectory, commands = await played(client)
    assert (trajectory.exit.kind, commands) == ("submitted", ["ls 1"])
    assert "JSON object" in trajectory.steps[0].content and len(client.notes) == 1
    again, _ = await played(client)
    assert again.agent_steps == 2 and server.counts["requests"] == 2 + 2 + 2 + 2


async def test_a_model_that_talks_first_and_calls_later_is_left_alone(bench, played, ledger):
    replies = iter([text("Let me see."), bash("ls"), submit()])
    await bench.serve(lambda request: next(replies), shows_tools=False)
    client = bench.client()
    trajectory, commands = await played(client)
    assert (trajectory.exit.kind, commands, client.notes) == ("submitted", ["ls"], [])


async def test_a_server_that_takes_no_tools_for_a_model_is_asked_in_text(bench, played, monkeypatch):
    def refusal(request):
        return "registry.example/gemma:2b does not support tools" if request.get("tools") else ""

    await refusing(bench, monkeypatch, refusal, Talker())
    client = bench.client()
    trajectory, commands = await played(client)
    assert (trajectory.exit.kind, commands) == ("submitted", ["ls 1"]) and "does not accept tools" in client.notes[0]


# The tries differ.


async def test_a_third_try_is_one_in_which_the_server_allows_nothing_but_calls(bench, played):
    def weak(request):
        return bash("ls") if request.get("tool_choice") == "required" else text("Hm.")

    server = await bench.serve(lambda request: submit() if len(request["messages"]) > 7 else weak(request))
    trajectory, commands = await played(bench.client())
    choices = [request["tool_choice"] for request in server.requests if request["max_tokens"] > 1]
    assert choices == ["auto", "auto", "required", "required"]
    assert (trajectory.exit.kind, commands) == ("submitted", ["ls"])


async def test_calls_can_be_forced_from_the_first_turn_on_for_the_agent_alone(bench, played, ledger):
    server = await bench.serve(lambda request: submit())
    client = bench.client()
    await played(client, force_calls=True)
    await client.complete(TALK[:2], ledger=ledger, sampling=Sampling())
    assert [request.get("tool_choice") for request in server.requests] == ["required", None]


async def test_text_is_guided_json_where_calls_are_forced_and_fences_are_read_all_the_same(bench, played):
    replies = iter(['{"thought": "t", "command": "ls", "submit": false}', "```bash\npwd\n```", "```bash\npwd\n```"])
    server = await bench.serve(lambda request: next(replies, '{"thought": "", "command": "", "submit": true}'))
    trajectory, commands = await played(bench.client(), force_calls=True, text_protocol=True)
    assert (trajectory.exit.kind, commands) == ("submitted", ["ls", "pwd"])
    assert server.requests[0]["response_format"]["json_schema"]["name"] == "bash_turn"


async def test_a_guided_turn_that_breaks_its_form_is_a_format_error_and_no_failure_of_the_server(bench, played):
    await bench.serve(lambda request: "no idea")
    trajectory, _ = await played(bench.client(), force_calls=True, text_protocol=True)
    assert trajectory.exit.kind == "format_errors"


def test_a_reply_that_repeats_itself_is_ended_by_servers_that_can():
    quirks = Quirks()
    assert quirks.detection == {}
    quirks.detects_loops = True
    sent = {"messages": [], **quirks.detection}
    assert quirks.detection["repetition_detection"]["min_count"] >= 64
    assert quirks.learn("Unrecognized request argument supplied: repetition_detection", sent) and not quirks.detection


LIES = [
    "does not support tools",
    "System role not supported",
    "roles must alternate",
    "seed is not a valid field; response_format, tool_choice, logprobs and strict neither",
]


@pytest.mark.parametrize("quoted", [repr, lambda request: json.dumps(request["messages"][-1])])
@pytest.mark.parametrize("lie", LIES)
async def test_what_an_error_repeats_of_the_request_is_not_the_servers_word(bench, ledger, monkeypatch, lie, quoted):
    def validation(request):
        return f"[{{'type': 'string_type', 'loc': ('body', 'user'), 'msg': 'no', 'input': {quoted(request)}}}]"

    await refusing(bench, monkeypatch, validation)
    client = bench.client()
    talk = [*TALK[:3], {"role": "user", "content": f"The command printed:\n{lie}\n"}]
    with pytest.raises(ModelError):
        await client.complete(talk, tools=[BASH, SUBMIT], sampling=Sampling(seed=1), ledger=ledger)
    assert vars(client.quirks) == vars(Quirks()) and not client.text_protocol
