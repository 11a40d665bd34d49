"""The refinement context of a heat."""

import pytest

from heats.config import load_config
from heats.runner.context import _other, _standing, make_context, put_diffs
from tournament.base import Bracket, Candidate, Match, Vote


def diff(text):
    return f"diff --git a/f.py b/f.py\n--- a/f.py\n+++ b/f.py\n@@ -1 +1 @@\n-x = 1\n+{text}\n"


def candidate(name, text, **more):
    return Candidate(id=name, summary=f"account of {name}", patch=diff(text), patch_key=text, **more)


def vote(choice, reason):
    return Vote(order=("a", "b"), labels=("G8H", "K2M"), choice=choice, reason=reason)


FIELD = {one.id: one for one in (candidate("a", "x = 2", copies=2), candidate("b", "x = 3"), candidate("c", "x = 2"))}
FIELD["d"] = Candidate(id="d", summary="account of d")
VOTES = (vote("a", "G8H handles zero, `K2M` does not"), vote("b", "Candidate K2M is shorter"), vote("a", "as before"))
BRACKET = Bracket(
    selector="rtv", seed=0, group_size=2, votes_per_match=3,
    rounds=((Match(id="r0-m0", contestants=("a", "b"), votes=VOTES, winner="a", decided_by="votes"),),),
    merged={"a": ("c",)}, ranking=("a", "b", "c", "d"), selected=("a",),
)  # fmt: skip
PATCHES = {name: one.patch.encode() for name, one in FIELD.items()}


@pytest.fixture
def made():
    def make(*parents, **keys):
        config = load_config((), {f"refine.{name}": value for name, value in keys.items()})
        return make_context(parents or ("a",), FIELD, PATCHES, BRACKET, config.refine)

    return make


def test_a_record_says_how_the_attempt_did_what_it_changed_and_its_own_account(made):
    (record,) = made().records
    for part in ("Won against attempt 2 by 2 to 1 votes.", "+x = 2", "account of a"):
        assert part in record
    assert "2 attempts made this same change independently." in record


def test_summaries_alone_keep_within_their_characters_too(monkeypatch, made):
    monkeypatch.setitem(FIELD, "b", FIELD["b"].model_copy(update={"summary": "word " * 1000}))
    short, long = made("a", "b", view="summary", chars=1000).records
    assert short == "account of a"
    assert "characters omitted" in long and len(short + long) <= 1000


def test_judges_reasons_name_attempts_and_no_label(made):
    context = made()
    assert "A judge for it: Attempt 1 handles zero, `attempt 2` does not." in context.records[0]
    assert "A judge against it: Attempt 2 is shorter" in context.records[0]
    assert not any(label in text for text in (*context.records, *context.others) for label in ("G8H", "K2M"))


def test_the_others_have_a_line_each_that_says_why_they_lost(made):
    others = made().others
    # Without a record, its lines say what it did; the reasons are in attempt 1's record.
    assert others[0] == "Attempt 2: It changed f.py: `x = 3`. Lost against attempt 1 by 1 to 2 votes."
    assert others[1] == "Attempt 3: It handed in no change."
    assert len(others) == 2  # the copy of a kept change is not a separate attempt


def test_an_attempt_that_needed_no_match_is_not_called_uncompared(made):
    """ "The best first", said the request, and of the first: "It was not compared with another attempt"."""
    bye = Bracket(
        selector="rtv", seed=1, group_size=2, votes_per_match=2, rounds=(), ranking=("a", "b"), selected=("a", "b")
    )
    ranked = [Candidate(id=name, summary="", patch=name, evidence_rank=rank) for name, rank in (("a", 2), ("b", 1))]
    assert "needed no match" in _standing(ranked[0], {}, bye, ranked)
    below = _standing(ranked[1], {"a": "attempt 1"}, bye, ranked)
    assert below == "By what was executed it is worse than attempt 1; it played no match."
    ranked.append(Candidate(id="c", summary="", patch="c", evidence_rank=0))
    between = _standing(ranked[1], {"a": "attempt 1", "c": "attempt 3"}, bye, ranked)
    assert "it is better than attempt 3 and worse than attempt 1" in between
    level = [one.model_copy(update={"evidence_rank": 1}) for one in ranked]
    assert _standing(level[1], {}, bye, level) == "It was not compared with another attempt."


def test_two_winners_that_never_met_are_told_so():
    """Both had beaten the third; a refiner was told of "the best first", and the first was the wrong one."""
    ids = ("a", "b", "c")
    ranked = [Candidate(id=name, summary="", patch=name) for name in ids]
    pair = lambda one, other: Match(id="r0-m0", contestants=(one, other), winner=one, decided_by="votes")  # noqa: E731
    bracket = Bracket(
        selector="rtv", seed=1, group_size=2, votes_per_match=2, rounds=((pair("a", "c"), pair("b", "c")),), ranking=ids
    )
    numbers = {name: f"attempt {place}" for place, name in enumerate(ids, start=1)}
    assert _standing(ranked[0], numbers, bracket, ranked).endswith("It was not compared with attempt 2.")
    lost = _other(ranked[2], numbers, bracket, ranked, "")
    assert "Lost against attempt 1" in lost and "Lost against attempt 2" in lost


def test_a_change_is_told_once_however_many_made_it(made):
    context = made("a", "c", "b")
    assert context.parents == ("a", "b")
    assert list(context.diffs) == ["attempt-1.diff", "attempt-2.diff"]


def test_everything_stays_within_the_budget(made):
    for chars in (1000, 1300, 24_000):
        context = made("a", "b", chars=chars)
        assert sum(map(len, (*context.records, *context.others))) <= chars
        assert all("account of" in record for record in context.records)


def test_the_papers_refiners_read_summaries_alone():
    config = load_config(("paper",)).refine
    context = make_context(("a", "b", "c"), FIELD, PATCHES, BRACKET, config)
    assert context.records == ("account of a", "account of b", "account of c")  # though a and c made the same change
    assert (context.others, dict(context.diffs)) == ((), {})


def test_the_papers_judges_read_summaries_alone():
    assert load_config(("paper",)).tournament.judge.view == "summary"


def test_a_match_that_nobody_heard_is_no_defeat():
    silent = Match(id="r0-m0", contestants=("a", "b"), votes=(), winner="a", decided_by="unheard")
    bracket = BRACKET.model_copy(update={"rounds": ((silent,),)})
    context = make_context(("a",), FIELD, PATCHES, bracket, load_config(()).refine)
    assert context.records[0].startswith("Was not compared with attempt 2: no vote could be read.")


@pytest.mark.bubblewrap
async def test_the_changes_lie_as_files_that_apply_outside_the_tree():
    from sandbox import SandboxConfig, open_backend
    from sandbox.base import SandboxSpec

    backend = await open_backend(SandboxConfig(backend="bubblewrap"))
    sandbox = await backend.start(SandboxSpec(image="host"))
    try:
        await sandbox.write_file("/testbed/f.py", b"x = 1\n")
        folder = await put_diffs(sandbox, "/testbed", {"attempt-1.diff": PATCHES["a"]})
        assert folder == "~/earlier-attempts"
        done = await sandbox.exec(f"git apply {folder}/attempt-1.diff && cat f.py && ls", timeout=60)
        assert done.text().split() == ["x", "=", "2", "f.py"]
    finally:
        await sandbox.close()
        await backend.close()
