"""What selectors have in common that wait for everybody and then sort."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tournament.arrivals import everybody
from tournament.base import Bracket, Candidate, Case, Match, PendingCandidates
from tournament.bracket import counted, merged, seeded_order

Key = tuple[float, ...]


def ranked(name: str, seed: int, ranking: Sequence[str], k: int, slots: Sequence[Candidate] = ()) -> Bracket:
    """A bracket of a selector that plays no matches."""
    return Bracket(
        selector=name,
        seed=seed,
        group_size=0,
        votes_per_match=0,
        merged=merged(slots),
        ranking=tuple(ranking),
        selected=tuple(ranking[:k]),
    )


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a selector found out.

    Attributes:
        keys: by candidate id; smaller is better.
        rounds: of pairs, where pairs were played.
        merges: equal patches were looked at once.
    """

    keys: Mapping[str, Key]
    rounds: tuple[tuple[Match, ...], ...] = ()
    merges: bool = True


class Ranker(ABC):
    """Waits for everybody, then sorts: by evidence class, then by the selector's own keys."""

    name: str

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Rank all candidates once they are there.

        Raises:
            NoCandidates, LimitExceeded, ModelConfigError.
        """
        present = await everybody(candidates)
        field = counted([present[name] for name in seeded_order(present, case.seed)])
        found = await self.assess(field, k, case)
        order = sorted(field, key=lambda one: (-one.evidence_rank, *found.keys[one.id]))
        bracket = ranked(self.name, case.seed, [one.id for one in order], k, field if found.merges else ())
        if not found.rounds:
            return bracket
        return bracket.model_copy(update={"rounds": found.rounds, "group_size": 2, "votes_per_match": 2})

    @abstractmethod
    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Find out about all candidates, given in slot order."""
