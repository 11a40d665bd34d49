"""What a real vLLM is asked besides chat, and what happens to abandoned requests."""

import ast
import asyncio
import json
import subprocess
import sys

import pytest

from benchmarks.tiny_vllm import CLOSES, CONTEXT, NAME, TOOL
from heats.serving.families import FAMILIES

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


def registered(room):
    """Names in the table of one of vLLM's registries, read without importing vLLM, which is slow."""
    (path,) = (TOOL / "lib").glob(f"python*/site-packages/vllm/{room}/__init__.py")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id.endswith("_PARSERS_TO_REGISTER"):
            return {key.value for key in node.value.keys}
    raise AssertionError(f"{path} has no such table")


def test_every_parser_of_the_table_is_in_vllms_registries():
    assert {family.tools for family in FAMILIES} - {""} <= registered("tool_parsers")
    assert {family.reasoning for family in FAMILIES} - {""} <= registered("reasoning")


def test_the_doctors_questions_are_answered(tiny):
    heats = [sys.executable, "-c", "from heats.cli import main; main()", "doctor", "--json", "--model", NAME]
    command = [*heats, "--base-url", tiny.base_url, "-c", f"model.extra_body={json.dumps(CLOSES)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert found["context length"]["detail"] == f"{CONTEXT} tokens"
    for feature in ("model", "json_schema", "n", "cached tokens", "logprobs", "/metrics", "/tokenize"):
        assert found[feature]["state"] == "ok", found[feature]
    # Random weights never call a tool unless forced.
    assert found["tools"]["state"] == "warn" and "text_protocol" in found["tools"]["instead"]


async def test_a_chat_template_has_a_digest_that_changes_with_it(model):
    """`lock.json` names another template or tokenizer, which no version number tells."""
    facts = await model.preflight()
    asked = {"model": NAME, "messages": [{"role": "user", "content": "hello"}]}
    shorter, same = [await model.server.template_digest(asked) for _ in range(2)]
    other = await model.server.template_digest({**asked, "chat_template": "{{ messages[0].content }}"})
    assert len(facts["chat_template"]) == 16 and facts["vllm"]
    assert shorter == same and len({facts["chat_template"], shorter, other}) == 3


async def test_a_cancelled_request_stops_at_the_server(tiny, model, ledger):
    long = {"ignore_eos": True, "max_tokens": CONTEXT - 100}
    model.server.config = tiny.config(extra_body=long)
    messages = [{"role": "user", "content": "hello"}]
    many = 8  # takes long enough even where this process gets little of the machine
    task = asyncio.create_task(model.complete(messages, ledger=ledger, n=many))
    await until(lambda: tiny.running() > 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: tiny.running() == 0)
    assert tiny.counted().generation_tokens < many * (CONTEXT - 100)


async def until(true, limit_s=20):
    async with asyncio.timeout(limit_s):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.02)
