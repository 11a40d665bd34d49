import pytest

from billing.money import Money
from billing.share import split, split_by_weight, total


def test_even_split():
    assert split(Money(900), 3) == [Money(300)] * 3


def test_one_cent_left_over():
    assert split(Money(10000), 3) == [Money(3334), Money(3333), Money(3333)]


def test_weights():
    assert split_by_weight(Money(1000), [1, 3]) == [Money(250), Money(750)]


def test_parse_and_show():
    assert str(Money.parse("1,234.565")) == "1234.57"
    assert str(Money(-5)) == "-0.05"


def test_total():
    assert total([Money(1), Money(2)]) == Money(3)


def test_nobody():
    with pytest.raises(ValueError):
        split(Money(1), 0)
