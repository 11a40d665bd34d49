import pytest

from rooms.busy import busy_hours, gaps, merge
from rooms.interval import Interval


def test_nothing():
    assert merge([]) == []
    assert gaps([], 8, 18) == [Interval(8, 18)]


def test_one_hour_gap_stays():
    assert merge([Interval(9, 10), Interval(11, 12)]) == [Interval(9, 10), Interval(11, 12)]


def test_chain_in_any_order():
    assert merge([Interval(11, 12), Interval(9, 10), Interval(10, 11)]) == [Interval(9, 12)]


@pytest.mark.parametrize("step", [2, 3])
def test_separate_hours_are_kept(step):
    hours = [Interval(at, at + 1) for at in range(0, 12, step)]
    assert merge(hours) == hours
    assert busy_hours(hours) == len(hours)
