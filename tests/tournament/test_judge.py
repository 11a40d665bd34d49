"""The model judge: candidates are labelled data, orders are balanced, and whatever is not a vote is an abstention."""

import asyncio
import json

import pytest

from agents.errors import (
    ContextOverflow,
    LimitExceeded,
    ModelConfigError,
    ModelRefused,
    ModelUnavailable,
    ReplyInvalid,
    RequestRejected,
)
from agents.llm.ledger import Ledger, Limits
from tournament.judge import ModelJudge


def choose(index: int):
    """A model that names the candidate in this position."""
    return lambda messages, schema, n: json.dumps(
        {"reason": "so", "choice": schema["properties"]["choice"]["enum"][index]}
    )


async def votes_of(judge: ModelJudge, field, count: int = 4, first: int = 0, ledger: Ledger | None = None):
    return await judge.vote("the issue", field, count=count, first=first, seed=1, ledger=ledger or Ledger("test"))


async def test_pairs_are_shown_in_both_orders_equally_often(config, kit) -> None:
    model = kit.Answering(choose(0))
    votes = await votes_of(ModelJudge(config, model), kit.field(2), 8)
    firsts = [vote.order[0] for vote in votes]
    assert firsts.count("heat-0/rollout-00") == firsts.count("heat-0/rollout-01") == 4
    assert [vote.choice for vote in votes] == firsts


async def test_votes_of_one_order_share_a_request(config, kit) -> None:
    model = kit.Answering(choose(0))
    await votes_of(ModelJudge(config, model), kit.field(2), 8)
    assert model.counts == [4, 4]


async def test_groups_rotate_through_all_places(config, kit) -> None:
    votes = await votes_of(ModelJudge(config, kit.Answering(choose(0))), kit.field(4), 8)
    for place in range(4):
        shown = [vote.order[place] for vote in votes]
        assert {shown.count(name) for name in shown} == {2}


async def test_labels_differ_by_request_and_occur_in_no_text(config, kit) -> None:
    model = kit.Answering(choose(1))
    votes = await votes_of(ModelJudge(config, model), kit.field(3), 6)
    assert len({label for vote in votes for label in vote.labels}) == 9
    data = kit.payload(model.requests[0])
    texts = json.dumps([data["problem"], [one["summary"] for one in data["candidates"]]])
    assert not any(one["label"] in texts for one in data["candidates"])


async def test_labels_avoid_a_text_that_holds_almost_all_of_them(config, kit) -> None:
    letters, digits = "BCDFGHJKLMNPQRSTVWXZ", "23456789"
    every = " ".join(a + b + c for a in letters for b in digits for c in letters)
    field = [one.model_copy(update={"summary": every.lower()}) for one in kit.field(2)]
    judge = ModelJudge(config, kit.Answering(choose(0)))
    judge.asker.config = config.judge.model_copy(update={"candidate_chars": 10**6})
    votes = await votes_of(judge, field)
    assert all(len(label) > 3 for label in votes[0].labels)


async def test_the_reason_is_asked_for_before_the_choice_and_kept(config, kit) -> None:
    seen = []
    model = kit.Answering(lambda messages, schema, n: seen.append(schema) or choose(0)(messages, schema, n))
    votes = await votes_of(ModelJudge(config, model), kit.field(2), 2)
    assert list(seen[0]["properties"]) == ["reason", "choice"]
    assert votes[0].reason == "so"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "1",
        "I choose the first one",
        "{}",
        '{"reason": "x", "choice": "1"}',
        '{"reason": "x", "choice": null}',
        '[{"reason": "x"}]',
        '{"reason": "x", "choice": ',
        "null",
        "\ud800",
        "[" * 5000,
    ],
)
async def test_anything_but_a_vote_is_an_abstention(config, kit, reply) -> None:
    votes = await votes_of(ModelJudge(config, kit.Answering(lambda *_: reply)), kit.field(2))
    assert [vote.choice for vote in votes] == [None] * 4


async def test_a_vote_with_text_around_it_is_an_abstention(config, kit) -> None:
    model = kit.Answering(lambda messages, schema, n: f"Sure! {choose(0)(messages, schema, n)}")
    votes = await votes_of(ModelJudge(config, model), kit.field(2))
    assert [vote.choice for vote in votes] == [None] * 4


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ModelUnavailable("down"), "unavailable"),
        (ModelRefused("no"), "refused"),
        (RequestRejected("the model server answered 400: no"), "rejected"),
        (ReplyInvalid("bad"), "unreadable"),
        (ContextOverflow("long"), "too-long"),
    ],
)
async def test_a_model_that_fails_abstains_and_says_why(config, kit, error, failure) -> None:
    votes = await votes_of(ModelJudge(config, kit.Answering(lambda *_: error)), kit.field(2))
    assert [(vote.choice, vote.failure, vote.reason) for vote in votes] == [(None, failure, str(error))] * 4


