import pytest

from billing.money import Money
from billing.share import split, split_by_weight, total


@pytest.mark.parametrize("people", range(1, 9))
@pytest.mark.parametrize("cents", [1, 7, 100, 101, 999, 10000])
def test_shares_add_up(cents, people):
    shares = split(Money(cents), people)
    assert len(shares) == people
    assert total(shares) == Money(cents)
    assert shares == sorted(shares, reverse=True)
    assert max(shares).cents - min(shares).cents <= 1


def test_weights_add_up():
    assert total(split_by_weight(Money(1001), [3, 3, 1])) == Money(1001)
