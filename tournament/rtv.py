"""RTV, recursive tournament voting: groups of G, V votes each, winners go on until K are left.

Source: arXiv:2604.16529. Ours are: evidence before votes, early stopping, equal changes entering once, play-offs where
a bye would take one of the K places, and a schedule without rounds. The tree of matches is fixed in advance
(`bracket.py`), and a match starts as soon as its own contestants are there. A candidate that turns out later to equal
another one may empty the slot of a match that was already judged; that match is taken back and its votes stay in the
journal, so that the outcome never depends on who came first.
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
from tournament.judge import ModelJudge
from tournament.match_votes import MarginVotes, MatchVotes
from tournament.slots import Slot, counted, merged, seeded_order
from tournament.standings import rank
from tournament.ties import preference
from tournament.view import FIELDS


class RTVSelector:
    """The tournament of the paper, with its schedule freed from rounds.

    Args:
        config: group size, votes, early stopping.
        judge: casts the votes.
    """

    name = "rtv"
    judging: type[MatchVotes] = MatchVotes

    def __init__(self, config: TournamentConfig, judge: Judge) -> None:
        self.config = config
        self.judge = judge
        self.rejections = Rejections()

    @classmethod
    def open(cls, config: TournamentConfig, model: ChatModel) -> Self:
        """The selector whose judge asks a model."""
        return cls(config, ModelJudge(config, model))

    async def select(self, candidates: PendingCandidates, k: int, case: Case) -> Bracket:
        """Play until `k` are left and rank everybody.

        Fewer than `k` eligible candidates are all selected. The final is the same with `k` = 1.

        Raises:
            NoCandidates, LimitExceeded, ModelConfigError.
        """
        async with arrivals(candidates) as futures:
            slots, rounds = await _Play(self.judging(self.config, self.judge, case), futures, k).run()
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
    """The same bracket with V adapted to each match's margin."""

    name = "adaptive"
    judging = MarginVotes


class _Play:
    """One tournament while it runs: arrived candidates, judged matches, and the matches being judged."""

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
        """Forget matches that were judged, or whose ties were broken, by fewer copies of a patch than have come by now.

        Their votes are in the journal; those count in which the judge was shown what holds now.
        """
        config = self.judging.config
        if "more-copies" not in config.ties and "measured" not in FIELDS[config.judge.view]:
            return []
        copies = {slot.id: slot.copies for slot in slots if isinstance(slot, Candidate)}
        old = [key for key, those in self.contestants.items() if any(one.copies != copies[one.id] for one in those)]
        for key in old:
            del self.contestants[key]
            self.judged.pop(key, None)
        return [key for key in old if key in self.running]

    def _collect(self) -> None:
        """Take the results of matches that ended; a match's failure ends the tournament."""
        for key, task in list(self.running.items()):
            if task.done():
                self.judged[key] = self.running.pop(key).result()

    def _announce(self, state: Resolution) -> None:
        """Tell what is decided, and first what of that told before no longer is."""
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
        """Stop matches whose contestants no longer meet: one of them equals a candidate that came later."""
        await self._stop([key for key in self.running if key not in state.ready])

    async def _stop(self, keys: list[MatchKey]) -> None:
        tasks = [self.running.pop(key) for key in keys]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
