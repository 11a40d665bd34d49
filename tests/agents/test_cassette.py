"""Cassettes replay what was recorded, byte for byte and token for token, and nothing else."""

import json

import pytest

from agents.errors import ContextOverflow, LimitExceeded, ModelConfigError
from agents.llm import ModelConfig, open_model
from agents.llm.base import Sampling
from agents.llm.cassette import CassetteModel
from agents.llm.fake import FakeModel, bash
from agents.llm.ledger import Ledger, Limits
from agents.tools import BASH

USER = [{"role": "user", "content": "Fix it."}]


def tape(tmp_path, mode, *replies):
    inner = FakeModel(*replies) if mode != "replay" else None
    return CassetteModel(tmp_path / "tapes" / "c.jsonl", mode, inner, name="m")


async def test_a_reply_is_replayed_with_its_tool_calls_and_its_usage(tmp_path):
    recorded, replayed = Ledger("one"), Ledger("two")
    first = await tape(tmp_path, "record", bash("ls -l")).complete(USER, ledger=recorded, tools=(BASH,))
    again = await tape(tmp_path, "replay").complete(USER, ledger=replayed, tools=(BASH,))
    assert again == first
    assert replayed.spent == recorded.spent == first.usage


async def test_the_same_request_twice_gets_both_replies_in_order(tmp_path, ledger):
    recorder = tape(tmp_path, "record", "one", "two")
    for _ in range(2):
        await recorder.complete(USER, ledger=ledger)
    player = tape(tmp_path, "replay")
    assert [(await player.complete(USER, ledger=ledger)).first.content for _ in range(2)] == ["one", "two"]
    with pytest.raises(ModelConfigError, match="holds no reply"):
        await player.complete(USER, ledger=ledger)


@pytest.mark.parametrize(
    "changed",
    [{"sampling": Sampling(seed=2)}, {"n": 2}, {"tools": (BASH,)}, {"messages": [{"role": "user", "content": "Else"}]}],
)
async def test_another_request_gets_nothing(tmp_path, ledger, changed):
    asked = {"messages": USER, "ledger": ledger, "sampling": Sampling(seed=1)}
    await tape(tmp_path, "record", "one").complete(**asked)
    with pytest.raises(ModelConfigError, match="holds no reply"):
        await tape(tmp_path, "replay").complete(**asked | changed)


async def test_auto_asks_only_for_what_is_missing(tmp_path, ledger):
    await tape(tmp_path, "auto", "kept").complete(USER, ledger=ledger)
    second = tape(tmp_path, "auto", "new")
    assert (await second.complete(USER, ledger=ledger)).first.content == "kept"
    assert second.inner.left == 1
    assert (await second.complete(USER, ledger=ledger, n=2)).first.content == "new"


async def test_a_failure_of_the_request_itself_is_replayed_as_that_failure(tmp_path, ledger):
    for mode in ("record", "replay"):
        with pytest.raises(ContextOverflow, match="too long"):
            await tape(tmp_path, mode, ContextOverflow("too long")).complete(USER, ledger=ledger)


async def test_a_replayed_overflow_has_the_sizes_from_which_the_next_request_is_made(tmp_path, ledger):
    for mode in ("record", "replay"):
        with pytest.raises(ContextOverflow) as caught:
            long = ContextOverflow("too long", prompt=9000, limit=8192, reply=1024)
            await tape(tmp_path, mode, long).complete(USER, ledger=ledger)
        assert (caught.value.prompt, caught.value.limit, caught.value.reply) == (9000, 8192, 1024)


async def test_limits_hold_on_replay(tmp_path, ledger):
    await tape(tmp_path, "record", "one").complete(USER, ledger=ledger)
    short = Ledger("short", Limits(calls=1), spent=ledger.spent)
    with pytest.raises(LimitExceeded):
        await tape(tmp_path, "replay").complete(USER, ledger=short)


async def test_what_a_killed_process_left_unfinished_is_cut_off(tmp_path, ledger):
    await tape(tmp_path, "record", "one").complete(USER, ledger=ledger)
    path = tmp_path / "tapes" / "c.jsonl"
    with path.open("ab") as file:
        file.write(b'{"key": "cut')
    await tape(tmp_path, "auto", "two").complete(USER, ledger=ledger, n=2)
    assert [json.loads(line)["key"][:1] != "" for line in path.read_text().splitlines()] == [True, True]


def test_the_configuration_opens_a_cassette_and_needs_no_server_to_replay(tmp_path):
    path = tmp_path / "c.jsonl"
    replay = {"name": "m", "cassette": str(path), "cassette_mode": "replay"}
    with pytest.raises(ModelConfigError, match="there is no cassette"):
        open_model(ModelConfig.model_validate(replay))
    path.write_text("")
    assert open_model(ModelConfig.model_validate(replay)).name == "m"
    path.write_text("not a cassette\n")
    with pytest.raises(ModelConfigError, match="is not a cassette"):
        open_model(ModelConfig.model_validate(replay))
