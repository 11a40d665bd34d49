"""Context rules that keep several lines of attempts apart: evolution by rank, and islands."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from core.ids import RolloutId
from core.record import Config
from heats.context_rules.base import Before, Choice


class Evolve:
    """Each rollout changes a parent of its own, drawn by rank, with up to K - 1 others as inspiration.

    Nobody becomes a parent a second time before all others were drawn. Sources: EvoScale, arXiv:2505.23604; parents by
    a power law over ranks as in ShinkaEvolve, arXiv:2509.19349.
    """

    class Options(Config):
        """Settings.

        Attributes:
            start: `patch` applies the parent's change before the first turn; `text` only shows it.
            power: exponent of the power law over ranks; 0 draws parents evenly.
        """

        start: Literal["patch", "text"] = "patch"
        power: float = Field(1.0, ge=0)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        changes = before.changes
        if not changes:
            return Choice()
        parent = drawn_parent(changes, before.index, before.heat_seed, self.options.power)
        parents = (parent, *_inspirations(changes, parent, before.k - 1, before.seed))
        return Choice(parents=parents, start=parent if self.options.start == "patch" else "", role="evolve")


def drawn_parent(ranked: Sequence[str], index: int, seed: int, power: float) -> str:
    """The parent of one rollout; rollouts draw in order of number, without replacement while others are left.

    Args:
        ranked: the attempts to draw from, best first.
        index: number of the rollout in its heat.
        seed: the same for the whole heat.
        power: exponent of the power law over ranks.
    """
    rng, children = random.Random(seed), Counter(dict.fromkeys(ranked, 0))
    parent = ranked[0]
    for _ in range(index + 1):
        fewest = min(children.values())
        left = [rank for rank, one in enumerate(ranked) if children[one] == fewest]
        weights = [((1 + rank) / (1 + left[0])) ** -power for rank in left]  # a large power leaves the best at least
        parent = ranked[rng.choices(left, weights)[0]]
        children[parent] += 1
    return parent


def _inspirations(ranked: Sequence[str], parent: str, count: int, seed: int) -> list[str]:
    """The best of the others, and a random choice of the rest, best first."""
    others = [one for one in ranked if one != parent]
    if count < 1 or not others:
        return []
    best, *rest = others
    drawn = random.Random(seed).sample(rest, min(count - 1, len(rest)))
    return sorted([best, *drawn], key=others.index)


class Islands:
    """Rollouts form groups that read only the K best of their own group. Source: ShinkaEvolve, arXiv:2509.19349.

    A rollout belongs to the group of its number. The tournament compares all groups.
    """

    class Options(Config):
        """Settings.

        Attributes:
            count: number of groups.
            migrants: how many of the K are the best of other groups instead.
        """

        count: int = Field(2, ge=1)
        migrants: int = Field(0, ge=0)

    def __init__(self, *, options: Options) -> None:
        self.options = options

    def choose(self, before: Before) -> Choice:
        """See `ContextRule.choose`."""
        island = before.index % self.options.count
        eligible = [one for one in before.usable if one not in before.bracket.ineligible]
        own = before.distinct(one for one in eligible if RolloutId.parse(one).index % self.options.count == island)
        abroad = [one for one in before.changes if one not in own]
        migrants = abroad[: min(self.options.migrants, before.k) if own else before.k]
        kept = own[: max(before.k - len(migrants), 0)]
        return Choice(parents=tuple(sorted((*kept, *migrants), key=before.usable.index)))
