"""Trajectories that exceed the summarizer's context are split into parts whose counted size fits."""

import pytest

from agents.errors import ContextOverflow
from agents.llm.config import ModelConfig
from agents.llm.fake import FakeModel
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.openai_client import OpenAIModel


def long(kit, steps=40):
    return kit.trajectory(*(kit.ran(i, f"command-{i}; " + "y" * 600) for i in range(1, steps + 1)))


@pytest.mark.parametrize("tokenizes", [True, False])
async def test_one_rejected_request_tells_the_size_of_the_parts(write, kit, tokenizes) -> None:
    options = ServerOptions(context=6000, tokenizes=tokenizes)
    async with FakeServer(lambda request: kit.draft(), options) as server:
        model = OpenAIModel(ModelConfig(name="fake-model", base_url=server.base_url))
        summary = await write(model, long(kit), max_tokens=1000)
        await model.close()
    assert summary.source == "model" and server.counts["overflows"] == 1
    parts = [one for one in server.requests if "It is part" in one["messages"][1]["content"]]
    shown = "".join(one["messages"][1]["content"] for one in parts)
    assert len(parts) == 2 and all(shown.count(f"command-{i};") == 1 for i in range(1, 41))


async def test_a_long_statement_and_a_long_patch_make_room_too(write, kit) -> None:
    options = ServerOptions(context=5000)
    async with FakeServer(lambda request: kit.draft(), options) as server:
        model = OpenAIModel(ModelConfig(name="fake-model", base_url=server.base_url))
        summary = await write(model, long(kit, 12), patch=b"+line\n" * 5000, max_tokens=1000)
        await model.close()
    assert summary.source == "model" and server.counts["overflows"] == 1


async def test_a_merge_that_does_not_fit_leaves_the_parts_as_they_are(write, kit) -> None:
    told = ContextOverflow("long", prompt=2000, limit=1800, reply=500)

    def reply(messages):
        merging = "consecutive parts" in messages[1]["content"]
        return told if merging and len(messages[1]["content"]) > 6500 else kit.draft(decisions=["d" * 400] * 8)

    model = FakeModel(responder=reply)
    assert (await write(model, long(kit), window_chars=13_000)).source == "model"
    merges = ["consecutive parts" in one.messages[1]["content"] for one in model.requests]
    assert merges == [False, False, True, True]
