"""A heat's attempts as the allocation policy wants them: which are started, which are cancelled, when the heat ends."""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from heats.policies.base import Attempt, Event
from heats.runner.allocation import Allocation
from heats.runner.rollout import Plan, TaskRun
from heats.store.cross_store import CrossStore
from tournament.base import Bracket, Candidate

Coming = dict[str, Coroutine[Any, Any, Candidate | None]]


async def play_attempts(run: TaskRun, heat: int, plans: Sequence[Plan]) -> Coming:
    """The heat's candidates, by rollout.

    A policy that plays whole heats gets all rollouts, which run while their tournament does. Otherwise the attempts are
    played here, until the policy ends the heat, and the candidates are there at once.

    Args:
        run: the task.
        heat: number of the heat.
        plans: of all rollouts that the heat may have.

    Raises:
        Paused: the task waits for the others of its sweep.
        LimitExceeded, SetupFailed, ModelConfigError: see `TaskRun.candidate`.
    """
    allocation = run.allocation
    if allocation is None or allocation.whole_heats:
        return {plan.rollout: run.candidate(plan) for plan in plans}
    allocation.begin_heat(heat)
    allocation.retry_failed()
    allocation.unpause()
    playing = _Playing(run, allocation, {plan.rollout: plan for plan in plans})
    scope = asyncio.timeout(run.clock.winners_s() if run.clock is not None else None)
    try:
        async with scope:
            await playing.run()
    except TimeoutError:
        if not scope.expired():
            raise
    if allocation.state.running():
        allocation.cut("time ran out", playing.handed_in())
    allocation.unpause()
    found = await playing.candidates(heat)
    chosen = allocation.state.chosen  # of this heat or an earlier one
    if chosen and (candidate := found.get(chosen) or run.finished(chosen)) is not None:
        found = {chosen: candidate}
    elif allocation.state.final:  # lower evidence cannot win, so no votes are spent on it
        best = max((one.evidence_rank for one in found.values() if one.eligible), default=0)
        found = {name: one for name, one in found.items() if one.evidence_rank == best or not one.eligible}
    return {name: _there(one) for name, one in found.items()}


async def _there(candidate: Candidate) -> Candidate | None:
    return candidate


def handed_in(run: TaskRun, rollout: str) -> Candidate | None:
    """A rollout that was played to its end as a candidate, verified or not; None if there is nothing to compare."""
    outcome = run.store.rollout(rollout).outcome()
    if outcome is None or outcome.exit in (None, "sandbox_lost"):
        return None
    return run.finished(rollout)


class _Playing:
    """The attempts that are running now."""

    def __init__(self, run: TaskRun, allocation: Allocation, plans: Mapping[str, Plan]) -> None:
        self._run, self._allocation, self._plans = run, allocation, plans
        self._tasks: dict[str, asyncio.Task[Candidate | None]] = {}
        self._found: dict[str, Candidate | None] = {}

    async def run(self) -> None:
        """Play until the policy ends the heat, or pauses the task."""
        try:
            self._start()
            while self._tasks:
                await self._news()
                for name in sorted(name for name, task in self._tasks.items() if task.done()):
                    self._end(name)
                self._allocation.tell_looks()
                await self._stop(self._tasks.keys() - {one.rollout for one in self._allocation.state.running()})
                self._start()
        finally:
            await self._stop(list(self._tasks))

    async def _news(self) -> None:
        """Wait until an attempt ends or was looked at."""
        looked = asyncio.create_task(self._allocation.news.wait())
        try:
            await asyncio.wait([*self._tasks.values(), looked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            looked.cancel()

    def _start(self) -> None:
        for one in self._allocation.state.running():
            if one.rollout not in self._tasks:
                self._tasks[one.rollout] = asyncio.create_task(self._run.candidate(self._plan(one)))

    def _plan(self, attempt: Attempt) -> Plan:
        return replace(self._plans[attempt.rollout], arm=attempt.arm, temperature=attempt.temperature)

    def _end(self, name: str) -> None:
        """Tell the policy of an ended attempt, unless it was dropped at the same moment."""
        running = next((one for one in self._allocation.state.running() if one.rollout == name), None)
        candidate = self._tasks.pop(name).result()
        if running is not None:
            self._found[name] = candidate
            running = running.model_copy(update={"half": self._allocation.looked.get(name, running.half)})
            self._allocation.attempt_ended(ended_attempt(self._run, running, candidate))

    async def _stop(self, names: Collection[str]) -> None:
        tasks = [self._tasks.pop(name) for name in list(names)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def handed_in(self) -> list[Attempt]:
        """Attempts that wait for their verification only: they can be compared without it."""
        ended: list[Attempt] = []
        for one in self._allocation.state.running():
            candidate = handed_in(self._run, one.rollout)
            if candidate is not None:
                self._found[one.rollout] = candidate
                ended.append(ended_attempt(self._run, one, candidate))
        return ended

    async def candidates(self, heat: int) -> dict[str, Candidate]:
        """The candidates of the attempts that ended by themselves, now or in an earlier process."""
        found: dict[str, Candidate] = {}
        for one in self._allocation.state.of_heat():
            if one.state == "ended":
                known = self._found.get(one.rollout) or await self._run.candidate(self._plan(one))
                found |= {one.rollout: known} if known is not None else {}
        return found


def ended_attempt(run: TaskRun, attempt: Attempt, candidate: Candidate | None) -> Attempt:
    """An attempt with how it ended, from its records.

    Args:
        run: the task.
        attempt: the attempt as it was started.
        candidate: what it yielded; None if infrastructure prevented it.
    """
    files = run.store.rollout(attempt.rollout)
    outcome, evidence = files.outcome(), files.evidence()
    if candidate is None or outcome is None:
        return attempt.model_copy(update={"state": "failed", "exit": (outcome and outcome.exit) or ""})
    return attempt.model_copy(
        update={
            "state": "ended",
            "exit": outcome.exit or "",
            "patch": (candidate.patch_key or candidate.id) if candidate.eligible else "",
            "derived": candidate.derived,
            "rank": evidence.rank if evidence is not None else None,
            "verdict": evidence.verdict if evidence is not None else "",
            "steps": outcome.steps,
            "tokens": outcome.usage.tokens,
            "cost_usd": outcome.usage.cost_usd,
            "seconds": outcome.duration_s,
        }
    )


def another_heat(run: TaskRun, heat: int, bracket: Bracket) -> bool:
    """Whether the allocation policy plays another heat after this tournament.

    Args:
        run: the task.
        heat: number of the heat.
        bracket: its tournament.
    """
    evidence = run.store.rollout(bracket.selected[0]).evidence() if bracket.selected else None
    verified = evidence is not None and evidence.verdict == "verified" and evidence.rank == 3
    stop = verified and run.services.config.refine.stop_when_verified
    if run.allocation is None:
        return not stop
    table = CrossStore(run.store.directory).table(heat)
    behaviours = dict(table.behaviours) if table is not None else {}
    event = Event(kind="bracket", heat=heat, selected=bracket.selected, behaviours=behaviours)
    return run.allocation.heat_ended(event, stop=stop)
