"""Merging bookings and finding gaps between them."""

from rooms.interval import Interval


def merge(intervals):
    """Return the fewest intervals that cover the same time, in order."""
    merged = []
    for interval in sorted(intervals):
        if merged and interval.start < merged[-1].end:
            last = merged.pop()
            interval = Interval(last.start, max(last.end, interval.end))
        merged.append(interval)
    return merged


def gaps(intervals, opens, closes):
    """Return the free intervals between `opens` and `closes`."""
    free = []
    at = opens
    for busy in merge(intervals):
        if busy.start > at:
            free.append(Interval(at, min(busy.start, closes)))
        at = max(at, busy.end)
    if at < closes:
        free.append(Interval(at, closes))
    return free


def busy_hours(intervals):
    return sum(interval.length for interval in merge(intervals))
