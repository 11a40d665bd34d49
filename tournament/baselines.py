"""Selectors that ask nobody: by chance, by who was first, by how many made the same patch."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence

from agents.llm.ledger import Ledger
from tournament.arrivals import arrivals, everybody
from tournament.base import Bracket, Candidate, Journal
from tournament.bracket import merged, preference, seeded_hash, seeded_order
from tournament.errors import NoCandidates


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


class _Ranker(ABC):
    """Waits for everybody, then sorts: by evidence class, then by the selector's own key."""

    name: str

    async def select(
        self,
        problem: str,
        candidates: Mapping[str, Awaitable[Candidate | None]],
        k: int,
        *,
        seed: int,
        ledger: Ledger,
        journal: Journal,
    ) -> Bracket:
        """Rank all candidates once they are there.

        Raises:
            NoCandidates.
        """
        present = await everybody(candidates)
        field = [present[name] for name in seeded_order(present, seed)]
        key = self.key(field, seed)
        ranking = sorted(field, key=lambda one: (-one.evidence_rank, *key[one.id]))
        return ranked(self.name, seed, [one.id for one in ranking], k)

    @abstractmethod
    def key(self, field: Sequence[Candidate], seed: int) -> dict[str, tuple[int, ...]]:
        """Sort keys by candidate id; smaller is better."""


class RandomSelector(_Ranker):
    """Throws dice, among those of the highest evidence class."""

    name = "random"

    def key(self, field: Sequence[Candidate], seed: int) -> dict[str, tuple[int, ...]]:
        """Hash of seed and id."""
        return {one.id: (seeded_hash(seed, "random", one.id),) for one in field}


class MajoritySelector(_Ranker):
    """The patch that most candidates made; of equally many the preference of `bracket.preference`.

    Candidates without a patch come last; further copies of a patch come after one of each.
    """

    name = "majority"

    def key(self, field: Sequence[Candidate], seed: int) -> dict[str, tuple[int, ...]]:
        """Copies after originals, many before few."""
        counts = Counter(one.patch_key for one in field if one.patch_key)
        place = {name: index for index, name in enumerate(preference(field, seed, self.name))}
        seen: set[str] = set()
        keys: dict[str, tuple[int, ...]] = {}
        for one in sorted(field, key=lambda candidate: place[candidate.id]):
            copy = bool(one.patch_key) and one.patch_key in seen
            seen.add(one.patch_key)
            keys[one.id] = (copy, -counts.get(one.patch_key, 0), place[one.id])
        return keys


class FirstFinishSelector:
    """The first `k` candidates that are there, whatever they are.

    Evidence decides only between those that arrived by then. `select` returns without waiting for the others: give it
    tasks, and cancel those that are not done when it returns.
    """

    name = "first-finish"

    async def select(
        self,
        problem: str,
        candidates: Mapping[str, Awaitable[Candidate | None]],
        k: int,
        *,
        seed: int,
        ledger: Ledger,
        journal: Journal,
    ) -> Bracket:
        """Take candidates as they come.

        Raises:
            NoCandidates.
        """
        found: list[Candidate] = []
        async with arrivals(candidates) as futures:
            pending = set(futures.values())
            order = {future: index for index, future in enumerate(futures.values())}
            while pending and len(found) < k:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                came = [future.result() for future in sorted(done, key=lambda future: order[future])]
                found += [candidate for candidate in came if candidate is not None]
        if not found:
            raise NoCandidates("no rollout gave a candidate")
        best = sorted(found, key=lambda one: -one.evidence_rank)
        return ranked(self.name, seed, [one.id for one in best], k)
