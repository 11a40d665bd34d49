import pytest

from numerals.convert import from_roman, is_proper, to_roman
from numerals.outline import number_headings


@pytest.mark.parametrize(("number", "text"), [(1, "I"), (4, "IV"), (9, "IX"), (14, "XIV"), (40, "XL"), (1990, "MCMXC")])
def test_writing(number, text):
    assert to_roman(number) == text


@pytest.mark.parametrize(("number", "text"), [(9, "IX"), (1987, "MCMLXXXVII"), (4, "IIII")])
def test_reading(number, text):
    assert from_roman(text) == number


def test_limits():
    with pytest.raises(ValueError):
        to_roman(4000)
    with pytest.raises(ValueError):
        to_roman(0)


def test_proper():
    assert is_proper("XIV")
    assert not is_proper("IIII")


def test_headings():
    assert number_headings(["a", "b"]) == ["I. a", "II. b"]
