from datetime import date

import pytest

from calendars.leave import LeaveAccount, working_days
from calendars.period import Period


@pytest.mark.parametrize(("end", "days"), [(1, 1), (2, 2), (15, 15), (29, 29)])
def test_lengths_in_february(end, days):
    period = Period(date(2024, 2, 1), date(2024, 2, end))
    assert len(period) == days
    assert period.days()[-1] == date(2024, 2, end)


def test_working_days_include_friday():
    week = Period(date(2024, 1, 1), date(2024, 1, 5))
    assert working_days(week) == 5
    assert working_days(week, holidays=[date(2024, 1, 1)]) == 4


def test_one_day_of_leave():
    account = LeaveAccount(2024, 10)
    assert account.book(Period(date(2024, 1, 3), date(2024, 1, 3))) == 1
    assert account.left == 9
