"""Base class of all errors that heats raises deliberately.

* ExpectedError
  + UnknownPart     no part of that name can be loaded
    - ExtraMissing  a library from an optional extra is not installed
  + InvalidOptions  a part's options are invalid

Each room documents its own subtree of `ExpectedError` in its `errors.py`.
"""

from pydantic import ValidationError


class ExpectedError(Exception):
    """An anticipated failure. The message is one line that tells the user what to do."""


class UnknownPart(ExpectedError):
    """A part named in the configuration cannot be found or loaded."""


class ExtraMissing(UnknownPart):
    """A library from one of heats' optional extras is not installed; the message names the extra."""


class InvalidOptions(ExpectedError):
    """A part's options do not match its `Options` model."""


def first_problem(error: ValidationError) -> str:
    """Format pydantic's first validation error as `field: problem`, for a message."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
