import pytest

from layout.table import columns, render
from layout.wrap import fill, wrap


def test_short_text_is_one_line():
    assert wrap("one two", 20) == ["one two"]


def test_words_that_do_not_fit_move_on():
    assert wrap("aaaaa bbbbb", 10) == ["aaaaa", "bbbbb"]


def test_words_that_fit_exactly_stay():
    assert wrap("aaaa bbbbb", 10) == ["aaaa bbbbb"]


def test_paragraphs():
    assert fill("a b\n\nc", 10, "> ") == "> a b\n\n> c"


def test_table():
    rows = [("name", "size"), ("x", 12)]
    assert columns(rows) == [4, 4]
    assert render(rows) == "name  size\nx     12"


def test_bad_width():
    with pytest.raises(ValueError):
        wrap("a", 0)
