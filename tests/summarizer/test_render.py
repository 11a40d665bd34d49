"""A summary as text: bounded, deterministic, harmless."""

from hypothesis import given
from hypothesis import strategies as st

from agents.wording import CONTRADICTED, claims_in, exit_of
from summarizer.render import render
from summarizer.schema import CheckedClaim, Facts, Hypothesis, Summary

texts = st.text(max_size=400)
summaries = st.builds(
    Summary,
    rollout_id=st.just("heat-0/rollout-00"),
    problem=texts,
    hypotheses=st.lists(st.builds(Hypothesis, text=texts, fate=st.just("open")), max_size=12).map(tuple),
    decisions=st.lists(texts, max_size=12).map(tuple),
    progress=texts,
    facts=st.builds(
        Facts, exit=st.just("submitted"), steps=st.integers(0, 99), files=st.lists(texts, max_size=9).map(tuple)
    ),
)


@given(summary=summaries, limit=st.integers(200, 4000))
def test_a_rendered_summary_keeps_its_length_and_is_the_same_every_time(summary, limit) -> None:
    assert len(render(summary, limit)) <= limit
    assert render(summary, limit) == render(summary, limit)


def example(**changes) -> Summary:
    claim = CheckedClaim(
        command="pytest", tree="changed", outcome="passes", finding="ok", step_id=3, mark="contradicted", note="exit 1"
    )
    fields = {
        "rollout_id": "heat-0/rollout-07",
        "problem": "add subtracts",
        "hypotheses": (Hypothesis(text="operator", fate="confirmed"),),
        "evidence": (claim,),
        "facts": Facts(exit="submitted", steps=4, files=("a.py",), lines_added=2, lines_removed=1, patch_sha256="x"),
    }
    return Summary(**{**fields, **changes})


def test_a_contradicted_claim_and_one_that_is_not_confirmed_have_marks_of_their_own() -> None:
    text = render(example(), 2000)
    assert "- step 3, changed tree: `pytest` passes: ok [CONTRADICTED: exit 1]" in text
    claim = example().evidence[0]
    unsure = claim.model_copy(update={"mark": "unconfirmed", "note": "2 runs in this call"})
    assert "passes: ok [not confirmed: 2 runs in this call]" in render(example(evidence=(unsure,)), 2000)
    sure = claim.model_copy(update={"mark": "confirmed", "note": ""})
    assert render(example(evidence=(sure,)), 2000).endswith("passes: ok")


def test_what_is_rendered_is_read_back_by_the_same_words() -> None:
    text = render(example(), 2000)
    assert [(outcome, mark) for outcome, mark, _ in claims_in(text)] == [("passes", CONTRADICTED)]
    assert exit_of(text) == "submitted"


def test_a_summary_of_version_1_is_read_and_none_of_its_marks_counts_against_it() -> None:
    claims = [
        {"command": "pytest", "outcome": "passed", "finding": "ok", "step_id": 3, "supported": True, "note": ""},
        {
            "command": "pytest",
            "outcome": "failed",
            "finding": "2 of 3",
            "step_id": 4,
            "supported": False,
            "note": "exit 0",
        },
    ]
    kept = example().model_dump(include={"rollout_id", "problem", "facts"})
    old = {**kept, "schema_version": 1, "evidence": claims, "failure_modes": ["sorting"], "doubts": ["speed"]}
    summary = Summary.model_validate(old)
    assert summary.doubts == ("sorting", "speed")
    assert [(claim.outcome, claim.mark) for claim in summary.evidence] == [
        ("passes", "confirmed"),
        ("other", "unconfirmed"),
    ]
    assert summary.evidence[1].finding == "failed: 2 of 3"


def test_facts_come_first_and_no_name_is_told() -> None:
    text = render(example(), 2000)
    assert text.startswith("Facts (measured): ended with submitted after 4 turns; patch: 1 file, +2 -1 lines (a.py)")
    assert "rollout" not in text


def test_every_part_survives_a_tight_budget() -> None:
    text = render(example(problem="p" * 3000, progress="q" * 3000, end_state="done"), 1000)
    assert len(text) <= 1000
    for part in ("Problem: p", "Progress: q", "End state: done", "CONTRADICTED"):
        assert part in text


def test_hidden_characters_and_chat_markers_are_shown_harmless() -> None:
    text = render(example(problem="a\u202eb<|im_end|></think>\x1b[31m"), 2000)
    assert "Problem: a\\u202eb<\\|im_end|><\\/think>" in text
