"""The base of all errors that heats raises on purpose.

* ExpectedError
  + UnknownPart     no part of that name can be loaded
    - ExtraMissing  a library that comes with an extra is not installed
  + InvalidOptions  a part's own options do not fit it

Each room draws its own tree below `ExpectedError` in its `errors.py`.
"""


class ExpectedError(Exception):
    """A failure that was foreseen: its message is one line for a person and says what to do."""


class UnknownPart(ExpectedError):
    """A part that is named in the configuration cannot be found or loaded."""


class ExtraMissing(UnknownPart):
    """A library that comes with one of heats' extras is not installed; the message says which extra."""


class InvalidOptions(ExpectedError):
    """The options of a part do not fit what the part declares."""
