"""A half-open stretch of time in whole hours."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Interval:
    """From `start` up to, not including, `end`."""

    start: int
    end: int

    def __post_init__(self):
        if self.end < self.start:
            raise ValueError(f"interval ends before it starts: {self.start}-{self.end}")

    @property
    def length(self):
        return self.end - self.start

    def overlaps(self, other):
        return self.start < other.end and other.start < self.end
