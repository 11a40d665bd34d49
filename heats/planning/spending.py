"""Play allocation policies against a source of attempts: simulated ones (`dice.py`) or those of stored runs.

Policies and states are those of the runner. Time is virtual: attempts of a task run at the same time as far as the
policy starts them together and workers are free. Tasks are played one after another; those that pause continue once all
others have ended or pause, too.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

from heats.policies.base import Action, AllocationPolicy, Attempt, Event, TaskState
from heats.policies.state import acted, after, legal


@dataclass(frozen=True, slots=True)
class Drawn:
    """An attempt with what only the simulation or the hidden tests know: whether it is right."""

    attempt: Attempt
    right: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a tournament kept, best first, and the votes and seconds it took, summaries included."""

    kept: tuple[Drawn, ...]
    votes: float = 0.0
    seconds: float = 0.0


class AttemptSource(Protocol):
    """Supplies the attempts of one task, and its tournaments."""

    def attempt(self, heat: int, index: int, arm: int | None, context: Sequence[Drawn]) -> Drawn | None:
        """Return one attempt as it ends; None if there is none (a stored run has no more).

        Args:
            heat: number of the heat.
            index: number of the attempt in its heat.
            arm: index of its model, if the policy chose it.
            context: what the heat before kept.
        """
        ...

    def choose(self, heat: int, field: Sequence[Drawn], k: int) -> Chosen:
        """Return the tournament's choice.

        Args:
            heat: number of the heat.
            field: the candidates.
            k: number to keep.
        """
        ...


@dataclass(frozen=True, slots=True)
class Spent:
    """What became of one task.

    Attributes:
        attempts: attempts started, including those that were cancelled.
        tokens, cost_usd: of attempts; of cancelled ones, the part that had passed.
        seconds: from the first attempt to the end of the last tournament.
        passed: whether the final choice is right.
        judged: candidates that votes were cast on, which need summaries.
    """

    task: str
    passed: bool
    attempts: int
    tokens: float
    cost_usd: float
    seconds: float
    votes: float
    heats: int
    judged: int = 0


@dataclass(slots=True)
class _Play:
    """One task in progress."""

    state: TaskState
    source: AttemptSource
    keep_k: int = 2
    keep_candidates: bool = True
    workers: float = math.inf
    now: float = 0.0
    waiting: deque[str] = field(default_factory=deque)
    drawn: dict[str, Drawn] = field(default_factory=dict)
    ends: list[tuple[float, str]] = field(default_factory=list)
    begun: dict[str, float] = field(default_factory=dict)
    context: tuple[Drawn, ...] = ()
    kept: list[Drawn] = field(default_factory=list)
    votes: float = 0.0
    judged: int = 0
    final: Drawn | None = None

    def act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            known = len(self.state.attempts)
            self.state = acted(self.state, action)
            for one in self.state.attempts[known:]:
                self._draw(one)
        self._begin()

    def _draw(self, attempt: Attempt) -> None:
        index = int(attempt.rollout.rpartition("-")[2])
        drawn = self.source.attempt(attempt.heat, index, attempt.arm, self.context)
        if drawn is None:
            ended = attempt.model_copy(update={"state": "failed"})
            drawn = Drawn(ended, right=False)
        self.drawn[attempt.rollout] = drawn
        self.waiting.append(attempt.rollout)

    def _begin(self) -> None:
        """Put attempts that wait on free workers."""
        running = {one.rollout for one in self.state.running()}
        busy = sum(name in running for _, name in self.ends)
        while self.waiting and busy < self.workers:
            name = self.waiting.popleft()
            if name in running:
                self.begun[name] = self.now
                heapq.heappush(self.ends, (self.now + self.drawn[name].attempt.seconds, name))
                busy += 1

    def next_end(self) -> Event | None:
        """The next attempt that ends; None if none is running."""
        self._begin()
        running = {one.rollout: one for one in self.state.running()}
        while self.ends:
            self_now, name = heapq.heappop(self.ends)
            if name in running:
                self.now = self_now
                how = {"rollout": name, "heat": running[name].heat, "arm": running[name].arm}
                return Event(
                    kind="attempt", heat=self.state.heat, attempt=self.drawn[name].attempt.model_copy(update=how)
                )
        return None

    def tournament(self) -> Event:
        """Hold the heat's tournament."""
        state = self.state
        last = state.final or state.heat + 1 >= state.heats
        there = [self.drawn[one.rollout] for one in state.of_heat() if one.state == "ended"]
        nothing = all(one.state == "dropped" for one in state.of_heat())
        there += self.kept if nothing or (last and self.keep_candidates) else []
        there = [self.drawn[state.chosen]] if state.chosen else there
        there = [one for one in there if one.attempt.patch]
        chosen = self.source.choose(state.heat, there, 1 if last else self.keep_k) if there else Chosen(())
        self.votes += chosen.votes
        self.now += chosen.seconds
        self.judged += len(there) if chosen.votes else 0
        self.context = chosen.kept
        self.kept += chosen.kept
        self.final = chosen.kept[0] if chosen.kept else None
        names = tuple(one.attempt.rollout for one in chosen.kept)
        return Event(kind="bracket", heat=state.heat, selected=names)

    def spent(self) -> Spent:
        """The result."""
        shares = [(self.drawn[one.rollout], self._share(one)) for one in self.state.attempts]
        return Spent(
            task=self.state.task,
            passed=self.final is not None and self.final.right,
            attempts=sum(one.state != "failed" and one.rollout in self.begun for one in self.state.attempts),
            tokens=sum(share * one.attempt.tokens for one, share in shares),
            cost_usd=sum(share * one.attempt.cost_usd for one, share in shares),
            seconds=self.now,
            votes=self.votes,
            heats=self.state.heat + 1,
            judged=self.judged,
        )

    def _share(self, attempt: Attempt) -> float:
        """The part of an attempt that was played before it was cancelled."""
        if attempt.rollout not in self.begun:
            return 0.0
        length = self.drawn[attempt.rollout].attempt.seconds
        if attempt.state != "dropped" or not length:
            return 1.0
        return min(1.0, (self.now - self.begun[attempt.rollout]) / length)


