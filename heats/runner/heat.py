"""One heat: N concurrent rollouts, and a tournament that starts while they still run.

A heat's plan depends only on the configuration and the previous heat, so a resumed heat has the same rollouts.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from core.aio import first_error
from core.ids import RolloutId, heat_name
from envs.regression import first_words
from heats.context_rules import Choice, Rule, choice_of, fresh_rollouts, open_context_rule
from heats.runner.attempts import handed_in, play_attempts
from heats.runner.context import PRINTED, Context, make_context, recorded, with_choice
from heats.runner.context_view import view_before
from heats.runner.executed import executed, is_on
from heats.runner.probing import open_probe
from heats.runner.rollout import Plan, TaskRun
from heats.runner.test_writers import TestWriters
from heats.store.cross_store import CrossStore
from heats.store.cross_table import failures_of, failures_text, with_cross
from heats.store.records import CrossTable
from tournament.base import Bracket, Candidate, Case
from tournament.errors import NoCandidates
from tournament.ranker import ranked

Entrants = Mapping[str, asyncio.Task[Candidate | None]]


def rollout_ids(heat: int, count: int) -> list[str]:
    """Ids of a heat's rollouts: `heat-0/rollout-00` ..."""
    return [str(RolloutId(heat, index)) for index in range(count)]


async def plan_heat(run: TaskRun, heat: int) -> list[Plan]:
    """The plans of a heat's rollouts: what each sees of the previous heat.

    The last `fresh_share` of a later heat's rollouts sees nothing, unless the context rule has something for them.

    Raises:
        LimitExceeded, ModelConfigError: a summary that is needed could not be made.
    """
    config = run.services.config
    ids = rollout_ids(heat, config.rollouts)
    if heat == 0:
        return [Plan(rollout=rollout, index=index) for index, rollout in enumerate(ids)]
    before = run.store.bracket(heat - 1)
    if before is None:
        raise RuntimeError(f"heat {heat} planned before the tournament of heat {heat - 1} was stored")
    refine = config.refine
    rule = _rule(run)
    everybody = {one: _candidate_before(run, heat, one) for one in before.ranking}
    candidates = {name: one for name, one in everybody.items() if one is not None}
    if getattr(rule, "reads_summaries", False):
        candidates |= {one.id: one for one in await asyncio.gather(*map(run.describe, candidates.values()))}
    informed = config.rollouts - fresh_rollouts(config.rollouts, refine.fresh_share)
    view = view_before(
        run,
        heat,
        before,
        candidates,
        summaries=getattr(rule, "reads_summaries", False),
        turns=getattr(rule, "branches", False),
    )
    choices = [choice_of(rule, view.of(index, fresh=index >= informed)) for index in range(len(ids))]
    contexts = await _contexts(run, before, candidates, set(choices))
    return [Plan(rollout=rollout, index=index, context=contexts[choices[index]]) for index, rollout in enumerate(ids)]


async def _contexts(
    run: TaskRun, before: Bracket, candidates: Mapping[str, Candidate], wanted: set[Choice]
) -> dict[Choice, Context]:
    """Each context once, with the summaries it needs."""
    refine = run.services.config.refine
    parents = sorted({name for one in wanted for name in recorded(one.parents, candidates, refine)})
    shown = {name for one in wanted if one.texts is None for name in recorded(one.parents, candidates, refine)}
    described = await asyncio.gather(*(run.describe(candidates[name]) for name in parents if name in shown))
    candidates = {**candidates, **{one.id: one for one in described}}
    changes = {*parents, *(one.start for one in wanted)} & set(candidates)
    patches = {} if run.task.submission == "state" else {one: run.store.rollout(one).patch().data for one in changes}
    return {
        one: with_choice(make_context(one.parents, candidates, patches, before, refine), one, patches, refine)
        for one in wanted
    }


async def run_heat(run: TaskRun, heat: int, plans: list[Plan] | None = None) -> Bracket:
    """Play a heat and its tournament: K are kept, or one in the last heat.

    Args:
        plans: of the heat's rollouts, if they were made already.

    Raises:
        NoCandidates: infrastructure prevented every rollout.
        LimitExceeded: the task's or the run's limit was reached while judging.
        SetupFailed, ModelConfigError: no rollout can be attempted.
    """
    stored = run.store.bracket(heat)
    if stored is not None:
        return stored
    config = run.services.config
    last = heat == config.iterations - 1
    plans = plans or await plan_heat(run, heat)
    if run.clock is not None:
        run.clock.start_heat(heat)
    context = sorted({parent for plan in plans for parent in plan.context.parents})
    names = [plan.rollout for plan in plans]
    run.services.events.emit("heat_started", task=run.task.id, heat=heat, rollouts=names, context=context)
    coming = await play_attempts(run, heat, plans)
    state = run.allocation.state if run.allocation is not None else None
    last = last or (state is not None and state.final)
    nothing = not coming and state is not None and all(one.state == "dropped" for one in state.of_heat())
    if nothing or (last and not (state and state.chosen) and config.refine.keep_candidates):
        coming |= {one: _earlier(run, one) for one in _kept_before(run, heat)}
    return await hold_tournament(run, heat, coming, 1 if last else config.select_k)


