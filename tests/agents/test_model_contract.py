"""What holds for every chat model, whatever its implementation."""

import json

import pytest

from agents.errors import LimitExceeded
from agents.llm.base import ResponseSchema
from agents.llm.fake import FakeModel, bash
from agents.llm.fake_persona import PersonaModel
from agents.llm.ledger import Ledger, Limits
from agents.tools import BASH, SUBMIT

USER = [{"role": "system", "content": "You are."}, {"role": "user", "content": "Fix it."}]
SCHEMA = ResponseSchema(
    name="vote",
    json_schema={
        "type": "object",
        "properties": {"choice": {"enum": ["K7", "QX"]}},
        "required": ["choice"],
        "additionalProperties": False,
    },
)


def answer(messages):
    return '{"choice": "K7"}' if "vote" in messages[-1]["content"] else bash("ls")


@pytest.fixture(params=["fake", "persona", "server"])
async def model(request, bench):
    if request.param == "fake":
        return FakeModel(responder=answer)
    if request.param == "persona":
        return PersonaModel("fake:persona")
    await bench.serve()
    return bench.client()


async def test_an_agent_call_gives_a_message_that_can_be_appended_and_calls_that_it_holds(model, ledger):
    first = (await model.complete(USER, ledger=ledger, tools=(BASH, SUBMIT))).first
    assert first.message["role"] == "assistant"
    assert [call["id"] for call in first.message["tool_calls"]] == [call.id for call in first.tool_calls]


async def test_n_completions_of_a_schema_are_json_of_it(model, ledger):
    asked = [*USER, {"role": "user", "content": "vote"}]
    reply = await model.complete(asked, ledger=ledger, n=3, response_schema=SCHEMA)
    assert len(reply.completions) == 3
    assert {json.loads(one.content)["choice"] for one in reply.completions} <= {"K7", "QX"}


async def test_what_a_reply_cost_is_what_the_ledger_was_charged(model, ledger):
    reply = await model.complete(USER, ledger=ledger, tools=(BASH,))
    assert reply.usage == ledger.spent
    assert reply.usage.calls == 1


async def test_a_used_up_ledger_is_respected(model):
    ledger = Ledger("run", Limits(calls=1))
    await model.complete(USER, ledger=ledger, tools=(BASH,))
    with pytest.raises(LimitExceeded, match="calls limit of run"):
        await model.complete(USER, ledger=ledger.child("rollout"), tools=(BASH,))
    assert ledger.spent.calls == 1


async def test_the_messages_are_left_as_they_were(model, ledger):
    before = json.dumps(USER)
    await model.complete(USER, ledger=ledger, response_schema=None, tools=(BASH,))
    assert json.dumps(USER) == before


async def test_preflight_and_close_work(model):
    assert (await model.preflight())["model"] == model.name
    await model.close()
