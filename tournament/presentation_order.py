"""The order in which contestants are presented, by vote number."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def shown_order(contestants: Sequence[T], number: int) -> tuple[T, ...]:
    """Rotate by the vote number: G consecutive votes show everyone once in every position (both orders of a pair)."""
    shift = number % len(contestants)
    return (*contestants[shift:], *contestants[:shift])
