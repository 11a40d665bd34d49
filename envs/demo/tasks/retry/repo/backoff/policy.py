"""How often and how long."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Waits start at `first` seconds, grow by `factor`, and are never longer than `longest`."""

    attempts: int = 5
    first: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    deadline: float | None = None

    def __post_init__(self):
        if self.attempts < 1:
            raise ValueError("at least one attempt")
        if self.first < 0 or self.factor < 1:
            raise ValueError("waits must not shrink")
