"""Tool calls, as real servers and models write them, are parsed in one place, or rejected with an explanation."""

import json

import pytest

from agents import AgentConfig, BashAgent
from agents.base import Assignment
from agents.llm.calls import MOST_CALLS, Written, read_calls
from agents.llm.fake import bash, calls, submit, text
from agents.terminal.calls import TYPE
from agents.tools import BASH, SUBMIT

TOOLS = (BASH, SUBMIT)
LS = '{"command": "ls"}'


def read(name, arguments, tools=TOOLS):
    made, problems = read_calls([Written(name, arguments, "id")], tools, (), 3)
    return (made[0].name, json.loads(made[0].arguments)) if made else problems[0]


@pytest.mark.parametrize(
    "name",
    [
        *("functions.bash", "bash:0", "functions.bash:0", "default_api.bash", "default_api:bash", "tool/bash"),
        *("mcp__box__bash", "Bash", " BASH\n", "bash()", "'bash'", "bash[1]", "bash_2", "tools::bash"),
        *(
            "bash<|channel|>commentary",
            "bash<|constrain|>json",
            "<|channel|>commentary to=functions.bash",
            "bash<｜x｜>",
        ),
    ],
)
def test_no_namespace_index_or_control_token_hides_the_name_of_a_tool(name):
    assert read(name, LS) == ("bash", {"command": "ls"})


@pytest.mark.parametrize("name", ["python", "submit bash", "please submit", "resubmit", "x" * 10**6, "a__" * 9999, ""])
def test_nothing_but_the_name_of_a_tool_is_taken_for_one(name):
    problem = read(name, "{}")
    assert "tool" in problem and len(problem) < 200


def test_a_call_without_a_name_is_the_one_tool_that_its_arguments_fit_and_never_a_submission():
    assert read(None, LS) == ("bash", {"command": "ls"})
    assert "does not name its tool" in read(None, "{}")


@pytest.mark.parametrize(
    "arguments",
    [
        *(json.dumps(LS), json.dumps(json.dumps(LS)), {"command": "ls"}, [{"command": "ls"}], json.dumps([LS])),
        *(LS + "<|im_end|>", LS + "}", "{}" + LS, LS + "\n```", '{"Command": "ls"}', f'{{"arguments": {LS}}}'),
        *({"command": ["ls"]}, '{"command": ["bash", "-lc", "ls"]}', '{"command": "ls\\n</parameter>\\n</function>"}'),
    ],
)
def test_no_wrapping_hides_the_arguments(arguments):
    assert read("bash", arguments) == ("bash", {"command": "ls"})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (None, "lacks command"),
        ("", "lacks command"),
        ("[]", "one JSON object"),
        ('{"command": "ls', "not valid JSON"),
        ('{"command": {"a": 1}}', "command must be of type string"),
        (LS + '{"command": "pwd"}', "a call for each"),
        ("[" * 200_000, "nested too deeply"),
        ('{"command": ' * 200_000, "nested too deeply"),
        ({"command": "ls", "timeout_s": float("nan")}, "number that JSON has not"),
    ],
)
def test_arguments_that_mean_nothing_certain_are_told_in_a_few_words(arguments, why):
    problem = read("bash", arguments)
    assert why in problem and len(problem) < 300


@pytest.mark.parametrize("arguments", ["{", "[1]", LS])
def test_a_submission_is_checked_like_every_call(arguments):
    assert isinstance(read("submit", arguments), str)


def test_raw_line_breaks_and_numbers_in_quotes_are_read():
    assert read("bash", '{"command": "a\nb", "timeout_s": "30"}')[1] == {"command": "a\nb", "timeout_s": 30}
    assert read("type", '{"text": "", "keys": "Enter", "wait_s": "1.5"}', (TYPE,))[1]["keys"] == ["Enter"]


def test_ids_are_unique_in_the_conversation_and_plain():
    written = [Written("bash", LS, one) for one in ("same", "same", "old", None, 7, "a b", "x" * 99)]
    made, _ = read_calls(written, TOOLS, {"old"}, 12)
    ids = [call.id for call in made]
    assert ids[0] == "same" and len(set(ids)) == len(ids) and "old" not in ids
    assert all(len(one) == 9 and one.isalnum() for one in ids[1:])


def test_a_reply_of_thousands_of_calls_runs_the_first_few_and_says_so():
    made, problems = read_calls([Written("bash", LS)] * 5000, TOOLS, (), 1)
    assert len(made) == MOST_CALLS and "5000 calls" in problems[0]


