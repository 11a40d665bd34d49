"""What rules share that play attempts in slices and decide after each which to continue.

A rollout that used up its slice is a node of a tree. Rollouts of the next heat branch off at its end; one that ended by
itself is a leaf, which is not continued and stays a candidate.
"""

import math
import random
from collections.abc import Mapping, Sequence

from pydantic import Field

from core.record import Config
from heats.context_rules.base import Before, Choice, Earlier


class SliceOptions(Config):
    """Settings of all rules that play slices.

    Attributes:
        turns: model turns in each heat but the last, whose rollouts get what `agent.step_limit` leaves.
    """

    turns: int = Field(8, ge=1)


class InSlices:
    """Base of these rules. All rollouts of a later heat continue something, the fresh ones too."""

    branches = True
    tells_fresh = True
    options: SliceOptions

    @property
    def slice_turns(self) -> int:
        """See `ContextRule`."""
        return self.options.turns


def paused(attempts: Mapping[str, Earlier]) -> dict[str, Earlier]:
    """The attempts that can be continued, in a fixed order."""
    return {name: one for name, one in sorted(attempts.items()) if one.paused and one.turns}


def extended(before: Before, name: str) -> Choice:
    """Continue an attempt from its end; one that cannot be repeated starts over and reads its record."""
    known = before.attempts.get(name) or before.older[name]
    return Choice(parents=(name,), start=name, turns=len(known.turns))


def nothing_left(before: Before) -> Choice:
    """The choice of a rule if every attempt has ended: as `select-k`."""
    return Choice() if before.fresh else Choice(parents=tuple(before.kept))


def softmax(values: Sequence[float], temperature: float) -> list[float]:
    """Weights that sum to 1; at temperature 0, the best share everything."""
    best = max(values)
    if temperature <= 0:
        raw = [float(value == best) for value in values]
    else:
        raw = [math.exp((value - best) / temperature) for value in values]
    return [one / sum(raw) for one in raw]


def resampled(weights: Sequence[float], count: int, seed: int) -> list[int]:
    """Draw `count` places with replacement, each about as often as its weight says (systematic resampling).

    Args:
        weights: sum to 1.
        count: number of places to draw.
        seed: seed of the draw.

    Returns:
        The drawn places, ascending.
    """
    start, drawn, place, reached = random.Random(seed).random(), [], 0, weights[0]
    for number in range(count):
        while reached < (number + start) / count and place < len(weights) - 1:
            place += 1
            reached += weights[place]
        drawn.append(place)
    return drawn


def path_of(name: str, nodes: Mapping[str, Earlier]) -> dict[str, int]:
    """The rollouts whose turns lead to a node, itself first, and how many turns each contributes.

    Args:
        name: the node.
        nodes: the attempts of all heats, by id.
    """
    path: dict[str, int] = {}
    while name in nodes and name not in path:
        one = nodes[name]
        path[name] = len(one.turns) - one.copied
        name = one.parents[0] if one.copied and one.parents else ""
    return path
