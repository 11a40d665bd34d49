"""The fake server and its persona: deterministic, countable, and in a separate process."""

import json
import subprocess
import sys
import urllib.request

import pytest

from agents.errors import ModelConfigError
from agents.llm import ModelConfig, open_model
from agents.llm.base import ResponseSchema, Sampling
from agents.llm.fake import FakeExhausted, FakeModel
from agents.llm.fake_faults import MIXED, FaultMix
from agents.llm.fake_persona import Persona, Rule, Script
from agents.llm.structured import violation
from agents.tools import BASH, SUBMIT

USER = [{"role": "user", "content": "Fix the parser"}]
SUMMARY = {
    "type": "object",
    "$defs": {"Fate": {"enum": ["confirmed", "refuted"]}},
    "properties": {
        "problem": {"type": "string", "maxLength": 4},
        "fate": {"$ref": "#/$defs/Fate"},
        "steps": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
    },
    "required": ["problem", "fate"],
    "additionalProperties": False,
}


async def test_the_persona_plays_the_rule_that_matches_then_submits(bench, ledger):
    script = Script(rules=(Rule(when="tokenizer", commands=("a",)), Rule(when="parser", commands=("b", "c"))))
    await bench.serve(Persona(script))
    client, messages, ran = bench.client(), list(USER), []
    while "submit" not in ran:
        first = (await client.complete(messages, ledger=ledger, tools=(BASH, SUBMIT))).first
        call = first.tool_calls[0]
        ran.append(call.name if call.name == "submit" else json.loads(call.arguments)["command"])
        messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "ok"}]
    assert ran == ["b", "c", "submit"]


def test_rollouts_of_a_persona_differ_by_seed():
    persona = Persona(Script(rules=(Rule(variants=(("a",), ("b",))),)))
    commands = [
        persona({"messages": USER, "tools": [1], "seed": seed})[0].tool_calls[0].arguments for seed in (2, 3, 4)
    ]
    assert [json.loads(text)["command"] for text in commands] == ["a", "b", "a"]


async def test_the_persona_fills_any_schema(bench, ledger):
    await bench.serve()
    schema = ResponseSchema(name="summary", json_schema=SUMMARY)
    reply = await bench.client().complete(USER, ledger=ledger, response_schema=schema, n=3)
    for completion in reply.completions:
        assert violation(json.loads(completion.content), SUMMARY) == ""


async def test_repeated_work_is_counted(bench, ledger):
    server = await bench.serve()
    client = bench.client()
    for seed in (1, 2, 1):
        await client.complete(USER, ledger=ledger, sampling=Sampling(seed=seed))
    assert (server.counts["replies"], server.counts["repeated"]) == (3, 1)


def test_faults_are_drawn_by_seed_alone():
    one, two = FaultMix(MIXED, 7), FaultMix(MIXED, 7)
    assert [one.draw() for _ in range(200)] == [two.draw() for _ in range(200)]


def test_misspelt_faults_are_named():
    with pytest.raises(ValueError, match="hangs"):
        FaultMix({"hangs": 1.0})


def test_the_server_runs_as_a_process_with_a_script_and_a_log(tmp_path):
    (tmp_path / "p.json").write_text('{"rules": [{"when": "", "commands": ["pwd"]}]}')
    arguments = ["--script", str(tmp_path / "p.json"), "--log", str(tmp_path / "log"), "--model", "m"]
    command = [sys.executable, "-m", "agents.llm.fake_server", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        root = process.stdout.readline().strip().removesuffix("/v1")

        def ask(path, body=None):
            data = None if body is None else json.dumps(body).encode()
            with urllib.request.urlopen(root + path, data, timeout=10) as response:
                return json.loads(response.read() or b"{}")

        reply = ask("/v1/chat/completions", {"model": "m", "messages": USER, "tools": [1], "seed": 3})
        stats, served = ask("/stats"), ask("/v1/models")["data"][0]["id"]
        ask("/shutdown", {})
        assert process.wait(10) == 0
    assert reply["choices"][0]["finish_reason"] == "tool_calls"
    assert (stats["requests"], stats["replies.agent"], served) == (1, 1, "m")
    assert json.loads((tmp_path / "log").read_text())["seed"] == 3


async def test_a_persona_can_be_a_model_without_any_server(tmp_path, ledger):
    (tmp_path / "p.json").write_text('{"rules": [{"commands": ["pwd"]}]}')
    model = open_model(ModelConfig(name=f"fake:{tmp_path / 'p.json'}"))
    reply = await model.complete(USER, ledger=ledger, tools=(BASH,))
    assert reply.first.tool_calls[0].name == "bash"
    with pytest.raises(ModelConfigError, match="cannot read the persona"):
        open_model(ModelConfig(name="fake:/nowhere.json"))


async def test_an_exhausted_script_says_what_was_asked(ledger):
    model = FakeModel("only one")
    await model.complete(USER, ledger=ledger)
    with pytest.raises(FakeExhausted, match="request 2; its last message: 'Fix the parser'"):
        await model.complete(USER, ledger=ledger)
