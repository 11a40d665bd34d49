import pytest

from calc.evaluate import evaluate
from calc.tokens import tokenize


@pytest.mark.parametrize("name", ["x", "ab", "long_name", "_private", "n1", "a_1_b"])
def test_names_are_whole(name):
    assert [token.text for token in tokenize(f"{name}+1")] == [name, "+", "1"]
    assert evaluate(f"({name})", **{name: 4}) == 4


def test_positions():
    assert [token.at for token in tokenize("ab + cd")] == [0, 3, 5]


def test_two_names():
    assert evaluate("a * b - a", a=3, b=4) == 9
