"""Base classes for values: frozen, and closed against misspelt fields."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A value that is stored or handed from room to room."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Config(Record):
    """A section of the configuration."""
