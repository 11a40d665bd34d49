"""The state of a tournament's slots: a candidate, none, or still pending.

A candidate's slot derives from the hash of its ID before any candidate arrives. Later information (a rollout without a
candidate, a change equal to another) only vacates slots.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

from tournament.base import Candidate

Slot = Candidate | None | Literal["pending"]
"""A slot's candidate, None if its rollout produced none, or "pending"."""

S = TypeVar("S", bound=Slot)


def seeded_hash(seed: int, *parts: str | int) -> int:
    """A 64-bit number that depends only on its arguments, for seeds and tie-breaks."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def seeded_order(ids: Iterable[str], seed: int) -> tuple[str, ...]:
    """Shuffle candidates into slot order by seed, independently of input order."""
    return tuple(sorted(ids, key=lambda name: (seeded_hash(seed, "slot", name), name)))


def equal_changes(slots: Sequence[Slot]) -> dict[str, str]:
    """Map each candidate that does not play to the one with the same change that plays in its place.

    That is the one with the best evidence, then one that brings tests, then the one in the lowest slot.
    """
    players: dict[str, Candidate] = {}
    known = [slot for slot in slots if isinstance(slot, Candidate) and slot.eligible and slot.patch_key]
    for slot in known:
        player = players.setdefault(slot.patch_key, slot)
        if (slot.evidence_rank, slot.brings_tests) > (player.evidence_rank, player.brings_tests):
            players[slot.patch_key] = slot
    return {slot.id: players[slot.patch_key].id for slot in known if players[slot.patch_key].id != slot.id}


def counted(slots: Sequence[S]) -> list[S]:
    """Set `copies` and `alike`: how many candidates independently made the same change, or behave like it."""
    own = [slot for slot in slots if isinstance(slot, Candidate) and not slot.derived]
    copies = Counter(slot.patch_key for slot in own if slot.patch_key)
    alike = Counter(slot.behaviour for slot in own if slot.behaviour)

    def told(slot: S) -> S:
        if not isinstance(slot, Candidate):
            return slot
        same = max(copies[slot.patch_key], 1)
        behaving = max(alike[slot.behaviour], same)
        return slot.model_copy(update={"copies": same, "alike": behaving}) if behaving > 1 else slot

    return [told(slot) for slot in slots]


def merged(slots: Sequence[Slot]) -> dict[str, tuple[str, ...]]:
    """Map each playing candidate to those with the same change that did not play, in slot order."""
    out = equal_changes(slots)
    return {player: tuple(name for name in out if out[name] == player) for player in sorted(set(out.values()))}


def players(slots: Sequence[Slot]) -> list[Candidate]:
    """List the candidates that play, in slot order: eligible ones, one per distinct change."""
    out = equal_changes(slots)
    return [slot for slot in slots if isinstance(slot, Candidate) and slot.eligible and slot.id not in out]
