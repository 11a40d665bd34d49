"""Selecting the best of many attempts: RTV and its rivals behind one interface."""

from tournament.config import TournamentConfig
from tournament.registry import SELECTORS, open_selector

__all__ = ["SELECTORS", "TournamentConfig", "open_selector"]
