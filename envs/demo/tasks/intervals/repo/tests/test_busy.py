from rooms.busy import busy_hours, gaps, merge
from rooms.interval import Interval


def test_overlapping_intervals_are_merged():
    assert merge([Interval(9, 11), Interval(10, 12)]) == [Interval(9, 12)]


def test_contained_interval_disappears():
    assert merge([Interval(9, 17), Interval(10, 11)]) == [Interval(9, 17)]


def test_touching_intervals_are_merged():
    assert merge([Interval(9, 10), Interval(10, 11)]) == [Interval(9, 11)]


def test_gap_stays():
    assert merge([Interval(9, 10), Interval(13, 14)]) == [Interval(9, 10), Interval(13, 14)]


def test_gaps_of_a_day():
    assert gaps([Interval(10, 12)], 8, 18) == [Interval(8, 10), Interval(12, 18)]


def test_busy_hours():
    assert busy_hours([Interval(9, 11), Interval(10, 12)]) == 3
