"""The order in which contestants are shown, by vote number."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def shown_order(contestants: Sequence[T], number: int) -> tuple[T, ...]:
    """Rotate by the vote's number: G votes in a row show everyone once in every place (both orders of a pair)."""
    shift = number % len(contestants)
    return (*contestants[shift:], *contestants[:shift])
