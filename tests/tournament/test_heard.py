"""If no vote is heard, the choice is random, and a server that accepts no votes ends the run."""

import json

import pytest

from agents.errors import ModelConfigError, ModelUnavailable, RequestRejected
from tournament import open_selector
from tournament.fake import PerfectJudge, RefusingJudge
from tournament.journal import MemoryJournal
from tournament.judge import ModelJudge
from tournament.rtv import RTVSelector
from tournament.scored import PointwiseSelector
from tournament.swiss import SwissSelector

WORDS = "the model server answered 400: this grammar is not supported"


async def test_a_match_without_a_readable_vote_is_unheard_and_its_winner_by_chance(rtv, kit) -> None:
    bracket = await kit.play(rtv(RefusingJudge()), kit.field(2))
    (match,) = bracket.matches
    assert (match.decided_by, bracket.by_chance) == ("unheard", bracket.selected)
    assert len(match.votes) == 8 and not any(vote.choice for vote in match.votes)


async def test_who_was_heard_in_every_match_is_not_chosen_by_chance(rtv, kit) -> None:
    field = kit.field(4)
    judge = PerfectJudge({one.id: index for index, one in enumerate(field)})
    assert (await kit.play(rtv(judge), field, 2)).by_chance == ()


async def test_evidence_needs_no_vote_to_be_heard(rtv, kit) -> None:
    field = [one.model_copy(update={"evidence_rank": index}) for index, one in enumerate(kit.field(4))]
    assert (await kit.play(rtv(RefusingJudge()), field)).by_chance == ()


async def test_an_unheard_match_is_no_win(rtv, kit) -> None:
    """One of three makes the judge refuse: its matches are decided at random, and rank behind decided ones."""
    field = kit.field(3)
    for seed in range(20):
        judge = RefusingJudge([field[0].id])
        bracket = await kit.play(rtv(judge), field, 2, seed)
        won = [match.winner for match in bracket.matches if match.decided_by in ("votes", "tie-break")]
        heard = [name for name in bracket.selected if name not in bracket.by_chance]
        assert set(heard) <= set(won) and field[0].id not in heard


@pytest.mark.parametrize("kind", ["pointwise", "verify", "swiss"])
async def test_other_selectors_say_so_too(kind, config, kit) -> None:
    selector = open_selector(config.model_copy(update={"selector": kind}), kit.Answering(lambda *_: "not JSON"))
    bracket = await kit.play(selector, kit.field(3), 2)
    assert bracket.by_chance == bracket.selected


async def test_a_lone_candidate_of_its_class_is_not_chosen_by_chance(config, kit) -> None:
    field = [*kit.field(3), kit.field(4)[3].model_copy(update={"evidence_rank": 3})]
    bracket = await kit.play(PointwiseSelector(config, kit.Answering(lambda *_: "not JSON")), field)
    assert (bracket.selected, bracket.by_chance) == ((field[3].id,), ())


@pytest.mark.parametrize("kind", ["rtv", "adaptive", "swiss", "pointwise", "verify"])
async def test_a_server_that_rejects_every_vote_ends_the_run_with_its_words(kind, config, kit) -> None:
    """24 of 24 votes were rejected, and nothing was reported."""
    selector = open_selector(
        config.model_copy(update={"selector": kind}), kit.Answering(lambda *_: RequestRejected(WORDS))
    )
    with pytest.raises(ModelConfigError, match=f"rejected every vote: {WORDS}"):
        await kit.play(selector, kit.field(4), 2)


async def test_one_rejected_match_is_told_and_ends_nothing(config, kit) -> None:
    def reply(messages, schema, index):
        if "summary 1" in messages[1]["content"]:
            return RequestRejected(WORDS)
        return json.dumps({"reason": "", "choice": schema["properties"]["choice"]["enum"][0]})

    journal = MemoryJournal()
    bracket = await kit.play(RTVSelector(config, ModelJudge(config, kit.Answering(reply))), kit.field(4), 2, 0, journal)
    rejected = [vote for match in bracket.matches for vote in match.votes if vote.failure == "rejected"]
    assert rejected and {vote.reason for vote in rejected} == {WORDS}
    assert journal.lost == rejected


async def test_a_server_that_took_votes_before_does_not_end_the_run(config, kit) -> None:
    """A sweep continues if every vote on one of its tasks is rejected."""
    rejects: list[bool] = []

    def reply(messages, schema, index):
        if rejects:
            return RequestRejected(WORDS)
        return json.dumps({"reason": "", "choice": schema["properties"]["choice"]["enum"][0]})

    selector = RTVSelector(config, ModelJudge(config, kit.Answering(reply)))
    await kit.play(selector, kit.field(2))
    rejects.append(True)
    assert (await kit.play(selector, kit.field(2))).by_chance


async def test_votes_that_the_server_did_not_answer_are_asked_for_again_by_a_resumed_run(config, kit) -> None:
    journal, failures = MemoryJournal(), [ModelUnavailable("down")]

    def reply(messages, schema, index):
        return (
            failures[0] if failures else json.dumps({"reason": "", "choice": schema["properties"]["choice"]["enum"][0]})
        )

    selector = RTVSelector(config, ModelJudge(config, kit.Answering(reply)))
    assert (await kit.play(selector, kit.field(2), 1, 0, journal)).by_chance
    assert not journal.cast and {vote.failure for vote in journal.lost} == {"unavailable"}
    failures.clear()
    assert not (await kit.play(selector, kit.field(2), 1, 0, journal)).by_chance


async def test_a_judge_that_always_fails_lets_swiss_come_to_an_end(config, kit) -> None:
    bracket = await kit.play(SwissSelector(config, RefusingJudge()), kit.field(4), 2)
    assert len(bracket.selected) == 2 and bracket.by_chance == bracket.selected
