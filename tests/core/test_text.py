"""Truncating text and filling templates."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import TemplateFault, checked_template, cut, elide, fill, smaller


@given(text=st.text(max_size=3000), limit=st.integers(0, 2000))
def test_a_cut_text_keeps_to_its_limit_and_its_ends(text, limit) -> None:
    short = cut(text, limit)
    assert len(short) <= max(limit, 0)
    assert short == text if len(text) <= limit else text.startswith(short[: limit // 4 if limit > 200 else 0])


def test_a_cut_says_how_much_is_left_out() -> None:
    assert cut("a" * 1000 + "b" * 1000, 100) == "a" * 33 + "\n[... 1935 characters omitted ...]\n" + "b" * 32


def test_head_and_tail_may_be_of_any_size() -> None:
    assert elide("abc", 2, 1) == ("abc", 0)
    assert elide("abcdef", 2, 0) == ("ab\n[... 4 characters omitted ...]\n", 4)


def test_a_budget_shrinks_to_what_fits() -> None:
    assert smaller(1000, lambda budget: 100 + budget, 0.5, least=10) == 422
    assert smaller(1000, lambda budget: 100 + budget, None, least=10) == 500
    assert smaller(1000, lambda budget: 5000 + budget, 0.1, least=10) == 0


def test_values_of_templates_are_not_rendered() -> None:
    assert fill("say {{ x }}", x="{{ 7 * 7 }}{% for %}") == "say {{ 7 * 7 }}{% for %}"


@pytest.mark.parametrize("template", ["{{ missing }}", "{% if %}", "{{ x.__class__.__mro__ }}", "{{ x / 0 }}"])
def test_a_template_that_cannot_be_filled_says_so(template) -> None:
    with pytest.raises(TemplateFault):
        fill(template, x=1)


@pytest.mark.parametrize("template", ["{{ nobody }}", "{% if %}"])
def test_templates_are_checked_before_they_are_used(template) -> None:
    with pytest.raises(TemplateFault, match=r"unknown variables|broken template"):
        checked_template(template, {"somebody"})


def test_lines_of_block_tags_leave_no_line_behind() -> None:
    assert fill("a\n{% if x %}\nb\n{% endif %}\nc", x=True) == "a\nb\nc"