HERMES = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
QWEN = "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"
TEXTS = [
    HERMES,
    QWEN,
    f"I look.\n{HERMES}",
    f"<think>maybe rm?</think>{QWEN}",
    '[TOOL_CALLS][{"name": "bash", "arguments": {"command": "ls"}}]',
    '[TOOL_CALLS]bash[ARGS]{"command": "ls"}',
    '<|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>{"command": "ls"}<|tool_call_end|>',
    '<｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n{"command": "ls"}\n```<｜tool▁call▁end｜>',
    '<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"command": "ls"}<|call|>',
    '<|python_tag|>{"name": "bash", "parameters": {"command": "ls"}}',
]


class Played:
    """A rollout over a real HTTP server that is as strict about the history as any."""

    def __init__(self, bench, settings, sandbox):
        self.bench, self.settings, self.sandbox = bench, settings, sandbox

    async def play(self, ledger, *replies, **settings):
        self.server = await self.bench.serve(lambda request: replies[min(turns(request), len(replies) - 1)])
        agent = BashAgent(AgentConfig.model_validate({**self.settings, **settings}))
        told = Assignment(rollout_id="heat-0/rollout-00", task_id="t", instruction="Fix.", workdir="/w", seed=7)
        trajectory = await agent.run(told, self.sandbox, self.bench.client(), ledger, lambda saved: None)
        for request in self.server.requests:
            check_history(request)
        return trajectory


def turns(request):
    return sum(message["role"] == "assistant" for message in request["messages"])


def check_history(request):
    names = {tool["function"]["name"] for tool in request.get("tools") or ()}
    waiting, seen = [], set()
    for message in request["messages"]:
        if message["role"] != "tool":
            assert not waiting
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        for call in message.get("tool_calls") or ():
            assert call["function"]["name"] in names and isinstance(json.loads(call["function"]["arguments"]), dict)
            assert call["id"] not in seen
            seen.add(call["id"])
            waiting.append(call["id"])
        assert message.get("tool_calls") or (isinstance(message["content"], str) and message["content"])
    assert not waiting


@pytest.fixture
def played(bench, agent_settings, sandbox_class):
    return Played(bench, agent_settings, sandbox_class())


def raw(message, finish="tool_calls"):
    return text("").model_copy(
        update={"message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    )


@pytest.mark.parametrize("said", TEXTS)
@pytest.mark.parametrize("place", ["content", "reasoning_content"])
async def test_a_call_that_the_servers_parser_left_in_the_text_is_run(played, ledger, said, place):
    trajectory = await played.play(ledger, raw({place: said}, "stop"), submit())
    assert (played.sandbox.commands, trajectory.exit.kind) == (["ls"], "submitted")


@pytest.mark.parametrize(
    "reply",
    [
        raw({"function_call": {"name": "bash", "arguments": LS}}, "function_call"),
        raw({"tool_calls": [{"name": "bash", "arguments": {"command": "ls"}}]}),
        raw({"tool_calls": [{"id": None, "function": {"name": "functions.bash:0", "arguments": json.dumps(LS)}}]}),
        raw({"tool_calls": [{"function": {"name": "bash", "arguments": LS}}]}, "TOOL_CALLS"),
    ],
)
async def test_calls_in_odd_fields_are_run_too(played, ledger, reply):
    trajectory = await played.play(ledger, reply, submit())
    assert (played.sandbox.commands, trajectory.exit.kind) == (["ls"], "submitted")


ODD = [
    calls(("python", {"code": "1"})),
    calls(("bash", '{"command": "ls')),
    calls(("bash<|channel|>x y", "[" * 200_000), ("bash", LS)),
    calls(("x" * 100_000, LS)),
    calls(*[("bash", LS)] * 40),
    raw({"tool_calls": [None, 7, {"function": "bash"}]}),
    raw({"tool_calls": []}),
    raw({}, "stop"),
    text("x" * 500_000),
    text("<|channel|>final<|message|>Done."),
]


@pytest.mark.parametrize("reply", ODD)
async def test_whatever_a_reply_holds_the_history_stays_what_a_strict_server_takes(played, ledger, reply):
    trajectory = await played.play(ledger, reply, submit())
    assert (trajectory.exit.kind, trajectory.agent_steps) == ("submitted", 2)
    told = json.dumps(list(played.server.requests[-1]["messages"]))
    assert "could not be run" in told and len(told) < 40_000


async def test_equal_ids_of_different_turns_do_not_meet_in_one_history(played, ledger):
    trajectory = await played.play(ledger, bash("a"), bash("b"), submit())
    assert trajectory.exit.kind == "submitted"
