"""Derive wins, ranking and remaining play-offs from the matches played.

Only matches between candidates of the same evidence rank count, since a higher rank is ahead without winning anything.
A bye is not a win, and neither is a match in which no vote could be read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tournament.base import Candidate, Match
from tournament.slots import Slot, equal_changes, players

Pair = tuple[Candidate, Candidate]


@dataclass(slots=True)
class Standing:
    """One candidate's record against its own evidence rank.

    Attributes:
        played: matches put to a judge, whether or not votes could be read.
        wins: matches won by votes or tie-breaks.
        victors: candidates it lost to; a random draw in place of votes also eliminates.
    """

    played: int = 0
    wins: int = 0
    victors: list[str] = field(default_factory=list)


def standings(field: Iterable[Candidate], rounds: Sequence[Sequence[Match]]) -> dict[str, Standing]:
    """Tally the matches of every candidate."""
    classes = {one.id: one.evidence_rank for one in field}
    found: dict[str, Standing] = {name: Standing() for name in classes}
    for match in (match for matches in rounds for match in matches):
        if match.decided_by in ("bye", "evidence"):
            continue
        met = [name for name in match.contestants if classes[name] == classes[match.winner]]
        for name in met:
            found[name].played += 1
            if name != match.winner:
                found[name].victors.append(match.winner)
            elif match.decided_by != "unheard":
                found[name].wins += 1
    return found


def rank(slots: Sequence[Slot], rounds: Sequence[Sequence[Match]], ties: Sequence[str]) -> tuple[str, ...]:
    """Rank all candidates, best first.

    Evidence rank comes first; within a rank, playing candidates precede those represented by an equal. Playing
    candidates are ordered by results: unbeaten ones first, then by wins, losses and the wins of those who beat them,
    then by `ties`; but nobody precedes a candidate it lost to. Candidates with nothing to submit come last. Vote counts
    are not used, so early stopping cannot change the order.

    Args:
        slots: the final state of each slot.
        rounds: all decided matches, by round.
        ties: all candidate IDs, winner of a tie first.
    """
    place = {name: index for index, name in enumerate(ties)}
    out, playing = equal_changes(slots), players(slots)
    found = standings(playing, rounds)
    present = sorted((slot for slot in slots if isinstance(slot, Candidate)), key=lambda one: place[one.id])
    ranking: list[str] = []
    for level in sorted({one.evidence_rank for one in present if one.eligible}, reverse=True):
        same = [one for one in present if one.eligible and one.evidence_rank == level]
        ranking += ordered([one.id for one in same if one.id not in out], found)
        ranking += [one.id for one in same if one.id in out]
    return (*ranking, *(one.id for one in present if not one.eligible))


def ordered(names: Sequence[str], found: Mapping[str, Standing]) -> list[str]:
    """Order the playing candidates of one evidence rank, best first; indistinguishable ones keep the given order.

    An order that respects every result exists: each match is between two unbeaten players or is the first match of one
    of them, so the results contain no cycle.
    """

    def key(name: str) -> tuple[int, ...]:
        own = found[name]
        return bool(own.victors), -own.wins, len(own.victors), -sum(found[one].wins for one in own.victors)

    waiting, ranking = sorted(names, key=key), list[str]()
    while waiting:
        following = next((one for one in waiting if not set(found[one].victors).intersection(waiting)), waiting[0])
        waiting.remove(following)
        ranking.append(following)
    return ranking


def play_offs(slots: Sequence[Slot], rounds: Sequence[Sequence[Match]], keep: int) -> tuple[Pair, ...]:
    """Pair the candidates that still have to meet after the tree, so that nobody takes one of the K places unjudged.

    Only the evidence rank of which some but not all are kept needs play-offs. While it has more unbeaten candidates
    than places, those with the fewest wins play each other. Then candidates that only had byes play each other; an odd
    one plays the first candidate that would be left out.

    Args:
        slots: the state of each slot.
        rounds: all decided matches, by round.
        keep: number of candidates to select.
    """
    same, places = _divided(slots, keep)
    found = standings(players(slots), rounds)
    unbeaten = sorted((one for one in same if not found[one.id].victors), key=lambda one: found[one.id].wins)
    if len(unbeaten) > places:
        fewer = [one for one in unbeaten if found[one.id].wins < found[unbeaten[-1].id].wins]
        room = max(len(fewer), 2) if fewer else len(unbeaten)
        return tuple(_pairs(unbeaten[: 2 * min(len(unbeaten) - places, room // 2)]))
    unseen = [one for one in unbeaten if not found[one.id].played]
    if len(unseen) % 2:
        known = {one.id: one for one in same}
        unseen.insert(len(unseen) - 1, known[ordered(list(known), found)[places]])
    return tuple(_pairs(unseen))


def _divided(slots: Sequence[Slot], places: int) -> tuple[list[Candidate], int]:
    """Find the evidence rank of which only some are kept: its players and its number of places; empty if none is split.

    Each copy also takes a place, after the players of its rank.
    """
    playing = players(slots)
    sizes = Counter(slot.evidence_rank for slot in slots if isinstance(slot, Candidate) and slot.eligible)
    for level in sorted(sizes, reverse=True):
        same = [one for one in playing if one.evidence_rank == level]
        if len(same) > places > 0:
            return same, places
        places -= sizes[level]
    return [], 0


def _pairs(candidates: Sequence[Candidate]) -> Iterator[Pair]:
    yield from zip(candidates[::2], candidates[1::2], strict=True)
