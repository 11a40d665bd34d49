"""RTV, recursive tournament voting: groups of G, V votes each, and winners advance until K are left.

Source: arXiv:2604.16529. Our additions: evidence before votes, early stopping, merging equal changes, play-offs where a
bye would take one of the K places, and a schedule without round barriers. The tree of matches is fixed in advance
(`bracket.py`), and a match starts as soon as its own contestants have arrived. A candidate that later turns out to
equal another may vacate a slot whose match was already judged. That match is retracted, but its votes stay in the
journal, so that the outcome never depends on arrival order.
"""

import asyncio
from typing import Any, Self

from agents.llm.base import ChatModel
from tournament.arrivals import Arrival, arrivals
from tournament.base import Bracket, Candidate, Case, Judge, Match, PendingCandidates
from tournament.bracket import MatchKey, Resolution, plan_rounds, resolve
from tournament.config import TournamentConfig
from tournament.errors import NoCandidates
from tournament.heard import Rejections, chosen_by_chance
from tournament.match_votes import MarginVotes, MatchVotes
from tournament.probe_judge import open_judge
from tournament.slots import Slot, counted, merged, seeded_order
from tournament.standings import rank
from tournament.ties import preference
from tournament.view import FIELDS


class RTVSelector:
    """The paper's tournament, scheduled without round barriers.

    Args:
        config: group size, votes, early stopping.
        judge: casts the votes.
    """

    name = "rtv"
    routes_votes = True
    judging: type[MatchVotes] = MatchVotes

    def __init__(self, config: TournamentConfig, judge: Judge) -> None:
        self.config = config
        self.judge = judge
        self.rejections = Rejections()

    @classmethod
    def open(cls, config: TournamentConfig, model: ChatModel) -> Self:
        """Construct the selector with a judge that asks the model."""
        return cls(config, open_judge(config, model))

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Play until `k` candidates are left, and rank all of them.

        If at most `k` candidates are eligible, all of them are selected. The final selection uses `k` = 1.

        Args:
            candidates: pending candidates by ID.
            k: number to select.
            case: the problem, and the resources to judge it with.

        Returns:
            The bracket with all matches and the ranking.

        Raises:
            NoCandidates: no rollout produced a candidate.
            LimitExceeded: a limit of the ledger is reached.
            ModelConfigError: no request to the judge can succeed.
        """
        return await self.play(candidates, k, case, self.judging(self.config, self.judge, case))

    async def play(self, candidates: PendingCandidates, k: int, case: Case, judging: MatchVotes) -> Bracket:
        """Play with a given way of deciding matches; see `select`.

        Args:
            candidates: pending candidates by ID.
            k: number to select.
            case: the problem, and the resources to judge it with.
            judging: decides the matches.
        """
        async with arrivals(candidates) as futures:
            slots, rounds = await _Play(judging, futures, k).run()
        present = [slot for slot in slots if isinstance(slot, Candidate)]
        if not present:
            raise NoCandidates("no rollout produced a candidate")
        ranking = rank(slots, rounds, preference(present, case.seed, "ranking", self.config.ties))
        ineligible = {one.id for one in present if not one.eligible}
        bracket = Bracket(
            selector=self.name,
            seed=case.seed,
            group_size=self.config.group_size,
            votes_per_match=self.config.full_match,
            rounds=rounds,
            merged=merged(slots),
            ranking=ranking,
            selected=ranking[: min(k, len(present) - len(ineligible))],
            ineligible=tuple(name for name in ranking if name in ineligible),
        )
        self.rejections.check([vote for match in bracket.matches for vote in match.votes])
        return bracket.model_copy(update={"by_chance": chosen_by_chance(bracket.selected, bracket.matches)})


class AdaptiveSelector(RTVSelector):
    """The same bracket, with V adapted to each match's margin."""

    name = "adaptive"
    judging = MarginVotes


class _Play:
    """A running tournament: arrived candidates, judged matches, and matches being judged."""

    def __init__(self, judging: MatchVotes, futures: dict[str, Arrival], k: int) -> None:
        self.judging, self.futures, self.keep = judging, futures, k
        self.order = seeded_order(futures, judging.case.seed)
        self.plan = plan_rounds(len(self.order), judging.config.group_size, k)
        self.contestants: dict[MatchKey, tuple[Candidate, ...]] = {}
        self.judged: dict[MatchKey, Match] = {}
        self.running: dict[MatchKey, asyncio.Task[Match]] = {}
        self.announced: dict[str, Match] = {}

    async def run(self) -> tuple[list[Slot], tuple[tuple[Match, ...], ...]]:
        """Play to the end; returns the slots and the decided matches by round."""
        try:
            while True:
                slots = counted([self._slot(name) for name in self.order])
                await self._stop(self._outdated(slots))
                state = resolve(slots, self.plan, self.judged, self.keep)
                self._announce(state)
                await self._keep_only(state)
                if not state.open:
                    return slots, state.rounds
                for key, contestants in state.ready.items():
                    if key not in self.running:
                        self.contestants[key] = contestants
                        self.running[key] = asyncio.create_task(self.judging.decide(key[0], contestants))
                waiting: list[asyncio.Future[Any]] = list(self.running.values())
                waiting += [
                    self.futures[name] for name, slot in zip(self.order, slots, strict=True) if slot == "pending"
                ]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                self._collect()
        finally:
            await self._stop(list(self.running))

    def _slot(self, name: str) -> Slot:
        future = self.futures[name]
        return future.result() if future.done() else "pending"

    def _outdated(self, slots: list[Slot]) -> list[MatchKey]:
        """Drop matches judged, or whose ties were broken, with fewer copies of a change than have arrived by now.

        Their votes stay in the journal; those cast on the current counts still apply.
        """
        config = self.judging.config
        if "more-copies" not in config.ties and "measured" not in FIELDS[config.judge.view]:
            return []
        copies = {slot.id: (slot.copies, slot.alike) for slot in slots if isinstance(slot, Candidate)}
        old = [
            key
            for key, those in self.contestants.items()
            if any((one.copies, one.alike) != copies[one.id] for one in those)
        ]
        for key in old:
            del self.contestants[key]
            self.judged.pop(key, None)
        return [key for key in old if key in self.running]

    def _collect(self) -> None:
        """Collect the results of finished matches; a failed match ends the tournament."""
        for key, task in list(self.running.items()):
            if task.done():
                self.judged[key] = self.running.pop(key).result()

    def _announce(self, state: Resolution) -> None:
        """Announce decided matches, after retracting announced ones that no longer stand."""
        journal, now = self.judging.case.journal, {match.id: match for matches in state.rounds for match in matches}
        for name, old in list(self.announced.items()):
            new = now.get(name)
            counted_again = any(key == name and set(ids) <= set(old.contestants) for key, ids in state.ready)
            if (new.contestants, new.winner) != (old.contestants, old.winner) if new else not counted_again:
                journal.drop_match(self.announced.pop(name))
        for name, match in now.items():
            if self.announced.get(name) != match:
                self.announced[name] = match
                journal.add_match(match)

    async def _keep_only(self, state: Resolution) -> None:
        """Stop matches whose contestants no longer meet because one of them equals a later arrival."""
        await self._stop([key for key in self.running if key not in state.ready])

    async def _stop(self, keys: list[MatchKey]) -> None:
        tasks = [self.running.pop(key) for key in keys]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
