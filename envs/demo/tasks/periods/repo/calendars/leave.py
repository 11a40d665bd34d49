"""Counting days of leave."""

from calendars.period import Period

SATURDAY = 5


def working_days(period, holidays=()):
    """Days from Monday to Friday that are no holidays."""
    return sum(1 for day in period.days() if day.weekday() < SATURDAY and day not in holidays)


def in_year(period, year):
    """The part of a period that lies in a year; None when there is none."""
    first = period.start.replace(year=year, month=1, day=1)
    last = period.start.replace(year=year, month=12, day=31)
    return period.overlap(Period(first, last))


class LeaveAccount:
    """Days of leave of one person in one year."""

    def __init__(self, year, allowance):
        self.year = year
        self.allowance = allowance
        self.taken = []

    def book(self, period, holidays=()):
        part = in_year(period, self.year)
        needed = working_days(part, holidays) if part else 0
        if needed > self.left:
            raise ValueError(f"{needed} days asked for, {self.left} left")
        self.taken.append(needed)
        return needed

    @property
    def left(self):
        return self.allowance - sum(self.taken)
