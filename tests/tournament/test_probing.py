"""Judges that execute code: what is run when, what votes are shown, and what a resume repeats."""

import json
from dataclasses import replace

import pytest

from tournament.base import Vote
from tournament.journal import MemoryJournal
from tournament.match_votes import MatchVotes
from tournament.probe import Executed, Finding, with_scripts
from tournament.probe_judge import ProbeJudge, open_judge
from tournament.rtv import RTVSelector


class Lab:
    """A `Probe` on paper: outputs by candidate, and inquiries that choose the first label or what `finds` says."""

    def __init__(self, outputs=None, finds=lambda inquiry: inquiry.labels[0]):
        self.outputs, self.finds = outputs or {}, finds
        self.written, self.inquiries = {}, []

    def script(self, match_id, contestants):
        return self.written.get((match_id, contestants))

    async def run(self, match_id, contestants, script):
        self.written[match_id, contestants] = script
        outputs = {one: self.outputs.get(one, "exit code 0") for one in contestants}
        return (Executed(match=match_id, script=script, base="exit code 1", outputs=outputs),) if script else ()

    async def inquire(self, inquiry):
        self.inquiries.append(inquiry)
        label = self.finds(inquiry)
        return Finding(choice=label, reason=f"{label} works")


def answer(messages, schema, index):
    """Writes a script, and votes for the first candidate shown."""
    if "script" in schema["properties"]:
        return json.dumps({"reason": "try it", "script": "python3 example.py"})
    return json.dumps({"reason": "read", "choice": schema["properties"]["choice"]["enum"][0]})


@pytest.fixture
def probing(config):
    judge = config.judge.model_copy(update={"view": "probe", "votes_from": "samples"})
    return config.model_copy(update={"judge": judge, "votes": 4})


@pytest.fixture
def hold(probing, kit):
    """One match between two candidates; returns the match and the model."""

    async def go(lab, journal=None, reply=answer, config=probing):
        model = kit.Answering(reply)
        case = replace(kit.case(journal=journal), probe=lab)
        match = await MatchVotes(config, open_judge(config, model), case).decide("r0-m0", tuple(kit.field(2)))
        return match, model

    return go


ONE, OTHER = "heat-0/rollout-00", "heat-0/rollout-01"


async def test_a_script_that_tells_them_apart_is_shown_to_every_vote(hold, kit):
    lab = Lab({ONE: "exit code 0\n3", OTHER: "exit code 0\n4"})
    match, model = await hold(lab)
    assert list(lab.written.values()) == ["python3 example.py"] and not lab.inquiries
    assert {vote.ran for vote in match.votes} == {"script"}
    for messages in model.requests[1:]:
        shown = kit.payload(messages)
        assert "python3 example.py" in shown["problem"] and "exit code 1" in shown["problem"]
        assert sorted(one["ran"] for one in shown["candidates"]) == ["exit code 0\n3", "exit code 0\n4"]
        assert "`ran`" in messages[0]["content"]


async def test_where_outputs_agree_the_judge_examines_the_trees_once_per_order(hold):
    better = lambda inquiry: inquiry.labels[inquiry.shown.index(OTHER)]  # noqa: E731
    lab = Lab({ONE: "ok in 0.1 s", OTHER: "ok in 0.2 s"}, better)
    match, model = await hold(lab)
    assert (match.winner, match.decided_by) == (OTHER, "votes")
    assert [one.shown for one in lab.inquiries] == [(ONE, OTHER), (OTHER, ONE)]
    assert [vote.ran for vote in match.votes] == ["sandbox"] * 2 and len(model.requests) == 1


async def test_the_judge_is_not_told_whose_trees_it_examines(hold):
    lab = Lab()
    await hold(lab)
    for inquiry in lab.inquiries:
        assert "rollout" not in inquiry.data and not set(inquiry.labels) & {ONE, OTHER}
        assert [one["label"] for one in json.loads(inquiry.data)["candidates"]] == list(inquiry.labels)


@pytest.mark.parametrize("finds", [lambda inquiry: inquiry.labels[0], lambda inquiry: None])
async def test_inquiries_that_disagree_or_end_without_a_vote_leave_it_to_ordinary_votes(hold, finds):
    match, _ = await hold(Lab(finds=finds))
    assert {vote.ran for vote in match.votes} == {"script"} and len(match.votes) == 4


async def test_a_resumed_match_repeats_no_request_script_or_inquiry(hold, kit):
    better = lambda inquiry: inquiry.labels[inquiry.shown.index(OTHER)]  # noqa: E731
    lab, journal = Lab(finds=better), MemoryJournal()
    first, _ = await hold(lab, journal)
    again, model = await hold(lab, journal)
    assert again == first and not model.requests and len(lab.inquiries) == 2


async def test_a_lost_inquiry_is_held_again_after_a_resume(hold):
    lab, journal = Lab(), MemoryJournal()

    async def lost(inquiry):
        return Finding(choice=None, reason="no sandbox", lost=True)

    found, lab.inquire = lab.inquire, lost
    await hold(lab, journal)
    assert all(vote.ran == "script" for votes in journal.cast.values() for vote in votes)
    lab.inquire = found
    await hold(lab, journal)
    assert len(lab.inquiries) == 2


async def test_without_steps_only_scripts_run(hold, probing):
    judge = probing.judge.model_copy(update={"probe": probing.judge.probe.model_copy(update={"steps": 0})})
    lab = Lab()
    match, _ = await hold(lab, config=probing.model_copy(update={"judge": judge}))
    assert not lab.inquiries and {vote.ran for vote in match.votes} == {"script"}


async def test_a_reply_without_a_script_costs_nothing_but_the_script(hold):
    def broken(messages, schema, index):
        return "no" if "script" in schema["properties"] else answer(messages, schema, index)

    lab = Lab()
    match, _ = await hold(lab, reply=broken)
    assert list(lab.written.values()) == [""] and len(lab.inquiries) == 2 and match.winner


async def test_without_sandboxes_the_view_judges_by_reading(hold):
    match, model = await hold(None)
    assert {vote.ran for vote in match.votes} == {""}
    assert not any("script" in str(messages[0]["content"])[:100] for messages in model.requests)


async def test_evidence_is_not_probed(probing, kit):
    """A higher evidence rank wins without a script."""
    lab = Lab()
    field = [one.model_copy(update={"evidence_rank": place}) for place, one in enumerate(kit.field(2))]
    case = replace(kit.case(), probe=lab)
    selector = RTVSelector(probing, ProbeJudge(probing, kit.Answering(answer)))
    bracket = await selector.select({one.id: kit.at_once(one) for one in field}, 1, case)
    assert bracket.selected == (OTHER,) and not lab.written


def test_old_votes_have_nothing_executed():
    assert Vote.model_validate({"order": ["a"], "labels": ["K"], "choice": "a"}).ran == ""


def test_the_statement_makes_room_for_scripts():
    ran = (Executed(match="r0-m0", script="s" * 3000, base="b", outputs={}),)
    text = with_scripts("word " * 4000, ran, 2000, 6000)
    assert len(text) <= 6000 and "Its output without any change:\nb" in text


def test_the_headings_of_several_long_scripts_are_never_cut():
    """Scripts were cut one by one and then together: a judge did not see where one ended and its output began."""
    ran = tuple(Executed(match=f"r0-m{n}", script="s" * 5000, base="b" * 5000, outputs={}) for n in range(3))
    text = with_scripts("word " * 4000, ran, 3000, 12000)
    assert len(text) <= 12000 and text.startswith("word word")
    assert text.count("Its output without any change:\nb") == text.count("written to tell attempts apart:\ns") == 3
