"""Sanitising and cutting."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from summarizer.text import cut, fill, sanitise


@given(text=st.text(alphabet=st.characters() | st.sampled_from("<|>/sthink[]INT\x1b")))
def test_sanitising_twice_is_sanitising_once(text) -> None:
    assert sanitise(sanitise(text)) == sanitise(text)


@given(text=st.text())
def test_no_hidden_character_is_left(text) -> None:
    left = {unicodedata.category(char) for char in sanitise(text) if char not in "\n\t"}
    assert not left & {"Cc", "Cf", "Cs", "Co"}


@pytest.mark.parametrize(
    "text",
    ["if a < b and c > d:", "x = [1, 2]", "a | b", "<div id='x'>", "Grüße 你好 😀", "vector<int> v;", "\tx\n"],
)
def test_ordinary_text_stays_as_it_is(text) -> None:
    assert sanitise(text) == text


@given(text=st.text(max_size=3000), limit=st.integers(0, 2000))
def test_a_cut_text_keeps_to_its_limit_and_its_ends(text, limit) -> None:
    short = cut(text, limit)
    assert len(short) <= max(limit, 0)
    assert short == text if len(text) <= limit else text.startswith(short[: limit // 4 if limit > 200 else 0])


def test_a_cut_says_how_much_is_left_out() -> None:
    assert cut("a" * 1000 + "b" * 1000, 100) == "a" * 37 + "\n[1927 characters omitted]\n" + "b" * 36


def test_values_of_templates_are_not_rendered() -> None:
    assert fill("say {{ x }}", x="{{ 7 * 7 }}{% for %}") == "say {{ 7 * 7 }}{% for %}"


def test_unknown_names_in_templates_are_errors() -> None:
    with pytest.raises(UndefinedError):
        fill("{{ missing }}")
