"""Forecast success and cost over a grid of settings, and find the best setting within a budget."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from heats.planning.simulate import Forecast, Method, Simulation, World
from tournament.bracket import plan_rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one model call of a kind."""

    tokens: float = 0.0
    usd: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The costs of a run's parts.

    Attributes:
        steps: steps per rollout, by heat; the last value applies to later heats, the first to rollouts without context.
        step: one step of an agent, including its command.
        rollout: fixed cost of a rollout: starting and preparing a sandbox, running the tests.
        summary: the summary of one rollout.
        vote: one vote.
        workers: rollouts running at the same time.
    """

    steps: tuple[float, ...]
    step: Cost
    summary: Cost
    vote: Cost
    rollout: Cost = Cost()
    workers: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLimits:
    """Limits for one task; None means no limit."""

    calls: float | None = None
    tokens: float | None = None
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A setting with its results and costs for one task.

    Attributes:
        seconds: rollouts in batches of `workers`, then a summary, then the tournament's rounds with all votes of a
            round at once.
        within: whether it is within the budget.
    """

    method: Method
    forecast: Forecast
    calls: float
    tokens: float
    usd: float
    seconds: float
    within: bool = True


def settings(
    base: Method,
    rollouts: Sequence[int],
    select_k: Sequence[int],
    group_size: Sequence[int],
    votes: Sequence[int],
    iterations: Sequence[int],
) -> list[Method]:
    """All distinct combinations that make sense: K at most N, and K varied only if another heat follows.

    Args:
        base: supplies the remaining settings.
        rollouts: values of N.
        select_k: values of K.
        group_size: values of G.
        votes: values of V.
        iterations: values of T.
    """
    found: dict[Method, None] = {}
    for n, k, g, v, t in itertools.product(rollouts, select_k, group_size, votes, iterations):
        if t > 1 and k > n:
            continue
        kept = k if t > 1 else 1
        found[replace(base, rollouts=n, select_k=kept, group_size=g, votes=v, iterations=t)] = None
    return list(found)


def outlooks(
    methods: Sequence[Method], world: World, prices: Prices, budget: TaskLimits, *, tasks: int = 1000, seed: int = 0
) -> Iterator[Outlook]:
    """Simulate each setting on the same tasks.

    Args:
        methods: the settings.
        world: the model and its tasks.
        prices: costs of a run's parts.
        budget: limits for one task.
        tasks: number of tasks to simulate.
        seed: seed of the simulation.
    """
    for method in methods:
        forecast = Simulation(method, world, seed).run(tasks)
        yield _outlook(method, forecast, prices, budget)


def best(found: Sequence[Outlook], tasks: int) -> Outlook | None:
    """The cheapest setting within the budget that is as good as the best, up to one standard error.

    Args:
        found: the simulated settings.
        tasks: number of tasks that were simulated.
    """
    allowed = [one for one in found if one.within]
    if not allowed:
        return None
    top = max(one.forecast.final for one in allowed)
    error = math.sqrt(max(top * (1 - top), 0.0) / tasks)
    return min((one for one in allowed if one.forecast.final >= top - error), key=lambda one: (one.usd, one.calls))


def _outlook(method: Method, forecast: Forecast, prices: Prices, budget: TaskLimits) -> Outlook:
    steps = [_steps(method, prices, heat) for heat in range(method.iterations)]
    ran, summaries, votes = method.rollouts * sum(steps), forecast.rollouts, forecast.votes
    parts = ((ran, prices.step), (summaries, prices.rollout), (summaries, prices.summary), (votes, prices.vote))
    calls = ran + summaries + votes
    tokens = sum(number * cost.tokens for number, cost in parts)
    usd = sum(number * cost.usd for number, cost in parts)
    seconds = sum(_seconds(method, prices, heat, steps[heat], forecast.waves) for heat in range(method.iterations))
    limits = ((budget.calls, calls), (budget.tokens, tokens), (budget.usd, usd), (budget.seconds, seconds))
    within = all(limit is None or spent <= limit for limit, spent in limits)
    return Outlook(
        method=method, forecast=forecast, calls=calls, tokens=tokens, usd=usd, seconds=seconds, within=within
    )


def _steps(method: Method, prices: Prices, heat: int) -> float:
    """Mean steps of a heat's rollouts."""
    if heat == 0:
        return prices.steps[0]
    informed = prices.steps[min(heat, len(prices.steps) - 1)]
    fresh = method.fresh / method.rollouts
    return fresh * prices.steps[0] + (1 - fresh) * informed


def _seconds(method: Method, prices: Prices, heat: int, steps: float, waves: float) -> float:
    """Seconds for one heat: rollouts in batches, a summary, and rounds of matches whose votes come in waves."""
    last = heat == method.iterations - 1
    entrants = method.rollouts + (method.keep and last) * method.select_k * heat
    rounds = len(plan_rounds(entrants, method.group_size, 1 if last else method.select_k))
    rows = math.ceil(method.rollouts / prices.workers) * (steps * prices.step.seconds + prices.rollout.seconds)
    return rows + prices.summary.seconds + rounds * waves * prices.vote.seconds