async def test_a_wrong_configuration_and_a_used_up_ledger_are_no_abstentions(config, kit) -> None:
    with pytest.raises(ModelConfigError):
        await votes_of(ModelJudge(config, kit.Answering(lambda *_: ModelConfigError("key"))), kit.field(2))
    spent = Ledger("run", Limits(calls=1))
    spent.charge(spent.spent.model_copy(update={"calls": 1}))
    with pytest.raises(LimitExceeded):
        await votes_of(ModelJudge(config, kit.Answering(choose(0))), kit.field(2), ledger=spent)


async def test_what_does_not_fit_the_context_is_asked_again_with_less_of_everybody(config, kit) -> None:
    def reply(messages, schema, index):
        return ContextOverflow("long") if len(messages[1]["content"]) > 9000 else choose(0)(messages, schema, index)

    model = kit.Answering(reply)
    field = [one.model_copy(update={"summary": "x" * 20_000}) for one in kit.field(2)]
    votes = await votes_of(ModelJudge(config, model), field, 2)
    assert None not in [vote.choice for vote in votes]
    assert len({len(one["summary"]) for one in kit.payload(model.requests[-1])["candidates"]}) == 1


async def test_every_candidate_has_the_same_budget(config, kit) -> None:
    field = kit.field(2)
    field[0] = field[0].model_copy(update={"summary": "word " * 50_000})
    model = kit.Answering(choose(0))
    await votes_of(ModelJudge(config, model), field, 2)
    for one in kit.payload(model.requests[0])["candidates"]:
        assert sum(len(text) for name, text in one.items() if name != "label") <= config.judge.candidate_chars
    assert max(len(one["summary"]) for one in kit.payload(model.requests[0])["candidates"]) > 11_900


@pytest.mark.parametrize(
    ("view", "fields"),
    [
        ("summary", {"summary"}),
        ("trajectory", {"trajectory"}),
        ("patch", {"patch"}),
        ("summary+evidence", {"summary", "measured"}),
    ],
)
async def test_views_show_what_they_are_called_after(config, kit, view, fields) -> None:
    judge = config.judge.model_copy(update={"view": view})
    model = kit.Answering(choose(0))
    await votes_of(
        ModelJudge(config.model_copy(update={"judge": judge}), model), kit.field(2, patch="p", evidence="passes"), 2
    )
    assert set(kit.payload(model.requests[0])["candidates"][0]) == fields | {"label"}


@pytest.mark.parametrize(("view", "named", "unnamed"), [
    ("patch", "`patch`: its whole diff", "CONTRADICTED"),
    ("summary", "CONTRADICTED", "`patch`"),
])  # fmt: skip
async def test_the_rules_speak_of_what_is_shown(config, kit, view, named, unnamed) -> None:
    """A judge of whole diffs was told of marks that no diff has, and nothing of the field that it was given."""
    judge = config.judge.model_copy(update={"view": view})
    model = kit.Answering(choose(0))
    await votes_of(ModelJudge(config.model_copy(update={"judge": judge}), model), kit.field(2), 2)
    rules = model.requests[0][0]["content"]
    assert named in rules and unnamed not in rules


async def test_who_made_a_candidate_is_not_shown(config, kit) -> None:
    model = kit.Answering(choose(0))
    await votes_of(ModelJudge(config, model), kit.field(2), 2)
    assert "rollout" not in json.dumps(model.requests)


async def test_the_same_seed_asks_the_same(config, kit) -> None:
    one, other = kit.Answering(choose(0)), kit.Answering(choose(0))
    await votes_of(ModelJudge(config, one), kit.field(2))
    await votes_of(ModelJudge(config, other), kit.field(2))
    assert one.requests == other.requests


async def test_judge_faults_of_every_kind_still_give_a_winner(config, kit, rtv) -> None:
    faults = [
        "",
        "garbage",
        ModelUnavailable("down"),
        ModelRefused("no"),
        ReplyInvalid("x"),
        ContextOverflow("y"),
        None,
    ]

    def reply(messages, schema, index):
        fault = faults[hash(messages[1]["content"]) % len(faults)]
        return choose(0)(messages, schema, index) if fault is None else fault

    bracket = await kit.play(rtv(ModelJudge(config, kit.Answering(reply))), kit.field(9), 3)
    assert len(bracket.selected) == 3
    assert len(bracket.ranking) == 9


async def test_cancelled_votes_stop_at_once(config, kit) -> None:
    class Hanging(kit.Answering):
        async def complete(self, *args, **kwargs):
            await asyncio.Event().wait()

    task = asyncio.create_task(votes_of(ModelJudge(config, Hanging(choose(0))), kit.field(2)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
