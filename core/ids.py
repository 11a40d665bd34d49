"""Identifiers that several rooms build and parse."""

import re
from dataclasses import dataclass
from typing import Self

_ROLLOUT = re.compile(r"heat-(\d+)/rollout-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class RolloutId:
    """Identifies a rollout within a run; written `heat-0/rollout-03` on disk, in events and in records."""

    heat: int
    index: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `heat-0/rollout-03`.

        Raises:
            ValueError: the text is not a rollout ID.
        """
        found = _ROLLOUT.fullmatch(text)
        if found is None:
            raise ValueError(f"not a rollout id: {text!r} (they look like heat-0/rollout-03)")
        return cls(int(found[1]), int(found[2]))

    @staticmethod
    def matches(text: str) -> bool:
        """Return whether the text is a rollout ID."""
        return _ROLLOUT.fullmatch(text) is not None

    @property
    def short(self) -> str:
        """Short form for narrow displays, such as `0/03`."""
        return f"{self.heat}/{self.index:02d}"

    def __str__(self) -> str:
        return f"{heat_name(self.heat)}/rollout-{self.index:02d}"


def heat_name(heat: int) -> str:
    """Folder name of a heat, such as `heat-0`."""
    return f"heat-{heat}"
