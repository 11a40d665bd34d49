"""The bracket as pure functions: groups, byes, rounds, and play-offs for the last places.

The number of candidates, the group size, the number kept and the seed fix the tree of matches before any candidate
arrives. At any moment, `resolve` derives from what is known which matches are decided and which can be judged. It
depends only on the candidates and the judged matches, so arrival order cannot change the outcome.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tournament.base import Candidate, Decision, Match
from tournament.slots import Slot, players
from tournament.standings import play_offs

Plan = tuple[tuple[tuple[int, ...], ...], ...]
"""Rounds of groups of positions, which index slots in round 0 and the previous round's groups afterwards."""

MatchKey = tuple[str, tuple[str, ...]]
"""A match's ID and the IDs of the contestants that are judged in it."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The consequences of what is known.

    Attributes:
        rounds: decided matches by round; groups without a contestant are omitted.
        ready: matches that need a judge now.
        open: whether any match is still waiting for a candidate or another match.
    """

    rounds: tuple[tuple[Match, ...], ...]
    ready: Mapping[MatchKey, tuple[Candidate, ...]]
    open: bool


def plan_rounds(entrants: int, group_size: int, keep: int) -> Plan:
    """Lay out the rounds that reduce `entrants` to `keep`, or to fewer if a single round suffices.

    In the first round as many entrants as possible play: it has `keep` winners if that many groups are possible, and at
    most one bye. Group sizes within a round differ by at most one. The next round is filled in reverse order, so that
    an entrant with a bye is placed first. If `entrants` divides evenly at every step, this is the paper's tree.

    Args:
        entrants: number of slots.
        group_size: maximum contestants per match, at least 2.
        keep: number of entrants to keep, at least 1.

    Returns:
        The rounds, first round first.

    Raises:
        ValueError: a size is below its minimum.
    """
    if group_size < 2 or keep < 1:
        raise ValueError(f"group size must be at least 2 and keep at least 1, not {group_size} and {keep}")
    rounds: list[tuple[tuple[int, ...], ...]] = []
    while entrants > keep:
        groups = max(-(-entrants // group_size), keep if rounds else min(keep, entrants // 2))
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


def resolve(slots: Sequence[Slot], plan: Plan, judged: Mapping[MatchKey, Match], keep: int) -> Resolution:
    """Determine which matches are decided and which need votes now.

    Args:
        slots: state of each slot, in slot order.
        plan: from `plan_rounds(len(slots), ..., keep)`.
        judged: matches decided by votes so far; matches between contestants that no longer meet are ignored.
        keep: number of candidates to select.
    """
    playing = {one.id for one in players(slots)}
    level: list[Slot] = [slot if not isinstance(slot, Candidate) or slot.id in playing else None for slot in slots]
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
    while not waits and (pairs := play_offs(slots, rounds, keep)):
        further = [
            _group(f"p{len(rounds) - len(plan)}-m{index}", list(pair), judged, ready)
            for index, pair in enumerate(pairs)
        ]
        rounds.append(tuple(match for _, match in further if match is not None))
        waits = any(winner == "pending" for winner, _ in further)
    return Resolution(tuple(rounds), ready, waits)


def _group(
    name: str, entries: Sequence[Slot], judged: Mapping[MatchKey, Match], ready: dict[MatchKey, tuple[Candidate, ...]]
) -> tuple[Slot, Match | None]:
    """Resolve one group: its winner as a slot of the next round, and its match once decided."""
    if "pending" in entries:
        return "pending", None
    present = [entry for entry in entries if isinstance(entry, Candidate)]
    if not present:
        return None, None
    best = max(one.evidence_rank for one in present)
    top = tuple(one for one in present if one.evidence_rank == best)
    if len(top) == 1:
        everybody = tuple(one.id for one in present)
        how: Decision = "bye" if len(present) == 1 else "evidence"
        return top[0], Match(id=name, contestants=everybody, winner=top[0].id, decided_by=how)
    key = (name, tuple(one.id for one in top))
    match = judged.get(key)
    if match is None:
        ready[key] = top
        return "pending", None
    if len(present) > len(top):
        match = match.model_copy(update={"contestants": tuple(one.id for one in present)})
    return next(one for one in top if one.id == match.winner), match
