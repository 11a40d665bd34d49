"""Counting the votes of one match, and knowing when more of them cannot change the winner.

Most votes win. Of contestants with equally many, what `ties.py` compares before the order of the votes decides; then,
where that is configured, who had its last vote in an earlier block; then the match's fixed preference. A block is G
votes, one in each order; within it nothing is earlier. Abstentions count for nobody; a match without any vote is
decided at random. A match stops early only after whole blocks, and only while every order has been read equally often.

Where a judge gives probabilities, one vote in each order is the whole match: see `weighed`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tournament.base import Vote

_LEAST_SHARE = 1e-4
"""Probabilities are not believed to be more extreme than this."""


def whole_blocks(votes: int, block: int) -> int:
    """V raised to a multiple of `block`, the number of orders, so that every order can be shown equally often."""
    return -(-votes // block) * block


@dataclass(frozen=True, slots=True)
class Rules:
    """What is fixed before a match's first vote.

    Attributes:
        preference: the contestants, the one that wins a complete tie first.
        random_order: the contestants; the first wins when no vote can be read.
        votes: V, votes of the whole match; a multiple of `block`.
        block: G, votes until every order was shown once.
        before: what is compared before the order of the votes, by contestant; smaller is better.
        by_block: of equally many votes, those that were complete a block earlier win.
    """

    preference: tuple[str, ...]
    random_order: tuple[str, ...]
    votes: int
    block: int
    before: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    by_block: bool = False

    def when(self, index: int) -> int:
        """When the vote of this number was cast, as far as ties care."""
        return index // self.block if self.by_block else 0


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
        return rules.random_order[0]
    found = standings(choices, rules)
    return min(found, key=lambda name: found[name].key)


def evenly_read(choices: Sequence[str | None], block: int) -> bool:
    """Whether the votes are whole blocks and every order has equally many that name somebody."""
    if len(choices) % block:
        return False
    read = {sum(choice is not None for choice in choices[order::block]) for order in range(block)}
    return len(read) == 1


def decided(choices: Sequence[str | None], rules: Rules) -> bool:
    """Whether the match is over: all V votes are cast, or every order was read equally often and no continuation
    changes the leader."""
    left = rules.votes - len(choices)
    if left <= 0:
        return True
    if not evenly_read(choices, rules.block):
        return False
    found = standings(choices, rules)
    first = found[leader(choices, rules)]
    end = rules.when(rules.votes - 1)
    rivals = (one for one in found.values() if one is not first)
    return all(first.key < Standing(one.count + left, one.before, end, one.place).key for one in rivals)


def next_wave(choices: Sequence[str | None], rules: Rules, *, early_stop: bool) -> int:
    """How many votes to ask for next: as few whole blocks as could decide the match; 0 when it is decided.

    Where abstentions left the orders read unequally often, blocks are asked for one at a time.

    Args:
        early_stop: False asks for all V at once.
    """
    left, part = rules.votes - len(choices), len(choices) % rules.block
    if left <= 0 or not early_stop:
        return max(left, 0)
    if decided(choices, rules):
        return 0
    if not evenly_read(choices[: len(choices) - part], rules.block):
        return rules.block - part
    return min(_shortest(choices, name, left, rules) for name in rules.preference)


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
    if left <= 0 or (lead >= margin and evenly_read(choices, rules.block)):
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


def weighed(votes: Sequence[Vote], block: int) -> dict[str, float] | None:
    """Each contestant's share of a match that was judged by probabilities; None where it was not, in every order.

    The logarithms of the probabilities are averaged over the orders, so that a preference for a place that adds to
    the logits of whoever stands there is cancelled exactly.

    Returns:
        Shares that sum to 1.
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
