"""What a rollout's record holds of the requests that its agent makes."""

from agents.gateway.record import Record
from agents.llm.fake import FakeModel, calls, text
from agents.llm.ledger import Usage
from tests.agents.gateway_client import CHAT, GENERATE, chat, open_gateway


async def test_requests_become_a_trajectory_in_which_nothing_is_told_twice(tmp_path):
    model = FakeModel(calls(("run", {"cmd": "ls"})), text("shop title"), text("done"))
    async with open_gateway(model, tmp_path / "s") as gateway:
        _, first = await gateway.post(CHAT, chat({"role": "system", "content": "rules"}, "fix it"))
        await gateway.post(CHAT, chat("make a title"))
        call = first["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": "call_0", "content": "a.py"}
        await gateway.post(CHAT, chat({"role": "system", "content": "rules"}, "fix it", call, result))
        steps = gateway.asking.record.steps
    assert [(one.source, one.content) for one in steps] == [
        ("system", "rules"),
        ("user", "fix it"),
        ("agent", ""),
        ("user", "make a title"),
        ("agent", "shop title"),
        ("agent", "done"),
    ]
    assert [one.content for one in steps[2].observations] == ["a.py"]
    assert [one.id for one in steps] == [1, 2, 3, 4, 5, 6]


async def test_the_model_sees_its_own_message_again_with_its_reasoning(tmp_path):
    own = calls(("run", {"cmd": "ls"}))
    own = own.model_copy(
        update={"message": {**own.message, "reasoning": "I look first."}, "reasoning": "I look first."}
    )
    model = FakeModel(own, text("done"))
    async with open_gateway(model, tmp_path / "s") as gateway:
        _, first = await gateway.post(CHAT, chat("fix it"))
        sent_back = {**first["choices"][0]["message"], "content": None}
        sent_back.pop("reasoning_content")
        sent_back["tool_calls"][0]["function"]["arguments"] = '{"cmd":"ls"}'  # written anew
        await gateway.post(CHAT, chat("fix it", sent_back, {"role": "tool", "tool_call_id": "call_0", "content": ""}))
    assert model.requests[1].messages[1] == own.message


async def test_calls_with_the_same_id_are_told_apart(tmp_path):
    model = FakeModel(calls(("run", {"cmd": "a"})), calls(("run", {"cmd": "b"})), "done")
    async with open_gateway(model, tmp_path / "s") as gateway:
        said = ["fix it"]
        for shown in ("one", "two"):
            _, reply = await gateway.post(CHAT, chat(*said))
            call = reply["choices"][0]["message"]
            said += [call, {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": shown}]
        await gateway.post(CHAT, chat(*said))
        steps = [step for step in gateway.asking.record.steps if step.tool_calls]
    assert [step.observations[0].content for step in steps] == ["one", "two"]


async def test_calls_that_come_back_without_their_ids_are_still_the_models(tmp_path):
    asked = calls(("run", {"cmd": "ls"})).model_copy(update={"reasoning": "hm"})
    asked = asked.model_copy(update={"message": {**asked.message, "reasoning": "hm"}})
    model = FakeModel(asked, asked, "done")
    call = {"functionCall": {"name": "run", "args": {"cmd": "ls"}}}
    contents = [{"parts": [{"text": "fix it"}]}]
    async with open_gateway(model, tmp_path / "s") as gateway:
        for shown in ("one", "two"):
            await gateway.post(GENERATE, {"contents": contents})
            told = {"functionResponse": {"name": "run", "response": {"output": shown}}}
            contents += [{"role": "model", "parts": [call]}, {"role": "user", "parts": [told]}]
        await gateway.post(GENERATE, {"contents": contents})
        steps = [step for step in gateway.asking.record.steps if step.tool_calls]
    assert [step.observations[0].content for step in steps] == ["one", "two"]
    sent = [one for one in model.requests[-1].messages if one["role"] == "assistant"]
    assert [one["reasoning"] for one in sent] == ["hm", "hm"]


async def test_the_same_turn_said_again_is_recorded_again(tmp_path):
    """An agent of text blocks that runs in circles: judges and summaries have to see each turn."""
    model = FakeModel(*["```ls```"] * 3, "done", "done")
    said = ["fix it"]
    async with open_gateway(model, tmp_path / "s") as gateway:
        for _ in range(3):
            _, reply = await gateway.post(CHAT, chat(*said))
            said += [reply["choices"][0]["message"], "a.py"]
        for _ in range(2):
            await gateway.post(CHAT, chat(*said))
        told = [step.content for step in gateway.asking.record.steps if step.source == "user"]
    assert told == ["fix it", "a.py", "a.py", "a.py"]


async def test_the_usage_that_an_agent_sees_is_that_of_one_request(tmp_path):
    broken = text("").model_copy(update={"problems": ("no such tool",), "finish_reason": "tool_calls"})
    model = FakeModel(broken, broken, broken)
    async with open_gateway(model, tmp_path / "s") as gateway:
        _, reply = await gateway.post(CHAT, chat("fix it"))
        spent = gateway.asking.record.steps[-1].usage
    assert (spent.calls, reply["usage"]["prompt_tokens"] * 3) == (3, spent.prompt_tokens)
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_a_new_id_of_a_call_is_one_that_no_call_has():
    record = Record()
    for name in ("a", "c00001000", "c00002000", "c00003000"):
        record.replied(_called(name), Usage())
    for _ in range(3):
        again = record.distinct(_called("a"))
        assert again.tool_calls[0].id not in ("a", "c00001000", "c00002000", "c00003000")
        assert len({step.tool_calls[0].id for step in record.steps} | {again.tool_calls[0].id}) == len(record.steps) + 1
        record.replied(again, Usage())


def _called(name):
    made = calls(("run", {"cmd": "ls"}))
    call = made.tool_calls[0].model_copy(update={"id": name})
    message = {**made.message, "tool_calls": [{**made.message["tool_calls"][0], "id": name}]}
    return made.model_copy(update={"tool_calls": (call,), "message": message})
