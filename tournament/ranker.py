"""What selectors have in common that wait for everybody and then sort."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tournament.arrivals import everybody
from tournament.base import Bracket, Candidate, Case, Match, PendingCandidates
from tournament.slots import counted, merged, seeded_order

Key = tuple[float, ...]


def ranked(name: str, seed: int, ranking: Sequence[Candidate], k: int, slots: Sequence[Candidate] = ()) -> Bracket:
    """A bracket of a selector that plays no matches; candidates without anything to hand over go to the end.

    Args:
        slots: those among which equal changes were looked at once.
    """
    eligible = [one.id for one in ranking if one.eligible]
    ineligible = [one.id for one in ranking if not one.eligible]
    return Bracket(
        selector=name,
        seed=seed,
        group_size=0,
        votes_per_match=0,
        merged=merged(slots),
        ranking=(*eligible, *ineligible),
        selected=tuple(eligible[:k]),
        ineligible=tuple(ineligible),
    )


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a selector found out.

    Attributes:
        keys: by candidate id; smaller is better.
        rounds: of pairs, where pairs were played.
        merges: equal changes were looked at once.
        unheard: candidates that were asked about without one readable answer.
    """

    keys: Mapping[str, Key]
    rounds: tuple[tuple[Match, ...], ...] = ()
    merges: bool = True
    unheard: frozenset[str] = frozenset()


class Ranker(ABC):
    """Waits for everybody, then sorts: by evidence class, then by the selector's own keys."""

    name: str

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Rank all candidates once they are there.

        Raises:
            NoCandidates, LimitExceeded, ModelConfigError.
        """
        present = await everybody(candidates)
        everyone = [present[name] for name in seeded_order(present, case.seed)]
        field = counted([one for one in everyone if one.eligible])
        found = await self.assess(field, k, case)
        order = sorted(field, key=lambda one: (-one.evidence_rank, *found.keys[one.id]))
        rest = [one for one in everyone if not one.eligible]
        bracket = ranked(self.name, case.seed, [*order, *rest], k, field if found.merges else ())
        bracket = bracket.model_copy(update={"by_chance": tuple(n for n in bracket.selected if n in found.unheard)})
        if not found.rounds:
            return bracket
        return bracket.model_copy(update={"rounds": found.rounds, "group_size": 2, "votes_per_match": 2})

    @abstractmethod
    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Find out about all candidates that can be selected, given in slot order."""
