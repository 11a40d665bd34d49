"""The content of a reply is found wherever it is: after thinking, in fences, beside prose, in the reasoning field."""

import json
import time

import pytest

from agents.errors import ReplyInvalid
from agents.llm.base import ResponseSchema, Sampling
from agents.llm.contents import answer_text, json_objects, loop_start
from agents.llm.fake import text
from agents.llm.structured import bounded, extract, violation
from agents.terminal.calls import TURN
from summarizer.schema import draft_schema

USER = [{"role": "user", "content": "Which?"}]
SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "choice": {"enum": ["K7", "QX"]}},
    "required": ["reason", "choice"],
    "additionalProperties": False,
}
VOTE = ResponseSchema(name="vote", json_schema=SCHEMA)
DRAFT, FINAL = '{"reason": "draft", "choice": "K7"}', '{"reason": "final", "choice": "QX"}'
READ = [
    FINAL,
    f"<think>\nThe first does {{x: 1}}, the other {{y}}. Perhaps {DRAFT}?\n</think>\n\n{FINAL}",
    f"I draft {DRAFT}\n</think>\n{FINAL}",
    f"```json\n{FINAL}\n```\nI looked at `f({{}})` in both.",
    f"First {DRAFT}, no:\n```json\n{FINAL}\n```",
    f"{FINAL}\n{FINAL}",
    f"<|channel|>analysis<|message|>hm {DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{FINAL}<|return|>",
    f"<|channel|>final <|constrain|>json<|message|>{FINAL}",
    f"[THINK]{DRAFT}[/THINK]{FINAL}",
    f"◁think▷{DRAFT}◁/think▷{FINAL}",
    f"<seed:think>{DRAFT}</seed:think>{FINAL}",
    f"<think>never closed, but {DRAFT} or rather {FINAL}",
    f'{{"answer": {FINAL}}}',
    f'{{"candidates": 2}} {FINAL} {{"done": true}}',
    f"<think>all of it, {FINAL}</think>",
    '{"reason": "final",\n "choice": "QX"}'.replace('"final"', '"fi\nnal"').replace("fi\nnal", "final"),
]


@pytest.mark.parametrize("said", READ)
def test_the_last_object_that_fits_is_the_answer_whatever_stands_around_it(said):
    found, problem = extract(said, SCHEMA)
    assert (problem, json.loads(found or "null")) == ("", json.loads(FINAL))


def test_an_answer_in_the_field_for_reasoning_counts_only_where_there_is_no_other():
    assert extract("", SCHEMA, reasoning=f"so {FINAL}")[0] == FINAL
    assert extract("I name the second one.", SCHEMA, reasoning=DRAFT)[0] is None


def test_a_draft_in_thinking_that_was_cut_is_no_vote():
    assert extract(f"<think>perhaps {DRAFT} but", SCHEMA, cut=True)[0] is None
    assert extract(f"{FINAL} and so on and", SCHEMA, cut=True)[0] == FINAL


def test_tags_in_a_string_or_in_code_are_no_thinking():
    said = '{"reason": "it drops </think> and <think>", "choice": "QX"}'
    assert extract(said, SCHEMA)[0] == said
    assert answer_text("```bash\ngrep '</think>' f\n```") == "```bash\ngrep '</think>' f\n```"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("no idea", "no JSON object"),
        ('{"reason": "x", "choice": "Z"}', "choice must be one of"),
        ('{"reason": "x", }', "not valid JSON (Expecting property name"),
        ('{"reason": NaN, "choice": "QX"}', "NaN is not JSON"),
    ],
)
def test_what_is_wrong_with_a_reply_is_said(said, why):
    found, problem = extract(said, SCHEMA)
    assert found is None and why in problem


@pytest.mark.parametrize(
    "said",
    ["[" * 200_000, '{"a":' * 200_000, '{"a": "' * 300_000, "{" * 10**6, '{"a":[' + "1," * 10**6, "<think>" * 10**5],
)
def test_no_reply_takes_long_to_read(said):
    started = time.process_time()
    json_objects(said)
    answer_text(said)
    loop_start(said)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("said", "loops"),
    [
        ("I see. " + "The test fails because of the test. " * 50, True),
        ("x" + "!" * 100, True),
        ("abc " * 10, False),
        (" ".join(map(str, range(3000))), False),
    ],
)
def test_a_tail_that_repeats_itself_is_found_and_two_of_it_stay(said, loops):
    start = loop_start(said)
    assert (start is not None) == loops
    assert start is None or 2 <= len(said[:start]) < len(said) / 2


async def test_a_model_that_thinks_long_loses_no_vote(bench, ledger):
    """3,000 tokens of reasoning once used up every vote's 1,024, repairs included, and nothing was reported."""

    def thinks(request):
        room = request["max_tokens"]
        return text("<think>" + "hm, " * 3000 + "</think>" + FINAL) if room >= 3000 else text("<think>hm", "length")

    server = await bench.serve(thinks)
    reply = await bench.client().complete(USER, ledger=ledger, response_schema=VOTE, sampling=Sampling(max_tokens=1024))
    assert reply.first.content == FINAL
    assert [request["max_tokens"] for request in server.requests] == [1024, 4096]


async def test_growing_ends_at_the_context(bench, ledger):
    server = await bench.serve(lambda request: text("<think>hm " + str(request["max_tokens"]), "length"), context=6000)
    client = bench.client()
    await client.preflight()
    with pytest.raises(ReplyInvalid):
        await client.complete(USER, ledger=ledger, response_schema=VOTE, sampling=Sampling(max_tokens=8192))
    asked = [request["max_tokens"] for request in server.requests]
    assert asked[0] == 3000 and 5900 < asked[1] < 6000 and server.counts["overflows"] == 0


async def test_a_reply_that_repeats_itself_gets_no_more_room_but_another_seed(bench, ledger):
    replies = iter([text("I see. " * 500, "length"), FINAL])
    server = await bench.serve(lambda request: next(replies))
    reply = await bench.client().complete(
        USER, ledger=ledger, response_schema=VOTE, sampling=Sampling(max_tokens=64, seed=5)
    )
    assert reply.first.content == FINAL
    first, second = server.requests
    assert first["max_tokens"] == second["max_tokens"] and first["seed"] != second["seed"]
    assert "repeated itself" in second["messages"][-1]["content"] and len(second["messages"][-2]["content"]) < 100


async def test_a_useless_reply_is_not_asked_for_again_with_the_same_seed(bench, ledger):
    server = await bench.serve(lambda request: "x")
    server.faults.force("garbage_json", "rate_limit", "empty_choices")
    await bench.client().complete(USER, ledger=ledger, sampling=Sampling(seed=5, turn=3))
    seeds = [request["seed"] for request in server.requests]
    assert len(seeds) == 4 and seeds[0] != seeds[1] == seeds[2] != seeds[3]


def test_every_string_and_list_that_is_asked_for_has_an_end():
    def open_ends(schema):
        if isinstance(schema, dict):
            kind = schema.get("type")
            if kind == "string" and not {"enum", "const", "maxLength"} & schema.keys():
                yield schema
            if kind == "array" and "maxItems" not in schema:
                yield schema
            for part in schema.values():
                yield from open_ends(part)

    for schema in (SCHEMA, draft_schema(), TURN.json_schema):
        assert not list(open_ends(bounded(schema)))
    assert violation(json.loads(FINAL), bounded(SCHEMA)) == ""
