"""Errors of the tournament room.

* TournamentError
  + NoCandidates     nothing to choose from, as no rollout produced a candidate
"""

from core.errors import ExpectedError


class TournamentError(ExpectedError):
    """Base class of this room's errors."""


class NoCandidates(TournamentError):
    """No rollout produced a candidate."""
