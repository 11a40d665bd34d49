"""Count the votes of one match, and detect when further votes cannot change the winner.

The most votes win. Equal counts are decided by the tie-breaks that `ties.py` places before the order of votes; then, if
configured, by who received its last vote in an earlier block; then by the match's fixed preference. A block is G votes,
one per presentation order; within a block nothing counts as earlier. Abstentions count for nobody, and a match without
any vote is decided at random. A match stops early only after whole blocks, and only if every order has been read
equally often.

If the judge provides probabilities, one vote per order is the complete match: see `weighed`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tournament.base import Vote

_LEAST_SHARE = 1e-4
"""Probabilities are clipped to be no more extreme than this."""


def whole_blocks(votes: int, block: int) -> int:
    """Raise V to a multiple of `block`, the number of orders, so that every order is shown equally often."""
    return -(-votes // block) * block


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a match, fixed before its first vote.

    Attributes:
        preference: the contestants, winner of a complete tie first.
        random_order: the contestants in random order; the first wins a match without any vote.
        votes: V, votes of the complete match; a multiple of `block`.
        block: G, votes until every order was shown once.
        before: tie-break values compared before the order of votes, by contestant; smaller is better.
        by_block: whether, at equal counts, the contestant that got its votes a block earlier wins.
    """

    preference: tuple[str, ...]
    random_order: tuple[str, ...]
    votes: int
    block: int
    before: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    by_block: bool = False

    def when(self, index: int) -> int:
        """Time of a vote as far as tie-breaks are concerned: its block, or 0 if order does not matter."""
        return index // self.block if self.by_block else 0


@dataclass(frozen=True, slots=True)
class VoteCount:
    """One contestant's vote count, the time of its last vote (-1 without any), and its fixed tie-breaks."""

    count: int
    before: tuple[int, ...]
    last: int
    place: int

    @property
    def key(self) -> tuple[int, tuple[int, ...], int, int]:
        """Sort key; smaller is better."""
        return -self.count, self.before, self.last, self.place


def standings(choices: Sequence[str | None], rules: Rules) -> dict[str, VoteCount]:
    """Compute each contestant's standing after these votes, given in the order they were cast."""
    found = {}
    for place, name in enumerate(rules.preference):
        last = max((index for index, choice in enumerate(choices) if choice == name), default=-1)
        when = rules.when(last) if last >= 0 else -1
        found[name] = VoteCount(choices.count(name), rules.before.get(name, ()), when, place)
    return found


def leader(choices: Sequence[str | None], rules: Rules) -> str:
    """The winner if no further vote is cast."""
    if not any(choices):
        return rules.random_order[0]
    found = standings(choices, rules)
    return min(found, key=lambda name: found[name].key)


def evenly_read(choices: Sequence[str | None], block: int) -> bool:
    """Return whether the votes are whole blocks and every order has the same number of readable votes."""
    if len(choices) % block:
        return False
    read = {sum(choice is not None for choice in choices[order::block]) for order in range(block)}
    return len(read) == 1


def decided(choices: Sequence[str | None], rules: Rules) -> bool:
    """Return whether the match is over.

    It is over once all V votes are cast, or once every order has been read equally often and no continuation changes
    the leader.
    """
    left = rules.votes - len(choices)
    if left <= 0:
        return True
    if not evenly_read(choices, rules.block):
        return False
    found = standings(choices, rules)
    first = found[leader(choices, rules)]
    end = rules.when(rules.votes - 1)
    rivals = (one for one in found.values() if one is not first)
    return all(first.key < VoteCount(one.count + left, one.before, end, one.place).key for one in rivals)


def next_wave(choices: Sequence[str | None], rules: Rules, *, early_stop: bool) -> int:
    """Number of votes to ask for next: as few whole blocks as could decide the match, or 0 if it is decided.

    A block that was cut short is completed first. If abstentions left some orders read less often than others, blocks
    are requested one at a time.

    Args:
        choices: choices so far, in the order they were cast.
        rules: the match's rules.
        early_stop: False asks for all V votes at once.
    """
    left, part = rules.votes - len(choices), len(choices) % rules.block
    if left <= 0 or not early_stop:
        return max(left, 0)
    if decided(choices, rules):
        return 0
    if not evenly_read(choices, rules.block):
        return rules.block - part
    return min(_shortest(choices, name, left, rules) for name in rules.preference)


def _shortest(choices: Sequence[str | None], name: str, left: int, rules: Rules) -> int:
    """Fewest further votes, all for one contestant, that decide the match."""
    for wave in range(left):
        if decided([*choices, *[name] * wave], rules):
            return wave
    return left


def next_wave_by_margin(choices: Sequence[str | None], rules: Rules, margin: int) -> int:
    """Number of votes to ask for next until a contestant leads by a margin, or 0 if the match is decided.

    Args:
        choices: choices so far, in the order they were cast.
        rules: the match's rules.
        margin: required lead, in votes.

    Returns:
        A number that completes a block, at most what is left of V.
    """
    left = rules.votes - len(choices)
    counts = sorted((choices.count(name) for name in rules.preference), reverse=True)
    lead = counts[0] - (counts[1] if len(counts) > 1 else 0)
    if left <= 0 or (lead >= margin and evenly_read(choices, rules.block)):
        return 0
    wave = max(margin - lead, 1)
    return min(wave + -(len(choices) + wave) % rules.block, left)


def needed(votes: Sequence[Vote], wave: Callable[[Sequence[str | None]], int]) -> tuple[Vote, ...]:
    """Trim a match's stored votes to those that an uninterrupted match would have cast.

    Args:
        votes: the stored votes, in the order they were cast.
        wave: number of votes to ask for after given choices; 0 if the match is decided.
    """
    for size in range(len(votes) + 1):
        if wave([vote.choice for vote in votes[:size]]) == 0:
            return tuple(votes[:size])
    return tuple(votes)


def weighed(votes: Sequence[Vote], block: int) -> dict[str, float] | None:
    """Compute each contestant's share in a match judged by probabilities; None unless every order has them.

    Log probabilities are averaged over the orders, which exactly cancels a position bias that is additive in the
    logits.

    Args:
        votes: the match's votes.
        block: G, the number of orders.

    Returns:
        Shares by candidate ID, which sum to 1.
    """
    orders = {vote.order: vote for vote in votes if vote.shares}
    if len(orders) < block:
        return None
    logs = dict.fromkeys(next(iter(orders)), 0.0)
    for vote in orders.values():
        for name, share in zip(vote.order, vote.shares, strict=True):
            logs[name] += math.log(max(share, _LEAST_SHARE)) / len(orders)
    total = sum(math.exp(value) for value in logs.values())
    return {name: math.exp(value) / total for name, value in logs.items()}
