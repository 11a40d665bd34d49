"""Parsing and ordering, as semver.org says."""

import re
from functools import total_ordering

_PATTERN = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$")


def _compare_parts(left, right):
    """Compare two identifiers of a pre-release: numbers before words, numbers by value."""
    if left.isdigit() and right.isdigit():
        return (int(left) > int(right)) - (int(left) < int(right))
    if left.isdigit() != right.isdigit():
        return -1 if left.isdigit() else 1
    return (left > right) - (left < right)


@total_ordering
class Version:
    def __init__(self, text):
        found = _PATTERN.match(text)
        if not found:
            raise ValueError(f"not a version: {text!r}")
        self.text = text
        self.number = tuple(int(part) for part in found.groups()[:3])
        self.pre = tuple(found[4].split(".")) if found[4] else ()

    def compare(self, other):
        """Return -1, 0 or 1."""
        if self.number != other.number:
            return -1 if self.number < other.number else 1
        if not self.pre or not other.pre:
            if self.pre == other.pre:
                return 0
            return -1 if not self.pre else 1
        for left, right in zip(self.pre, other.pre):
            order = _compare_parts(left, right)
            if order:
                return order
        return (len(self.pre) > len(other.pre)) - (len(self.pre) < len(other.pre))

    def __eq__(self, other):
        return self.compare(other) == 0

    def __lt__(self, other):
        return self.compare(other) < 0

    def __hash__(self):
        return hash((self.number, self.pre))
