from datetime import date

import pytest

from calendars.leave import LeaveAccount, in_year
from calendars.period import Period

JANUARY = Period(date(2024, 1, 1), date(2024, 1, 31))


def test_length_counts_both_ends():
    assert len(JANUARY) == 31


def test_both_ends_are_inside():
    assert date(2024, 1, 1) in JANUARY
    assert date(2024, 1, 31) in JANUARY
    assert date(2024, 2, 1) not in JANUARY


def test_overlap():
    assert JANUARY.overlap(Period(date(2024, 1, 31), date(2024, 3, 1))) == Period(date(2024, 1, 31), date(2024, 1, 31))
    assert JANUARY.overlap(Period(date(2024, 2, 1), date(2024, 3, 1))) is None


def test_only_the_part_in_the_year():
    assert in_year(Period(date(2023, 12, 30), date(2024, 1, 2)), 2024) == Period(date(2024, 1, 1), date(2024, 1, 2))


def test_too_much_leave():
    with pytest.raises(ValueError):
        LeaveAccount(2024, 3).book(JANUARY)
