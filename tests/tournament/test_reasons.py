"""What the votes say about each candidate, in terms that readers can resolve."""

import pytest

from tournament.base import Bracket, Match, Vote
from tournament.reasons import resolved, results, tally

A, B, C, D = (f"heat-0/rollout-0{index}" for index in range(4))


def vote(reason: str, choice: str | None = A, order=(A, B), labels=("G8H", "K2M"), shares=()) -> Vote:
    return Vote(order=order, labels=labels, choice=choice, reason=reason, shares=shares)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("G8H covers both cases, K2M does not.", f"{A} covers both cases, {B} does not."),
        ("Candidate `K2M` breaks (g8h's) default", f"Candidate `{B}` breaks ({A}'s) default"),
        ("Candidate 2 repeats candidate 1", f"Candidate {B} repeats candidate {A}"),
        ("Attempt #2 is shorter; Option A is right", f"Attempt #{B} is shorter; Option {A} is right"),
        ("The second candidate is wrong", f"{B} is wrong"),
        ("its third candidate for a fix; attempt 7", "its third candidate for a fix; attempt 7"),
        ("XG8H, G8HX and step 2 are nobody", "XG8H, G8HX and step 2 are nobody"),
        ("an option a user sets", "an option a user sets"),
    ],
)
def test_labels_and_places_become_names(said, told) -> None:
    assert resolved(vote(said)) == told


def test_names_are_as_the_reader_knows_them() -> None:
    assert resolved(vote("G8H beats K2M"), {A: "attempt 1", B: "attempt 3"}.__getitem__) == "attempt 1 beats attempt 3"


def bracket() -> Bracket:
    first = Match(
        id="r0-m0",
        contestants=(A, B),
        votes=(vote("G8H is right"), vote("K2M it is", B, (B, A), ("K2M", "G8H")), vote("", None)),
        winner=A,
        decided_by="tie-break",
    )
    bye = Match(id="r0-m1", contestants=(C,), winner=C, decided_by="bye")
    unheard = Match(id="r1-m0", contestants=(A, C), votes=(vote("400", None, (A, C)),), winner=C, decided_by="unheard")
    return Bracket(
        selector="rtv",
        seed=0,
        group_size=2,
        votes_per_match=8,
        rounds=((first, bye), (unheard,)),
        merged={B: (D,)},
        ranking=(C, A, B, D),
        selected=(C,),
    )


def test_every_candidate_has_its_matches_with_votes_and_reasons() -> None:
    found = results(bracket())
    (lost,) = found[B]
    assert (lost.won, lost.rivals, lost.votes, lost.of) == (False, (A,), 1, 2)
    assert [(one.choice, one.text) for one in lost.reasons] == [(A, f"{A} is right"), (B, f"{B} it is")]
    assert [one.match for one in found[A]] == ["r0-m0", "r1-m0"]


def test_a_copy_that_did_not_play_has_the_results_of_the_one_that_did() -> None:
    found = results(bracket())
    assert found[D] == found[B]


def test_a_bye_is_no_result_and_a_match_that_nobody_read_is_neither_won_nor_lost() -> None:
    assert [(one.won, one.decided_by) for one in results(bracket())[C]] == [(None, "unheard")]


def test_probabilities_are_summed_over_the_orders() -> None:
    votes = (vote("", A, (A, B), shares=(0.7, 0.3)), vote("", B, (B, A), shares=(0.6, 0.4)))
    match = Match(id="r0-m0", contestants=(A, B), votes=votes, winner=A, decided_by="votes")
    assert tally(match) == pytest.approx({A: 1.1, B: 0.9})


def test_votes_are_counted_where_an_order_has_no_probabilities() -> None:
    votes = (vote("", A, (A, B), shares=(0.7, 0.3)), vote("", B, (B, A)))
    match = Match(id="r0-m0", contestants=(A, B), votes=votes, winner=A, decided_by="tie-break")
    assert tally(match) == {A: 1.0, B: 1.0}
