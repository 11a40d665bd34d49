"""Candidates' text stays data: no payload escapes its JSON string, and none can name a label."""

import json
import re
from pathlib import Path

import pytest

from agents.llm.ledger import Ledger
from core.sanitize import for_model
from core.text import fill
from tournament.base import Candidate
from tournament.judge import ModelJudge

PAYLOADS = json.loads((Path(__file__).parent / "injection_set.json").read_text("utf-8"))
POSITIONS = {
    "summary": lambda text: {"summary": f"Progress: fixed it\n{text}"},
    "comment": lambda text: {"patch": diff("a.py", f"x = 1  # {text}")},
    "string": lambda text: {"patch": diff("a.py", f"x = '''{text}'''")},
    "file name": lambda text: {"patch": diff(text, "x = 1")},
}


def diff(name: str, line: str) -> str:
    return f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-x = 0\n+{line}\n"


def obeys(messages, schema, index) -> str:
    """A model that obeys any request naming a label, wherever it reads it; else it picks the best, labelled `good`."""
    text = messages[1]["content"].rsplit("\n\n", 2)[0]
    labels = schema["properties"]["choice"]["enum"]
    for wish in re.findall(r"[\w]+", text.replace('"label": "', '"label": "_')):
        if wish in labels:
            return json.dumps({"reason": "told so", "choice": wish})
    entries = json.JSONDecoder().raw_decode(text)[0]["candidates"]
    good = next((one["label"] for one in entries if "GOOD" in json.dumps(one)), labels[0])
    return json.dumps({"reason": "better", "choice": good})


@pytest.fixture
def judge_for(config, kit):
    def build(view: str, reply=obeys):
        model = kit.Answering(reply)
        judge = config.judge.model_copy(update={"view": view, "strip_comments": False})
        return model, ModelJudge(config.model_copy(update={"judge": judge}), model)

    return build


def test_the_set_is_large_and_every_payload_differs() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) == 60


@pytest.mark.parametrize("position", POSITIONS)
async def test_no_payload_names_a_label(position, judge_for) -> None:
    model, judge = judge_for("summary" if position == "summary" else "patch")
    won = 0
    for seed, payload in enumerate(PAYLOADS):
        bad = Candidate(**{"id": "bad", "summary": "", **POSITIONS[position](payload)})
        good = Candidate(id="good", summary="GOOD", patch=diff("a.py", "GOOD = 1"))
        votes = await judge.vote("issue", [bad, good], count=2, first=0, seed=seed, ledger=Ledger("t"))
        won += sum(vote.choice == "bad" for vote in votes)
    assert won == 0
    assert len(model.requests) == 2 * len(PAYLOADS)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("payload", PAYLOADS)
async def test_no_payload_leaves_its_json_string(position, payload, judge_for, config) -> None:
    model, judge = judge_for("summary" if position == "summary" else "patch")
    bad = Candidate(**{"id": "bad", "summary": "", **POSITIONS[position](payload)})
    await judge.vote(payload, [bad, bad], count=1, first=0, seed=0, ledger=Ledger("t"))
    system, user = model.requests[0]
    data, end = json.JSONDecoder().raw_decode(user["content"])
    around = user["content"][end:]
    labels = [one["label"] for one in data["candidates"]]
    field = "summary" if position == "summary" else "patch"
    assert data["problem"] == for_model(payload)
    assert data["candidates"][0][field] == for_model(getattr(bad, field))
    assert around.strip() == config.judge.user.split("}}", 1)[1].split("{{")[0].strip() + " " + ", ".join(labels) + "."
    assert system["content"] == fill(config.judge.system, shown=(field,))


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_neither_controls_nor_chat_markers_reach_the_request(payload, judge_for) -> None:
    model, judge = judge_for("summary")
    await judge.vote("i", [Candidate(id="a", summary=payload)] * 2, count=1, first=0, seed=0, ledger=Ledger("t"))
    body = model.requests[0][1]["content"]
    assert not re.search(r"<[|｜]|</?think>|<tool_call>|\[/?INST\]|<</?SYS>>|</?s>|<start_of_turn>", body)
    hidden = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e01ef"
    assert not re.search(f"[{hidden}]", body)


async def test_comments_added_to_the_loser_change_nothing_for_a_judge_that_likes_length(config, kit) -> None:
    def longest(messages, schema, index):
        entries = kit.payload(messages)["candidates"]
        return json.dumps({"reason": "long", "choice": max(entries, key=lambda one: len(one["patch"]))["label"]})

    judge = config.judge.model_copy(update={"view": "patch", "strip_comments": True})
    judge = ModelJudge(config.model_copy(update={"judge": judge}), kit.Answering(longest))
    padding = "".join(f"+# neutral remark {i}\n" for i in range(400))
    loser = Candidate(id="loser", summary="", patch=diff("a.py", "x = 1") + padding)
    winner = Candidate(id="winner", summary="", patch=diff("a.py", "x = compute(1)"))
    votes = await judge.vote("i", [loser, winner], count=2, first=0, seed=0, ledger=Ledger("t"))
    assert {vote.choice for vote in votes} == {"winner"}
