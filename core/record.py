"""Base classes for value objects: frozen, with unknown fields rejected."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A value that is stored or passed between rooms."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Config(Record):
    """A configuration section."""
