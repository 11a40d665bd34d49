"""Ids that several rooms build and take apart."""

import re
from dataclasses import dataclass
from typing import Self

_ROLLOUT = re.compile(r"heat-(\d+)/rollout-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class RolloutId:
    """One rollout of one heat. On disk, in events and in records it is the text `heat-0/rollout-03`."""

    heat: int
    index: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `heat-0/rollout-03`.

        Raises:
            ValueError: the text is not a rollout's id.
        """
        found = _ROLLOUT.fullmatch(text)
        if found is None:
            raise ValueError(f"not a rollout id: {text!r} (they look like heat-0/rollout-03)")
        return cls(int(found[1]), int(found[2]))

    @staticmethod
    def matches(text: str) -> bool:
        """Whether the text is a rollout's id."""
        return _ROLLOUT.fullmatch(text) is not None

    @property
    def short(self) -> str:
        """`0/03`, for displays with little room."""
        return f"{self.heat}/{self.index:02d}"

    def __str__(self) -> str:
        return f"{heat_name(self.heat)}/rollout-{self.index:02d}"


def heat_name(heat: int) -> str:
    """The folder of a heat: `heat-0`."""
    return f"heat-{heat}"
