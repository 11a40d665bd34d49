"""What can go wrong in the tournament room.

* TournamentError
  + NoCandidates     nothing to choose from: no rollout gave a candidate
  + UnknownSelector  the configuration names a selector that does not exist
"""


class TournamentError(Exception):
    """Base of this room's errors."""


class NoCandidates(TournamentError):
    """No rollout gave a candidate."""


class UnknownSelector(TournamentError):
    """The configuration names a selector that does not exist or cannot be loaded."""
