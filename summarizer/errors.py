"""What can go wrong in the summarizer room.

* SummarizerError
  + SummaryInvalid     the model gave no summary that fits the schema, after its repair turn
"""

from core.errors import ExpectedError


class SummarizerError(ExpectedError):
    """Base of this room's errors."""


class SummaryInvalid(SummarizerError):
    """No reply of the model fits the summary schema."""
