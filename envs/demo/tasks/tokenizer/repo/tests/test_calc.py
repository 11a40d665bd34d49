import pytest

from calc.evaluate import FormulaError, evaluate
from calc.tokens import BadCharacter, tokenize


def test_numbers():
    assert evaluate("1 + 2 * 3") == 7


def test_brackets_and_signs():
    assert evaluate("-(1 + 2) * 2.5") == -7.5


def test_names():
    assert evaluate("1 + total", total=2) == 3


def test_kinds_of_tokens():
    assert [token.kind for token in tokenize("12*(3)")] == ["number", "sign", "sign", "number", "sign"]


def test_unknown_name():
    with pytest.raises(FormulaError):
        evaluate("nobody")


def test_bad_character():
    with pytest.raises(BadCharacter):
        tokenize("1 $ 2")


def test_unclosed():
    with pytest.raises(FormulaError):
        evaluate("(1 + 2")
