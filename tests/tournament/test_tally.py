"""Counting votes: stopping early never changes a winner, and never counts one order more often than another."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tournament.base import Vote
from tournament.tally import Rules, decided, evenly_read, leader, needed, next_wave, weighed, whole_blocks

names = ("a", "b", "c", "d")
at_leisure = hypothesis_settings(deadline=None)


@st.composite
def matches(draw: st.DrawFn) -> tuple[Rules, list[str | None]]:
    group = draw(st.integers(2, 4))
    votes = whole_blocks(draw(st.integers(1, 12)), group)
    contestants = draw(st.permutations(names[:group]))
    choices = draw(st.lists(st.sampled_from([*contestants, None]), min_size=votes, max_size=votes))
    before = {name: (draw(st.integers(0, 2)),) for name in contestants}
    return Rules(tuple(contestants), tuple(contestants), votes, group, before, draw(st.booleans())), choices


def cast(rules: Rules, choices: list[str | None], start: list[str | None]) -> list[str | None]:
    """The votes of a match that resumes from `start`."""
    done = list(start)
    while wave := next_wave(done, rules, early_stop=True):
        done += choices[len(done) : len(done) + wave]
    return done


@at_leisure
@given(match=matches())
def test_stopping_early_gives_the_winner_of_all_votes(match: tuple[Rules, list[str | None]]) -> None:
    rules, choices = match
    assert leader(cast(rules, choices, []), rules) == leader(choices, rules)


@at_leisure
@given(match=matches())
def test_no_match_stops_early_before_every_order_was_read_as_often(match: tuple[Rules, list[str | None]]) -> None:
    """V=8 stopped at 4:0 of one order although the other order's votes could not be read, and V=2 after one vote."""
    rules, choices = match
    done = cast(rules, choices, [])
    assert len(done) == rules.votes or evenly_read(done, rules.block)


def test_a_match_cut_within_a_block_with_an_abstention_stops_where_the_whole_one_does() -> None:
    rules, choices = Rules(("a", "b"), ("a", "b"), 12, 2), [None, *["a"] * 6, None, *["a"] * 4]
    assert cast(rules, choices, choices[:1]) == cast(rules, choices, []) == choices[:8]


@at_leisure
@given(match=matches(), cut=st.integers(0, 12))
def test_a_resumed_match_casts_the_votes_of_an_uninterrupted_one(
    match: tuple[Rules, list[str | None]], cut: int
) -> None:
    rules, choices = match
    whole = cast(rules, choices, [])
    assert cast(rules, choices, whole[:cut]) == whole


@at_leisure
@given(match=matches())
def test_votes_beyond_the_decision_are_left_out(match: tuple[Rules, list[str | None]]) -> None:
    rules, choices = match
    votes = [Vote(order=rules.preference, labels=(), choice=choice) for choice in choices]
    kept = [vote.choice for vote in needed(votes, lambda cast: next_wave(cast, rules, early_stop=True))]
    assert kept == choices[: len(kept)]
    assert decided(kept, rules)
    assert not any(decided(kept[:size], rules) for size in range(len(kept)))


@pytest.mark.parametrize(("votes", "group", "cast"), [(1, 2, 2), (2, 2, 2), (3, 2, 4), (8, 3, 9), (8, 2, 8)])
def test_votes_are_raised_until_every_order_is_shown_as_often(votes: int, group: int, cast: int) -> None:
    assert whole_blocks(votes, group) == cast


def test_four_of_eight_in_a_row_decide_a_pair_where_ties_look_at_blocks() -> None:
    rules = Rules(("b", "a"), ("b", "a"), 8, 2, by_block=True)
    assert next_wave([], rules, early_stop=True) == 4
    assert decided(["a"] * 4, rules)


def test_four_of_eight_in_a_row_decide_a_pair_only_for_who_wins_ties_by_chance() -> None:
    rules = Rules(("b", "a"), ("b", "a"), 8, 2)
    assert decided(["b"] * 4, rules) and not decided(["a"] * 4, rules)


def test_four_votes_of_one_order_decide_nothing_yet() -> None:
    rules = Rules(("a", "b"), ("a", "b"), 8, 2, by_block=True)
    assert not decided(["a", None] * 3, rules) and next_wave(["a", None] * 3, rules, early_stop=True) == 2


def test_a_tie_goes_to_who_reached_it_a_block_earlier_where_that_is_asked_for() -> None:
    assert leader(["b", "b", "a", "a"], Rules(("a", "b"), ("a", "b"), 4, 2, by_block=True)) == "b"
    assert leader(["b", "b", "a", "a"], Rules(("a", "b"), ("a", "b"), 4, 2)) == "a"


def test_a_tie_goes_to_what_is_compared_before_the_order_of_the_votes() -> None:
    before = {"a": (0,), "b": (1,)}
    assert leader(["b", "b", "a", "a"], Rules(("a", "b"), ("a", "b"), 4, 2, before, by_block=True)) == "a"


def test_a_tie_within_every_block_goes_to_the_preference() -> None:
    assert leader(["b", "a", "b", "a"], Rules(("a", "b"), ("a", "b"), 4, 2, by_block=True)) == "a"


def test_abstentions_count_for_nobody() -> None:
    assert leader([None, None, None, "b"], Rules(("a", "b"), ("a", "b"), 4, 2)) == "b"
    assert leader([None] * 4, Rules(("a", "b"), ("a", "b"), 4, 2)) == "a"


def test_a_match_without_any_vote_is_decided_by_chance() -> None:
    assert leader([None] * 4, Rules(("a", "b"), ("b", "a"), 4, 2)) == "b"


def vote(order: str, *shares: float) -> Vote:
    return Vote(order=tuple(order), labels=(), choice=order[0], shares=shares)


def test_a_preference_for_the_first_place_cancels_out_of_probabilities() -> None:
    """Both are equally good; whoever is shown first gets 9 to 1, or with a real lead of 2 to 1, 18 to 1 and 9 to 2."""
    even = weighed([vote("ab", 0.9, 0.1), vote("ba", 0.9, 0.1)], 2)
    ahead = weighed([vote("ab", 18 / 19, 1 / 19), vote("ba", 9 / 11, 2 / 11)], 2)
    assert even == pytest.approx({"a": 0.5, "b": 0.5}) and ahead == pytest.approx({"a": 2 / 3, "b": 1 / 3})


def test_probabilities_of_one_order_alone_decide_nothing() -> None:
    assert weighed([vote("ab", 0.9, 0.1)], 2) is None
    assert weighed([vote("ab", 0.9, 0.1), vote("ab", 0.8, 0.2)], 2) is None
    assert weighed([vote("ab", 0.9, 0.1), vote("ba")], 2) is None


def test_a_certain_model_does_not_drown_the_other_order() -> None:
    found = weighed([vote("ab", 1.0, 0.0), vote("ba", 1.0, 0.0)], 2)
    assert found == pytest.approx({"a": 0.5, "b": 0.5})
