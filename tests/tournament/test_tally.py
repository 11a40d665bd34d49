"""Counting votes: stopping early never changes a winner."""

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tournament.base import Vote
from tournament.tally import Rules, decided, leader, needed, next_wave

names = ("a", "b", "c", "d")
at_leisure = hypothesis_settings(deadline=None)


@st.composite
def matches(draw: st.DrawFn) -> tuple[Rules, list[str | None]]:
    group = draw(st.integers(2, 4))
    votes = draw(st.integers(1, 12))
    contestants = draw(st.permutations(names[:group]))
    choices = draw(st.lists(st.sampled_from([*contestants, None]), min_size=votes, max_size=votes))
    before = {name: (draw(st.integers(0, 2)),) for name in contestants}
    grain = draw(st.sampled_from([0, 1, votes]))
    return Rules(tuple(contestants), tuple(contestants), votes, group, before, grain), choices


@at_leisure
@given(match=matches(), balanced=st.booleans())
def test_stopping_early_gives_the_winner_of_all_votes(match: tuple[Rules, list[str | None]], balanced: bool) -> None:
    rules, choices = match
    cast: list[str | None] = []
    while wave := next_wave(cast, rules, early_stop=True, balanced=balanced):
        cast += choices[len(cast) : len(cast) + wave]
    assert leader(cast, rules) == leader(choices, rules)
    if balanced:
        assert len(cast) % rules.block == 0 or len(cast) == rules.votes


@at_leisure
@given(match=matches(), balanced=st.booleans(), cut=st.integers(0, 12))
def test_a_resumed_match_casts_the_votes_of_an_uninterrupted_one(
    match: tuple[Rules, list[str | None]], balanced: bool, cut: int
) -> None:
    rules, choices = match

    def finish(cast: list[str | None]) -> list[str | None]:
        while wave := next_wave(cast, rules, early_stop=True, balanced=balanced):
            cast = cast + choices[len(cast) : len(cast) + wave]
        return cast

    whole = finish([])
    assert finish(whole[:cut]) == whole


@at_leisure
@given(match=matches())
def test_votes_beyond_the_decision_are_left_out(match: tuple[Rules, list[str | None]]) -> None:
    rules, choices = match
    votes = [Vote(order=rules.preference, labels=(), choice=choice) for choice in choices]
    kept = [vote.choice for vote in needed(votes, lambda cast: next_wave(cast, rules, early_stop=True, balanced=False))]
    assert kept == choices[: len(kept)]
    assert decided(kept, rules)
    assert not kept or not decided(kept[:-1], rules)


def test_four_of_eight_in_a_row_decide_a_pair() -> None:
    rules = Rules(("b", "a"), ("b", "a"), 8, 2)
    assert next_wave([], rules, early_stop=True, balanced=True) == 4
    assert decided(["a"] * 4, rules)


def test_a_tie_goes_to_who_reached_it_a_block_earlier() -> None:
    assert leader(["b", "b", "a", "a"], Rules(("a", "b"), ("a", "b"), 4, 2)) == "b"


def test_a_tie_goes_to_what_is_compared_before_the_order_of_the_votes() -> None:
    assert leader(["b", "b", "a", "a"], Rules(("a", "b"), ("a", "b"), 4, 2, {"a": (0,), "b": (1,)})) == "a"


def test_by_single_votes_half_of_them_decide_a_pair() -> None:
    rules = Rules(("a", "b"), ("a", "b"), 8, 2, grain=1)
    for count in range(4):
        cast = ["b", "a"] * count + ["b"] * (4 - count)
        assert decided(cast, rules) and not decided(cast[:-1], rules)


def test_a_tie_within_every_block_goes_to_the_preference() -> None:
    assert leader(["b", "a", "b", "a"], Rules(("a", "b"), ("a", "b"), 4, 2)) == "a"


def test_abstentions_count_for_nobody() -> None:
    assert leader([None, None, None, "b"], Rules(("a", "b"), ("a", "b"), 4, 2)) == "b"
    assert leader([None] * 4, Rules(("a", "b"), ("a", "b"), 4, 2)) == "a"


def test_a_match_without_any_vote_is_decided_by_lot() -> None:
    assert leader([None] * 4, Rules(("a", "b"), ("b", "a"), 4, 2)) == "b"
