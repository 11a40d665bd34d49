"""Select the best of many rollouts: RTV and alternative selectors behind one interface."""

from tournament.config import TournamentConfig
from tournament.registry import SELECTORS, open_selector

__all__ = ["SELECTORS", "TournamentConfig", "open_selector"]
