"""Selectors that ask nobody: by chance, by who was first, by how many made the same patch."""

import asyncio
from collections.abc import Sequence
from typing import Self

from agents.llm.base import ChatModel
from tournament.arrivals import arrivals
from tournament.base import Bracket, Candidate, Case, PendingCandidates
from tournament.config import TournamentConfig
from tournament.errors import NoCandidates
from tournament.ranker import Assessment, Key, Ranker, ranked
from tournament.slots import seeded_hash
from tournament.ties import preference


class _WithoutModel:
    """A selector that asks no model."""

    needs_model = False

    @classmethod
    def open(cls, config: TournamentConfig, model: ChatModel) -> Self:
        """The selector; it has no settings."""
        return cls()


class RandomSelector(_WithoutModel, Ranker):
    """Draws at random among the candidates of the highest evidence class."""

    name = "random"

    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Hash of seed and id."""
        return Assessment({one.id: (seeded_hash(case.seed, "random", one.id),) for one in field}, merges=False)


class MajoritySelector(_WithoutModel, Ranker):
    """The change that most candidates made; of equally many as `ties.preference` says.

    Further copies of a change come after one of each.
    """

    name = "majority"

    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Copies after originals, many before few."""
        known = {one.id: one for one in field}
        seen: set[str] = set()
        keys: dict[str, Key] = {}
        for place, name in enumerate(preference(field, case.seed, self.name)):
            one = known[name]
            copy = bool(one.patch_key) and one.patch_key in seen
            seen.add(one.patch_key)
            keys[name] = (copy, -one.copies if one.patch_key else 0, place)
        return Assessment(keys, merges=False)


class FirstFinishSelector(_WithoutModel):
    """The first `k` candidates that are there and have something to hand over.

    Evidence decides only between those that arrived by then. `select` returns without waiting for the others: give it
    tasks, and cancel those that are not done when it returns.
    """

    name = "first-finish"

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Take candidates as they come.

        Raises:
            NoCandidates.
        """
        found: list[Candidate] = []
        async with arrivals(candidates) as futures:
            pending = set(futures.values())
            order = {future: index for index, future in enumerate(futures.values())}
            while pending and sum(one.eligible for one in found) < k:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                came = [future.result() for future in sorted(done, key=lambda future: order[future])]
                found += [candidate for candidate in came if candidate is not None]
        if not found:
            raise NoCandidates("no rollout produced a candidate")
        return ranked(self.name, case.seed, sorted(found, key=lambda one: -one.evidence_rank), k)
