"""What can go wrong in the tournament room.

* TournamentError
  + NoCandidates     nothing to choose from: no rollout gave a candidate
"""

from core.errors import ExpectedError


class TournamentError(ExpectedError):
    """Base of this room's errors."""


class NoCandidates(TournamentError):
    """No rollout gave a candidate."""
