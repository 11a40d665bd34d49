"""The model as a chat model: accounting, schemas, votes."""

import json
from typing import Any

import pytest

from agents.errors import LimitExceeded
from agents.llm.base import Message, ResponseSchema, Sampling, ToolSpec
from agents.llm.ledger import Ledger, Limits, Usage
from heats.demo import RepairModel
from heats.demo.instance import fitted
from heats.demo.judging import merit
from summarizer.render import render
from summarizer.schema import CheckedClaim, Facts, Summary

BASH = (ToolSpec(name="bash", description="", parameters={}),)
TASK: list[Message] = [{"role": "system", "content": "s"}, {"role": "user", "content": "Test command: `pytest -q`"}]


def record(*, steps: int, patch: str, progress: str, outcome: str, finding: str, mark: str = "confirmed") -> str:
    """A summary, as judges are shown it."""
    claim = CheckedClaim(
        command="pytest -q", step_id=steps, tree="changed", outcome=outcome, finding=finding, mark=mark, note="exit 1"
    )
    facts = Facts(exit="submitted", steps=steps, files=("a.py",), patch_sha256=patch)
    return render(Summary(rollout_id="", problem="", progress=progress, evidence=(claim,), facts=facts), 4000)


FIX = 'tried a.py:1:2 "<" -> "<=": failing 0 of 2 (all pass)'
GOOD = record(steps=6, patch="x", progress=FIX, outcome="passes", finding="9 passed")
BAD = record(
    steps=12, patch="", progress="48 edits tried, none helped.", outcome="reproduces", finding="2 failed, 7 passed"
)
LIAR = record(steps=6, patch="x", progress="fixed", outcome="passes", finding="9 passed", mark="contradicted")
UNSURE = record(steps=6, patch="x", progress=FIX, outcome="passes", finding="9 passed", mark="unconfirmed")


def vote_schema(labels: list[str]) -> ResponseSchema:
    properties = {"reason": {"type": "string"}, "choice": {"enum": labels}}
    return ResponseSchema(
        name="vote", json_schema={"type": "object", "properties": properties, "required": [*properties]}
    )


async def votes(model: RepairModel, candidates: list[tuple[str, str]], n: int) -> list[str]:
    data = {"problem": "p", "candidates": [{"label": label, "summary": text} for label, text in candidates]}
    asked: list[Message] = [{"role": "user", "content": json.dumps(data) + "\n\nNow choose."}]
    schema = vote_schema([label for label, _ in candidates])
    reply = await model.complete(asked, ledger=Ledger("t"), n=n, response_schema=schema, sampling=Sampling(seed=5))
    return [json.loads(completion.content)["choice"] for completion in reply.completions]


async def test_the_ledger_is_charged_and_asked(model: RepairModel) -> None:
    ledger = Ledger("t", Limits(calls=1))
    reply = await model.complete(TASK, ledger=ledger, tools=BASH)
    assert ledger.spent == reply.usage and reply.usage.calls == 1 and reply.usage.prompt_tokens > 0
    with pytest.raises(LimitExceeded):
        await model.complete(TASK, ledger=ledger, tools=BASH)


async def test_the_first_turn_runs_the_test_command(model: RepairModel) -> None:
    reply = await model.complete(TASK, ledger=Ledger("t"), tools=BASH)
    commands = [json.loads(call.arguments)["command"] for call in reply.first.tool_calls]
    assert commands[0] == "ls" and commands[1].endswith("pytest -q")
    assert reply.first.message["tool_calls"][0]["function"]["name"] == "bash"


async def test_a_checked_fix_wins_most_votes_wherever_it_stands(model: RepairModel) -> None:
    for order in ([("X", GOOD), ("Y", BAD)], [("Y", BAD), ("X", GOOD)]):
        chosen = await votes(model, order, 20)
        assert chosen.count("X") >= 18


async def test_equal_candidates_share_the_votes(model: RepairModel) -> None:
    chosen = await votes(model, [("X", GOOD), ("Y", GOOD)], 60)
    assert 15 <= chosen.count("X") <= 45


def test_only_contradicted_claims_count_against_a_candidate() -> None:
    assert merit(GOOD) > merit(UNSURE) > merit(LIAR)
    assert merit(GOOD) > merit(BAD)


async def test_an_unknown_schema_gets_its_smallest_instance(model: RepairModel) -> None:
    properties: dict[str, Any] = {
        "a": {"type": "string", "minLength": 2},
        "b": {"$ref": "#/$defs/B"},
        "c": {"type": "array"},
    }
    schema = {"type": "object", "properties": properties, "required": ["a", "b"], "$defs": {"B": {"enum": [3, 4]}}}
    asked = model.complete(TASK, ledger=Ledger("t"), response_schema=ResponseSchema(name="other", json_schema=schema))
    assert json.loads((await asked).first.content) == {"a": "..", "b": 3}


def test_values_are_cut_and_coerced_to_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 4},
            "many": {"type": "array", "maxItems": 2, "items": {"type": "integer", "maximum": 5}},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "required": ["text", "many"],
    }
    value = fitted({"text": "abcdef", "many": [9, "x", 3], "maybe": "m", "other": 1}, schema)
    assert value == {"text": "abc…", "many": [5, 0], "maybe": "m"}


async def test_a_summary_names_what_was_tried_and_what_came_of_it(model: RepairModel) -> None:
    from summarizer.schema import SummaryDraft, draft_schema

    text = (
        "## Task\nRebate is wrong\n\n## Attempt\n[step 3] assistant: I look around.\n"
        "[step 3] bash (exit 1): cd /testbed || exit 1\nexport PYTHONDONTWRITEBYTECODE=1; pytest -q\n"
        "1 failed, 3 passed\n"
        "[step 4] bash (exit 0): python3 /tmp/repair-1/repair_run.py check x\n"
        'tried a.py:1:2 "<" -> ">": failing 1 of 1\n'
        'tried a.py:1:2 "<" -> "<=": failing 0 of 1 (all pass)\n'
        "[step 5] bash (exit 0): python3 /tmp/repair-1/repair_run.py apply x\n"
        "[step 5] bash (exit 0): export PYTHONDONTWRITEBYTECODE=1; pytest -q\noutput:\n4 passed\n"
        "[step 6] submit (exited): \n"
    )
    schema = ResponseSchema(name="summary", json_schema=draft_schema())
    reply = await model.complete([{"role": "user", "content": text}], ledger=Ledger("t"), response_schema=schema)
    draft = SummaryDraft.model_validate_json(reply.first.content)
    assert [(claim.step_id, claim.outcome) for claim in draft.evidence] == [(3, "reproduces"), (5, "passes")]
    refuted = [item.text for item in draft.hypotheses if item.fate == "refuted"]
    assert refuted == ['tried a.py:1:2 "<" -> ">": failing 1 of 1']
    assert "all tests pass" in draft.end_state and '"<="' in draft.progress


async def test_it_is_always_ready(model: RepairModel) -> None:
    assert (await model.preflight())["model"] == "builtin:repair"
    assert isinstance(Ledger("t").spent, Usage)
    await model.close()
