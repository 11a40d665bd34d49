"""Errors of the summarizer room.

* SummarizerError
  + SummaryInvalid     no reply matched the summary schema, even after repair turns
"""

from core.errors import ExpectedError


class SummarizerError(ExpectedError):
    """Base class of this room's errors."""


class SummaryInvalid(SummarizerError):
    """No reply from the model matches the summary schema."""
