"""What each candidate has won, the ranking that follows from it, and who still has to meet.

Only matches between candidates of the same evidence class count: a higher class is ahead without having won anything.
A bye is no win, and neither is a match in which no vote could be read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tournament.base import Candidate, Match
from tournament.slots import Slot, equal_changes, players

Pair = tuple[Candidate, Candidate]


@dataclass(slots=True)
class Standing:
    """One candidate's matches against its own evidence class.

    Attributes:
        played: matches put to a judge, readable votes or not.
        wins: matches won by votes or tie-breaks.
        victors: those it lost to; a lot that stood in for votes also puts a candidate out.
    """

    played: int = 0
    wins: int = 0
    victors: list[str] = field(default_factory=list)


def standings(field: Iterable[Candidate], rounds: Sequence[Sequence[Match]]) -> dict[str, Standing]:
    """Count the matches of every candidate."""
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
    """Order all candidates, best first.

    By evidence class; in a class those who played before those whose equal played for them. Players are ordered by
    what they won: those never beaten first, then by wins, losses and the wins of whoever beat them, then by `ties`; but
    nobody comes before a candidate it lost to. Candidates without anything to hand over come last. No vote counts
    enter, so that stopping a match early cannot change the order.

    Args:
        ties: all candidates, who wins a tie first.
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
    """Players of one class, best first; players that nothing tells apart stay in the order given.

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
    """The pairs that still have to meet once the tree is played, so that nobody takes one of the K places unseen.

    Only the evidence class in which some are kept and some are not needs play-offs. While it has more unbeaten
    candidates than places, those with the fewest wins play each other. After that, candidates that only had byes play
    each other; an odd one plays the first candidate that would be left out.
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
    """The players of the class of which only some are kept, and how many are; no players if there is no such class.

    Each copy takes a place of its own, after the players of its class.
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
