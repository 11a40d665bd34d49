"""Counting the votes of one match, and knowing when more of them cannot change the winner.

Most votes win. Of contestants with equally many, what `ties.py` compares before the order of the votes decides; then
who had its last vote earlier, by single votes or by blocks of G (within a block every order was shown once, so the
order in it decides nothing); then the match's fixed preference. Abstentions count for nobody; a match without any
vote is decided by lot.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tournament.base import Vote


@dataclass(frozen=True, slots=True)
class Rules:
    """What is fixed before a match's first vote.

    Attributes:
        preference: the contestants, the one that wins a complete tie first.
        lots: the contestants, the one that wins without any vote first.
        votes: V, votes of the whole match.
        block: G, votes until every order was shown once.
        before: what is compared before the order of the votes, by contestant; smaller is better.
        grain: votes between which no order is seen; 0 for a whole block.
    """

    preference: tuple[str, ...]
    lots: tuple[str, ...]
    votes: int
    block: int
    before: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    grain: int = 0

    def when(self, index: int) -> int:
        """When the vote of this number was cast, as far as ties care."""
        return index // (self.grain or self.block)


@dataclass(frozen=True, slots=True)
class Standing:
    """One contestant's votes: how many, and when the last was cast (-1 without any); and its fixed preferences."""

    count: int
    before: tuple[int, ...]
    last: int
    place: int

    @property
    def key(self) -> tuple[int, tuple[int, ...], int, int]:
        """Smaller is better."""
        return -self.count, self.before, self.last, self.place


def standings(choices: Sequence[str | None], rules: Rules) -> dict[str, Standing]:
    """Every contestant's standing after these votes, in the order they were cast."""
    found = {}
    for place, name in enumerate(rules.preference):
        last = max((index for index, choice in enumerate(choices) if choice == name), default=-1)
        when = rules.when(last) if last >= 0 else -1
        found[name] = Standing(choices.count(name), rules.before.get(name, ()), when, place)
    return found


def leader(choices: Sequence[str | None], rules: Rules) -> str:
    """Who wins if no further vote is cast."""
    if not any(choices):
        return rules.lots[0]
    found = standings(choices, rules)
    return min(found, key=lambda name: found[name].key)


def decided(choices: Sequence[str | None], rules: Rules) -> bool:
    """Whether no continuation up to V votes changes the leader."""
    left = rules.votes - len(choices)
    if left <= 0:
        return True
    found = standings(choices, rules)
    first = found[leader(choices, rules)]
    end = rules.when(rules.votes - 1)
    rivals = (one for one in found.values() if one is not first)
    return all(first.key < Standing(one.count + left, one.before, end, one.place).key for one in rivals)


def next_wave(choices: Sequence[str | None], rules: Rules, *, early_stop: bool, balanced: bool) -> int:
    """How many votes to ask for next: as few as could decide the match; 0 when it is decided.

    Args:
        early_stop: False asks for all V at once.
        balanced: complete the last block, so that every order has been asked for equally often.
    """
    left = rules.votes - len(choices)
    if left <= 0 or not early_stop:
        return max(left, 0)
    if decided(choices, rules) and not (balanced and len(choices) % rules.block):
        return 0
    wave = min(_shortest(choices, name, left, rules) for name in rules.preference)
    if balanced:
        wave += -(len(choices) + wave) % rules.block
    return min(wave, left)


def _shortest(choices: Sequence[str | None], name: str, left: int, rules: Rules) -> int:
    """Fewest further votes for one contestant, all of them, that decide the match."""
    for wave in range(left):
        if decided([*choices, *[name] * wave], rules):
            return wave
    return left


def next_wave_by_margin(choices: Sequence[str | None], rules: Rules, margin: int) -> int:
    """Whole blocks until somebody leads by `margin` votes or all V are cast; 0 when it is decided."""
    left = rules.votes - len(choices)
    counts = sorted((choices.count(name) for name in rules.preference), reverse=True)
    lead = counts[0] - (counts[1] if len(counts) > 1 else 0)
    if left <= 0 or (lead >= margin and len(choices) % rules.block == 0):
        return 0
    wave = max(margin - lead, 1)
    return min(wave + -(len(choices) + wave) % rules.block, left)


def needed(votes: Sequence[Vote], wave: Callable[[Sequence[str | None]], int]) -> tuple[Vote, ...]:
    """The votes of a stored match that an uninterrupted one would have cast; the rest are left over.

    Args:
        wave: how many to ask for after these choices, 0 when the match is decided.
    """
    for size in range(len(votes) + 1):
        if wave([vote.choice for vote in votes[:size]]) == 0:
            return tuple(votes[:size])
    return tuple(votes)
