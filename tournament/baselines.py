"""Selectors without a judge: random, first to finish, or majority patch."""

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
    """A selector that needs no model."""

    needs_model = False

    @classmethod
    def open(cls, config: TournamentConfig, model: ChatModel) -> Self:
        """Construct the selector, which has no settings."""
        return cls()


class RandomSelector(_WithoutModel, Ranker):
    """Picks at random among the candidates of the highest evidence rank."""

    name = "random"

    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Rank by a hash of seed and ID.

        Args:
            field: eligible candidates, in slot order.
            k: unused.
            case: supplies the seed.
        """
        return Assessment({one.id: (seeded_hash(case.seed, "random", one.id),) for one in field}, merges=False)


class MajoritySelector(_WithoutModel, Ranker):
    """Picks the change that most candidates made, or behave like if tests were executed; ties by `ties.preference`.

    Further copies of a change rank after one copy of each.
    """

    name = "majority"

    async def assess(self, field: Sequence[Candidate], k: int, case: Case) -> Assessment:
        """Rank originals before copies, and frequent changes before rare ones.

        Args:
            field: eligible candidates, in slot order.
            k: unused.
            case: supplies the seed.
        """
        known = {one.id: one for one in field}
        seen: set[str] = set()
        keys: dict[str, Key] = {}
        for place, name in enumerate(preference(field, case.seed, self.name)):
            one = known[name]
            copy = bool(one.patch_key) and one.patch_key in seen
            seen.add(one.patch_key)
            keys[name] = (copy, -max(one.copies, one.alike) if one.patch_key else 0, place)
        return Assessment(keys, merges=False)


class FirstFinishSelector(_WithoutModel):
    """Picks the first `k` candidates that arrive and have something to submit.

    Evidence only ranks those that have arrived by then. `select` returns without waiting for the others, so pass tasks
    and cancel the unfinished ones afterwards.
    """

    name = "first-finish"

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Take candidates as they arrive, until `k` of them are eligible.

        Args:
            candidates: pending candidates by ID.
            k: number to select.
            case: supplies the seed.

        Returns:
            A bracket of the candidates that arrived in time.

        Raises:
            NoCandidates: no rollout produced a candidate.
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