def play_policy(
    policy: AllocationPolicy,
    tasks: Sequence[tuple[TaskState, AttemptSource]],
    *,
    select_k: int = 2,
    keep_candidates: bool = True,
    workers: float = math.inf,
) -> list[Spent]:
    """Play every task under a policy.

    Args:
        policy: the policy.
        tasks: the initial state of each task, and its source of attempts.
        select_k: K, candidates kept as refinement context.
        keep_candidates: the kept candidates of earlier heats play in the final tournament.
        workers: attempts of a task that can run at the same time.
    """
    plays = [_Play(state, source, select_k, keep_candidates, workers) for state, source in tasks]
    sweep = [play.state for play in plays]
    for place, play in enumerate(plays):
        _drive(policy, play, sweep, place, Event(kind="heat", heat=0))
    number = 0
    while paused := [place for place, play in enumerate(plays) if play.state.paused]:
        number += 1
        events = {place: Event(kind="pass", heat=sweep[place].heat, number=number) for place in paused}
        for place, event in events.items():
            plays[place].state = sweep[place] = after(sweep[place], event)
        there = tuple(sweep)
        decided = {
            place: list(legal(there[place], event, policy.decide(event, there[place], there)))
            for place, event in events.items()
        }
        for place in paused:
            plays[place].act(decided[place])
            _drive(policy, plays[place], sweep, place, plays[place].next_end())
    return [play.spent() for play in plays]


def _drive(policy: AllocationPolicy, play: _Play, sweep: list[TaskState], place: int, event: Event | None) -> None:
    """Play one task until it ends or pauses."""
    while not play.state.paused:
        if event is None:  # the heat is over
            event = play.tournament()
            if play.state.final or play.state.heat + 1 >= play.state.heats:
                play.state = play.state.model_copy(update={"final": True})
                break
        play.state = sweep[place] = after(play.state, event)
        play.act(legal(play.state, event, policy.decide(event, play.state, sweep)))
        sweep[place] = play.state
        if event.kind == "bracket":
            if play.state.final:
                break
            event = Event(kind="heat", heat=play.state.heat)
        else:
            event = None if play.state.over else play.next_end()
    sweep[place] = play.state


@dataclass(frozen=True, slots=True)
class Spending:
    """Means over tasks; `error` is the standard error of the pass rate."""

    passed: float
    error: float
    attempts: float
    tokens: float
    cost_usd: float
    seconds: float
    votes: float
    judged: float

    @property
    def attempts_per_pass(self) -> float | None:
        """Attempts for one passing task."""
        return self.attempts / self.passed if self.passed else None


def total(found: Sequence[Spent]) -> Spending:
    """The means of many tasks."""
    passed = fmean(one.passed for one in found)
    return Spending(
        passed=passed,
        error=math.sqrt(passed * (1 - passed) / len(found)),
        attempts=fmean(one.attempts for one in found),
        tokens=fmean(one.tokens for one in found),
        cost_usd=fmean(one.cost_usd for one in found),
        seconds=fmean(one.seconds for one in found),
        votes=fmean(one.votes for one in found),
        judged=fmean(one.judged for one in found),
    )
