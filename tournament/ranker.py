"""Base class for selectors that wait for all candidates and then sort them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tournament.arrivals import everybody
from tournament.base import Bracket, Candidate, Case, Match, PendingCandidates
from tournament.slots import counted, merged, seeded_order

Key = tuple[float, ...]


def ranked(name: str, seed: int, ranking: Sequence[Candidate], k: int, slots: Sequence[Candidate] = ()) -> Bracket:
    """Build the bracket of a selector without matches; candidates with nothing to submit go last.

    Args:
        name: name of the selector.
        seed: seed of the selection.
        ranking: all candidates, best first.
        k: number to select.
        slots: candidates among which equal changes were merged; empty if none were.
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
    """A selector's assessment of the candidates.

    Attributes:
        keys: sort key by candidate ID; smaller is better.
        rounds: pairwise matches, if any were played.
        merges: whether equal changes were assessed only once.
        unheard: candidates about which no answer could be read.
    """

    keys: Mapping[str, Key]
    rounds: tuple[tuple[Match, ...], ...] = ()
    merges: bool = True
    unheard: frozenset[str] = frozenset()


class Ranker(ABC):
    """Waits for all candidates, then sorts by evidence rank and the selector's own keys."""

    name: str

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Rank all candidates once they have arrived.

        Args:
            candidates: pending candidates by ID.
            k: number to select.
            case: the problem, and the resources to judge it with.

        Returns:
            The bracket with all candidates ranked.

        Raises:
            NoCandidates: no rollout produced a candidate.
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the model can succeed.
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
        """Assess the candidates.

        Args:
            field: all eligible candidates, in slot order.
            k: number to be selected.
            case: the problem, and the resources to judge it with.

        Returns:
            A sort key for each candidate in `field`.
        """
