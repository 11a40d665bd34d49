"""A period: from one day to another, both included."""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Period:
    start: date
    end: date

    def __post_init__(self):
        if self.end < self.start:
            raise ValueError("a period cannot end before it starts")

    def __len__(self):
        return (self.end - self.start).days

    def __contains__(self, day):
        return self.start <= day <= self.end

    def days(self):
        """Every day of the period."""
        return [self.start + timedelta(days=offset) for offset in range(len(self))]

    def overlap(self, other):
        """The days in both periods; None when there are none."""
        start = max(self.start, other.start)
        end = min(self.end, other.end)
        return Period(start, end) if start <= end else None
