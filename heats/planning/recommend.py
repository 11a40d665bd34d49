"""Which allocation policy to use, with how many attempts and heats, by simulation."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from heats import formatting as say
from heats.planning.dice import Dice, Signals
from heats.planning.plan import Prices, TaskLimits
from heats.planning.simulate import Method, World
from heats.planning.spending import Spending, Spent, play_policy, total
from heats.policies.registry import open_policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutlook:
    """A policy with N and T, and what it gives and costs per task.

    Attributes:
        passes: by simulated task, the same tasks for every policy.
        seconds: attempts on the workers there are, then the tournament.
        within: whether it is within the budget.
    """

    policy: str
    method: Method
    spending: Spending
    passes: tuple[bool, ...]
    calls: float
    tokens: float
    usd: float
    seconds: float
    within: bool

    def said(self) -> str:
        """The setting and its figures, in one line."""
        method, found = self.method, self.spending
        cost = f", {say.money(self.usd)}" if self.usd else ""
        tokens = f", {say.count(round(self.tokens))} tokens" if self.tokens else ""
        return (
            f"{self.policy}, N={method.rollouts}, T={method.iterations}: final {say.percent(found.passed)}, "
            f"{found.attempts:.1f} attempts{tokens}{cost}"
        )


def policy_outlooks(
    policies: Sequence[str],
    methods: Sequence[Method],
    world: World,
    signals: Signals,
    prices: Prices,
    budget: TaskLimits,
    *,
    tasks: int = 300,
    seed: int = 0,
) -> Iterator[PolicyOutlook]:
    """Simulate each policy with each N and T, on the same tasks.

    Args:
        policies: names of policies.
        methods: settings; for each N and T only the first is used.
        world: the model and its tasks.
        signals: what can be seen of attempts.
        prices: costs of a run's parts.
        budget: limits for one task.
        tasks: number of tasks to simulate.
        seed: seed of the simulation.
    """
    sizes = {(one.rollouts, one.iterations): one for one in reversed(methods)}
    for _, method in sorted(sizes.items()):
        for policy in policies:
            table = Dice(method, world, signals, prices, seed=seed)
            spent = play_policy(
                open_policy(policy),
                table.tasks(tasks),
                select_k=method.select_k,
                keep_candidates=method.keep,
                workers=prices.workers,
            )
            yield _outlook(policy, method, spent, prices, budget)


def _outlook(policy: str, method: Method, spent: Sequence[Spent], prices: Prices, budget: TaskLimits) -> PolicyOutlook:
    found, steps = total(spent), fmean(one.attempts for one in spent) * prices.steps[0]
    parts = ((found.attempts, prices.rollout), (found.judged, prices.summary), (found.votes, prices.vote))
    tokens = found.tokens + sum(number * cost.tokens for number, cost in parts)
    usd = found.cost_usd + sum(number * cost.usd for number, cost in parts)
    calls = (found.tokens / prices.step.tokens if prices.step.tokens else steps) + found.judged + found.votes
    seconds = found.seconds if any(cost.seconds for cost in (prices.rollout, prices.step, prices.vote)) else 0.0
    limits = ((budget.calls, calls), (budget.tokens, tokens), (budget.usd, usd), (budget.seconds, seconds))
    return PolicyOutlook(
        policy=policy,
        method=method,
        spending=found,
        passes=tuple(one.passed for one in spent),
        calls=calls,
        tokens=tokens,
        usd=usd,
        seconds=seconds,
        within=all(limit is None or used <= limit for limit, used in limits),
    )


def recommended(found: Sequence[PolicyOutlook]) -> PolicyOutlook | None:
    """The cheapest policy within the budget that is as good as the best one, up to one standard error."""
    allowed = [one for one in found if one.within]
    if not allowed:
        return None
    top = max(allowed, key=lambda one: one.spending.passed)
    least = top.spending.passed - top.spending.error
    good = [one for one in allowed if one.spending.passed >= least]
    return min(good, key=lambda one: (one.usd, one.tokens, one.calls))


def reasons(found: Sequence[PolicyOutlook], chosen: PolicyOutlook) -> list[str]:
    """Why this policy and this T, in comparison with the alternatives; one line each."""
    lines = [f"recommended: {chosen.said()} (-c policy.name={chosen.policy})"]
    fixed = next((one for one in found if one.policy == "fixed" and one.method == chosen.method), None)
    if fixed is not None and fixed is not chosen:
        saved = 1 - chosen.spending.attempts / fixed.spending.attempts
        lines.append(f"against fixed: {_difference(chosen, fixed)}, {saved:.0%} fewer attempts")
    for other in found:
        if (other.policy, other.method.rollouts) == (chosen.policy, chosen.method.rollouts) and other is not chosen:
            lines.append(_heats(chosen, other))
    return lines


def _heats(chosen: PolicyOutlook, other: PolicyOutlook) -> str:
    one, more = chosen.method.iterations, other.method.iterations
    calls = f"{abs(other.calls / chosen.calls - 1):.0%} {'more' if other.calls > chosen.calls else 'fewer'} calls"
    over = "" if other.within else ", over a limit"
    return f"T = {one} rather than {more}: T = {more} would give {_difference(other, chosen)} for {calls}{over}"


def _difference(one: PolicyOutlook, other: PolicyOutlook) -> str:
    """Difference of pass rates on the same tasks, with its 95 % interval."""
    changes = [int(mine) - int(theirs) for mine, theirs in zip(one.passes, other.passes, strict=True)]
    error = 1.96 * pstdev(changes) / math.sqrt(len(changes))
    return f"{100 * fmean(changes):+.1f} ± {100 * error:.1f} points"
