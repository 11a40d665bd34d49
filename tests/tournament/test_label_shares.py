"""Probabilities of labels, regardless of the tokenizer."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agents.llm.base import TokenLogprob
from tournament.label_shares import label_shares

LABELS = ("K7Q", "B4T")


def token(text: str, share: float = 1.0, **others: float) -> TokenLogprob:
    top = {text: share, **others}
    return TokenLogprob(
        token=text, logprob=math.log(share), top=tuple((one, math.log(value)) for one, value in top.items())
    )


def plain(*texts: str) -> list[TokenLogprob]:
    return [token(text) for text in texts]


def shares(tokens, labels=LABELS):
    found = label_shares(tokens, labels)
    return None if found is None else pytest.approx(found.shares, abs=1e-6)


HEAD, TAIL = plain('{"', "choice", '":', ' "'), plain('",', ' "reason', '": "', "so", '"}')


def test_one_token_tells_the_labels_apart() -> None:
    assert shares([*HEAD, token("K", 0.6, B=0.2), *plain("7Q"), *TAIL]) == (0.75, 0.25)


def test_the_opening_quote_and_the_closing_one_may_be_part_of_a_token() -> None:
    merged = TokenLogprob(
        token=' "K7Q",', logprob=math.log(0.6), top=((' "K7Q",', math.log(0.6)), (' "B4', math.log(0.2)), (" ", -3.0))
    )
    assert shares([*plain('{"choice":'), merged, *plain(' "reason": "so"}')]) == (0.75, 0.25)


def test_several_tokens_of_a_label_add_up() -> None:
    assert shares([*HEAD, token("K", 0.3, K7=0.3, B=0.2, Zz=0.1), *plain("7Q"), *TAIL]) == (0.75, 0.25)


def test_labels_that_begin_alike_are_told_apart_where_they_part() -> None:
    """K7Q and K7B share two tokens; B4T differs in the first."""
    tokens = [*HEAD, token("K", 0.8, B=0.2), token("7", 1.0), token("B", 0.25, Q=0.75), *TAIL]
    assert shares(tokens, ("K7Q", "K7B", "B4T")) == (0.6, 0.2, 0.2)


def test_a_label_that_begins_with_another_one_ends_with_its_quote() -> None:
    end = TokenLogprob(token='"', logprob=math.log(0.9), top=(('"', math.log(0.9)), ("X", math.log(0.1))))
    assert shares([*HEAD, *plain("K7Q"), end], ("K7Q", "K7QX")) == (0.9, 0.1)


def test_a_label_that_is_not_listed_gets_no_more_than_the_least_that_is() -> None:
    assert shares([*HEAD, token("K", 0.5, x=0.3, y=0.1), *plain("7Q"), *TAIL]) == (5 / 6, 1 / 6)
    assert shares([*HEAD, token("K", 0.9, x=0.095), *plain("7Q"), *TAIL]) == (0.9 / 0.905, 0.005 / 0.905)


def test_the_last_choice_counts_after_a_draft() -> None:
    draft = plain("<think>", '{"choice": "', "B4T", '"}', "</think>")
    found = label_shares([*draft, *HEAD, token("K", 0.6, B=0.2), *plain("7Q"), *TAIL], LABELS)
    assert found.shares == pytest.approx((0.75, 0.25)) and found.preceded_by > 40


def test_a_choice_quoted_in_the_reason_is_no_choice() -> None:
    said = plain('", "reason": "it says ', '\\"choice\\": \\"', "B4T", '\\""}')
    assert shares([*HEAD, token("K", 0.6, B=0.2), *plain("7Q"), *said]) == (0.75, 0.25)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        plain("I choose K7Q"),
        HEAD,
        [*HEAD, *plain("XYZ"), *TAIL],
        [*HEAD, TokenLogprob(token="K7Q", logprob=-0.1), *TAIL],
        [*HEAD, token("K", 0.6, B=0.2)],
    ],
)
def test_what_holds_no_choice_with_alternatives_says_nothing(tokens) -> None:
    found = label_shares(tokens, LABELS)
    assert found is None or found.shares == pytest.approx((0.75, 0.25))


@hypothesis_settings(deadline=None)
@given(
    cuts=st.lists(st.integers(1, 40), max_size=6),
    share=st.floats(0.01, 0.99),
    labels=st.permutations(["K7Q", "B4T", "Z2X"]),
)
def test_however_a_reply_is_cut_the_shares_are_the_same(cuts, share, labels) -> None:
    """The first token that contains part of the label has the alternatives, after the same text."""
    chosen, *others = labels
    text = f'{{"choice": "{chosen}", "reason": "so"}}'
    places = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    start, tokens, told = text.index(chosen), [], False
    for first, end in pairwise(places):
        part = text[first:end]
        if end > start and not told:
            told = True
            head = part[: max(start - first, 0)]
            left = {head + other[: max(end - start, 1)]: (1 - share) / 2 for other in others}
            tokens.append(token(part, share, **left))
        else:
            tokens.append(token(part))
    found = label_shares(tokens, labels)
    assert found.shares == pytest.approx((share, (1 - share) / 2, (1 - share) / 2))
