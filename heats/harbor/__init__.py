"""heats inside Harbor: `harbor run -a heats.harbor:HeatsAgent`."""

from heats.harbor.agent import HeatsAgent

__all__ = ["HeatsAgent"]
