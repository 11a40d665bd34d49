"""The bracket as pure functions: slots, groups, byes, rounds, merged candidates, the final ranking.

The tree of matches is fixed by the number of candidates, the group size, the number kept and the seed, before any
candidate is there: a candidate's slot comes from the hash of its id. What is known later (a rollout that gave
nothing, a patch equal to another's) only empties slots; `resolve` maps whatever is known at a moment to the matches
that are decided or can be judged. It is a function of the candidates and the judged matches alone, so the order of
arrival cannot change the outcome.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from tournament.base import Candidate, Match

Plan = tuple[tuple[tuple[int, ...], ...], ...]
"""Rounds of groups of positions: of slots in round 0, of the previous round's groups after that."""

MatchKey = tuple[str, tuple[str, ...]]
"""A match's id and the ids of those who are judged in it."""

Slot = Candidate | None | Literal["pending"]
"""What is known of one slot: its candidate, that none came of it, or nothing yet."""

S = TypeVar("S", bound=Slot)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What follows from what is known.

    Attributes:
        rounds: decided matches by round; groups without a contestant are left out.
        ready: matches that need a judge now.
        open: whether any group still waits, for a candidate or for a match.
    """

    rounds: tuple[tuple[Match, ...], ...]
    ready: Mapping[MatchKey, tuple[Candidate, ...]]
    open: bool


def seeded_hash(seed: int, *parts: str | int) -> int:
    """A 64-bit number that depends on nothing but its arguments, for seeds and tie-breaks."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def seeded_order(ids: Iterable[str], seed: int) -> tuple[str, ...]:
    """The candidates in slot order: shuffled by seed, the same whatever order they are given in."""
    return tuple(sorted(ids, key=lambda name: (seeded_hash(seed, "slot", name), name)))


