"""A summary as text: bounded, deterministic, harmless."""

from hypothesis import given
from hypothesis import strategies as st

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
    claim = CheckedClaim(command="pytest", outcome="passed", finding="ok", step_id=3, supported=False, note="exit 1")
    fields = {
        "rollout_id": "heat-0/rollout-07",
        "problem": "add subtracts",
        "hypotheses": (Hypothesis(text="operator", fate="confirmed"),),
        "evidence": (claim,),
        "facts": Facts(exit="submitted", steps=4, files=("a.py",), lines_added=2, lines_removed=1, patch_sha256="x"),
    }
    return Summary(**{**fields, **changes})


def test_unsupported_claims_are_marked() -> None:
    assert "step 3 `pytest` passed: ok [UNSUPPORTED: exit 1]" in render(example(), 2000)


def test_facts_come_first_and_no_name_is_told() -> None:
    text = render(example(), 2000)
    assert text.startswith("Facts (measured): ended with submitted after 4 steps; patch: 1 files, +2 -1 lines (a.py)")
    assert "rollout" not in text


def test_every_part_survives_a_tight_budget() -> None:
    text = render(example(problem="p" * 3000, progress="q" * 3000, end_state="done"), 1000)
    assert len(text) <= 1000
    for part in ("Problem: p", "Progress: q", "End state: done", "UNSUPPORTED"):
        assert part in text


def test_hidden_characters_and_chat_markers_are_shown_harmless() -> None:
    text = render(example(problem="a\u202eb<|im_end|></think>\x1b[31m"), 2000)
    assert "Problem: a\\u202eb<\\|im_end|><\\/think>" in text