async def hold_tournament(
    run: TaskRun, heat: int, coming: Mapping[str, Coroutine[Any, Any, Candidate | None]], k: int
) -> Bracket:
    """Select among candidates while they arrive, and store the bracket.

    Args:
        run: the task.
        heat: number of the heat.
        coming: the rollouts in progress, by id; each returns its candidate, or None.
        k: number of candidates to keep.

    Raises:
        Whatever `run_heat` raises.
    """
    writers = None
    if len(coming) > 1 and is_on(run):
        writers = TestWriters(run)
        coming = executed(run, heat, coming, writers)
    scope = asyncio.timeout(run.clock.winners_s() if run.clock is not None else None)
    try:
        async with scope, asyncio.TaskGroup() as group:
            entrants = {name: group.create_task(candidate) for name, candidate in coming.items()}
            writing = [group.create_task(writers.work())] if writers is not None else []
            selection = group.create_task(_select(run, heat, entrants, k))
            selection.add_done_callback(lambda _: [task.cancel() for task in (*entrants.values(), *writing)])
    except BaseExceptionGroup as errors:
        raise first_error(errors) from errors
    except TimeoutError:
        if not scope.expired():
            raise
        bracket = _decide_late(run, heat, tuple(coming), k)
    else:
        bracket = selection.result()
    _tell_of(run, heat, bracket)
    run.store.save_bracket(heat, bracket)
    if run.clock is not None:
        run.clock.save()
    return bracket


def _tell_of(run: TaskRun, heat: int, bracket: Bracket) -> None:
    """Warn if a heat has nothing to select, or if nothing supports its selection."""
    if not bracket.selected:
        text = f"heat {heat}: none of its {len(bracket.ranking)} rollouts produced a patch, so nothing is kept"
    elif bracket.by_chance:
        text = f"heat {heat}: no vote on {', '.join(bracket.by_chance)} could be read, so they were chosen at random"
    else:
        return
    run.services.events.emit("warning", task=run.task.id, text=text)


def _decide_late(run: TaskRun, heat: int, names: tuple[str, ...], k: int) -> Bracket:
    """Decide without further votes when time is up: by evidence, then by whether it was submitted, then at random.

    Raises:
        NoCandidates
    """
    seed = run.services.seed(run.task.id, heat_name(heat), "tournament")
    places: dict[str, tuple[int, bool, int]] = {}
    found: list[Candidate] = []
    for name in names:
        candidate, outcome = handed_in(run, name), run.store.rollout(name).outcome()
        if candidate is not None and outcome is not None:
            found.append(candidate)
            late = outcome.exit != "submitted"
            places[name] = (-candidate.evidence_rank, late, run.services.seed(seed, name))
    if not found:
        raise NoCandidates("no rollout produced a candidate within the task's time")
    run.services.events.emit("warning", task=run.task.id, text=f"heat {heat}: time ran out before all votes were cast")
    return ranked("deadline", seed, sorted(found, key=lambda one: places[one.id]), k, found)


async def _select(run: TaskRun, heat: int, entrants: Entrants, k: int) -> Bracket:
    journal = run.store.journal(heat, run.services.events)
    probe = open_probe(run, heat)
    routing = run.routing.votes(heat) if run.routing is not None else None
    try:
        case = Case(
            problem=run.task.statement,
            seed=run.services.seed(run.task.id, heat_name(heat), "tournament"),
            ledger=run.ledger.child(f"{run.task.id}/{heat_name(heat)}/tournament"),
            journal=journal,
            describe=run.describe if run.reads_summaries else None,
            probe=probe,
            routing=routing,
        )
        return await run.services.selector.select(entrants, k, case)
    finally:
        journal.close()
        for one in (probe, routing):
            if one is not None:
                one.close()


async def _earlier(run: TaskRun, rollout: str) -> Candidate | None:
    return run.finished(rollout)


def _kept_before(run: TaskRun, heat: int) -> list[str]:
    """Ids kept by the tournaments of all earlier heats, without duplicates."""
    brackets = [run.store.bracket(earlier) for earlier in range(heat)]
    return list(dict.fromkeys(one for bracket in brackets if bracket for one in bracket.selected))


def _rule(run: TaskRun) -> Rule:
    """The context rule of the next heat: the one that the allocation policy named, or else `refine.context`."""
    refine = run.services.config.refine
    chosen = run.allocation.state.context if run.allocation is not None else None
    if chosen is None or chosen == refine.context:
        return open_context_rule(refine.context, refine.options)
    return open_context_rule(chosen, {})


def _candidate_before(run: TaskRun, heat: int, rollout: str) -> Candidate | None:
    candidate = run.finished(rollout)
    table = CrossStore(run.store.directory).table(heat - 1)
    if candidate is not None and table is not None:
        candidate = with_cross(candidate, table)
    said = _printed(run, rollout, table)
    if candidate is None or not said:
        return candidate
    told = "\n".join(text for text in (candidate.evidence, f"{PRINTED}\n{said}") if text)
    return candidate.model_copy(update={"evidence": told})


def _printed(run: TaskRun, rollout: str, table: CrossTable | None) -> str:
    """The first lines of output of tests that an attempt fails: the user's, the project's and those of attempts."""
    evidence = run.store.rollout(rollout).evidence()
    after = evidence.after if evidence is not None else None
    words = first_words(after, after.ids("failed", "error")) if after is not None else {}
    own = failures_text(words)
    return "\n".join(text for text in (own, failures_of(rollout, table) if table is not None else "") if text)