def plan_rounds(entrants: int, group_size: int, keep: int) -> Plan:
    """Lay out the rounds that bring `entrants` down to exactly `keep`.

    Groups of a round differ in size by at most one; a group of one is a bye. The next round is drawn in reverse
    order, so that who had a bye is grouped first.

    Args:
        entrants: number of slots.
        group_size: largest number of contestants of a match, at least 2.
        keep: number that must be left, at least 1.

    Raises:
        ValueError: a size below its minimum.
    """
    if group_size < 2 or keep < 1:
        raise ValueError(f"group size must be at least 2 and keep at least 1, not {group_size} and {keep}")
    rounds: list[tuple[tuple[int, ...], ...]] = []
    while entrants > keep:
        groups = max(-(-entrants // group_size), keep)
        size, larger = divmod(entrants, groups)
        positions = list(range(entrants)) if not rounds else list(reversed(range(entrants)))
        drawn = []
        for index in range(groups):
            width = size + (index < larger)
            drawn.append(tuple(positions[:width]))
            positions = positions[width:]
        rounds.append(tuple(drawn))
        entrants = groups
    return tuple(rounds)


def equal_patches(slots: Sequence[Slot]) -> dict[str, str]:
    """Map each candidate that does not play to the one with the same patch that plays for it.

    That is the one of the highest evidence class, then of the lowest slot.
    """
    players: dict[str, Candidate] = {}
    known = [slot for slot in slots if isinstance(slot, Candidate) and slot.patch_key]
    for slot in known:
        player = players.setdefault(slot.patch_key, slot)
        if slot.evidence_rank > player.evidence_rank:
            players[slot.patch_key] = slot
    return {slot.id: players[slot.patch_key].id for slot in known if players[slot.patch_key].id != slot.id}


def counted(slots: Sequence[S]) -> list[S]:
    """The slots, with how many of them hold the same patch without having been told of it."""
    there = [slot for slot in slots if isinstance(slot, Candidate)]
    copies = Counter(slot.patch_key for slot in there if slot.patch_key and not slot.derived)
    return [
        slot.model_copy(update={"copies": copies[slot.patch_key]})
        if isinstance(slot, Candidate) and copies[slot.patch_key] > 1
        else slot
        for slot in slots
    ]


def resolve(slots: Sequence[Slot], plan: Plan, judged: Mapping[MatchKey, Match]) -> Resolution:
    """Work out every match that can be decided without another vote, and which need one.

    Args:
        slots: what is known of each slot, in slot order.
        plan: from `plan_rounds(len(slots), ...)`.
        judged: matches decided by votes so far; those of contestants that do not meet are ignored.
    """
    out = equal_patches(slots)
    level: list[Slot] = [None if isinstance(slot, Candidate) and slot.id in out else slot for slot in slots]
    ready: dict[MatchKey, tuple[Candidate, ...]] = {}
    rounds = []
    waits = "pending" in level
    for number, groups in enumerate(plan):
        matches, winners = [], list[Slot]()
        for index, group in enumerate(groups):
            name = f"r{number}-m{index}"
            winner, match = _group(name, [level[position] for position in group], judged, ready)
            winners.append(winner)
            if match is not None:
                matches.append(match)
        rounds.append(tuple(matches))
        level = winners
        waits = waits or "pending" in level
    return Resolution(tuple(rounds), ready, waits)


def _group(
    name: str, entries: list[Slot], judged: Mapping[MatchKey, Match], ready: dict[MatchKey, tuple[Candidate, ...]]
) -> tuple[Slot, Match | None]:
    """One group: its winner as a slot of the next round, and its match once that is decided."""
    if "pending" in entries:
        return "pending", None
    present = [entry for entry in entries if isinstance(entry, Candidate)]
    if not present:
        return None, None
    best = max(one.evidence_rank for one in present)
    top = tuple(one for one in present if one.evidence_rank == best)
    if len(top) == 1:
        everybody = tuple(one.id for one in present)
        how: Literal["bye", "evidence"] = "bye" if len(present) == 1 else "evidence"
        return top[0], Match(id=name, contestants=everybody, winner=top[0].id, decided_by=how)
    key = (name, tuple(one.id for one in top))
    match = judged.get(key)
    if match is None:
        ready[key] = top
        return "pending", None
    if len(present) > len(top):
        match = match.model_copy(update={"contestants": tuple(one.id for one in present)})
    return next(one for one in top if one.id == match.winner), match


def rank(slots: Sequence[Slot], rounds: Sequence[Sequence[Match]], ties: Sequence[str], k: int) -> tuple[str, ...]:
    """Order all candidates, best first.

    By evidence class; then those who played before those whose equal played for them; then by the round they were
    beaten in. Of the others, who was beaten by somebody who got further comes first, then `ties` decide: who the first
    `k` are does not depend on how many votes a match had, so that stopping early cannot change it. The places behind
    them go by the share of the votes of the last judged match, then by `ties`.

    Args:
        ties: all candidates, who wins a tie first.
        k: number of candidates that are selected.
    """
    out = equal_patches(slots)
    beaten: dict[str, int] = {}
    victor: dict[str, str] = {}
    share: dict[str, float] = {}
    place = {name: index for index, name in enumerate(ties)}
    for number, matches in enumerate(rounds):
        for match in matches:
            losers = [name for name in match.contestants if name != match.winner]
            beaten.update(dict.fromkeys(losers, number))
            victor.update(dict.fromkeys(losers, match.winner))
            valid = [vote.choice for vote in match.votes if vote.choice is not None]
            if valid:
                share.update({name: valid.count(name) / len(valid) for name in match.votes[0].order})

    def stage(name: str) -> int:
        return beaten.get(name, len(rounds))

    def selecting(one: Candidate) -> tuple[object, ...]:
        player = out.get(one.id, one.id)
        beyond = stage(victor[player]) if player in victor else 0
        return -one.evidence_rank, one.id in out, -stage(player), -beyond, place[one.id]

    def telling(one: Candidate) -> tuple[object, ...]:
        player = out.get(one.id, one.id)
        return -one.evidence_rank, one.id in out, -stage(player), -share.get(player, 0.0), place[one.id]

    present = sorted((slot for slot in slots if isinstance(slot, Candidate)), key=selecting)
    return tuple(one.id for one in (*present[:k], *sorted(present[k:], key=telling)))


def merged(slots: Sequence[Slot]) -> dict[str, tuple[str, ...]]:
    """Player -> those it played for, in slot order."""
    out = equal_patches(slots)
    return {player: tuple(name for name in out if out[name] == player) for player in sorted(set(out.values()))}
