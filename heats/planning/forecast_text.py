"""Simulated settings as a table and as JSON."""

from collections.abc import Sequence
from typing import Any

from heats import formatting as say
from heats.planning.plan import Outlook
from heats.planning.recommend import PolicyOutlook

_BAR = 20


def outlook_text(found: list[Outlook], best: Outlook | None, width: int | None = None) -> str:
    """One row per setting, cheapest first, with a bar for its final pass@1; `*` marks the best, `-` over a limit.

    Args:
        found: the simulated settings.
        best: the best of them, if any is within the budget.
        width: maximum line length in characters; None for the terminal's width, or 120.
    """
    rows = [
        ["", "N", "K", "G", "V", "T", "pass@1", "Sel-K", "final", "", "pass@N", "calls", "tokens", "cost", "time"],
    ]
    low = min(one.forecast.final for one in found)
    high = max(one.forecast.final for one in found)
    for one in sorted(found, key=lambda one: (one.usd, one.calls)):
        mark = "*" if one is best else "" if one.within else "-"
        rows.append([mark, *_cells(one, low, high)])
    told_of = [column for column in range(len(rows[0])) if column in (0, 9) or any(row[column] for row in rows[1:])]
    rows = [[row[column] for column in told_of] for row in rows]
    bar = rows[0].index("", 1)
    numbers = [column for column in range(len(rows[0])) if column not in (0, bar)]
    lines = say.aligned(rows, width or say.columns(), right=numbers, cut=(bar,), drop=("calls", "Sel-K", "tokens"))
    told = "* cheapest setting within one standard error of the best; - over a limit"
    return "\n".join([*lines, "", told if best else "no setting is within the limits"])


def _cells(one: Outlook, low: float, high: float) -> list[str]:
    method, forecast = one.method, one.forecast
    length = round(_BAR * (forecast.final - low) / (high - low)) if high > low else 0
    several = method.iterations > 1
    return [
        str(method.rollouts),
        str(method.select_k) if several else "",
        str(method.group_size),
        str(method.votes),
        str(method.iterations),
        say.percent(forecast.heats[0]),
        say.percent(forecast.selected[0]) if several else "",
        say.percent(forecast.final),
        "#" * (1 + length),
        say.percent(max(forecast.oracle)),
        say.count(round(one.calls)),
        say.count(round(one.tokens)) if one.tokens else "",
        say.money(one.usd) if one.usd else "",
        say.duration(one.seconds) if one.seconds else "",
    ]


def as_dict(one: Outlook, *, is_best: bool) -> dict[str, Any]:
    """A setting with its results and costs for one task; shares are between 0 and 1."""
    method, forecast = one.method, one.forecast
    return {
        "rollouts": method.rollouts,
        "select_k": method.select_k if method.iterations > 1 else None,
        "group_size": method.group_size,
        "votes": method.votes,
        "iterations": method.iterations,
        "pass_at_1": list(forecast.heats),
        "kept": list(forecast.selected),
        "pass_at_n": list(forecast.oracle),
        "final": forecast.final,
        "calls": one.calls,
        "votes_cast": forecast.votes,
        "tokens": one.tokens,
        "cost_usd": one.usd,
        "seconds": one.seconds,
        "within_limits": one.within,
        "best": is_best,
    }


def policies_text(found: Sequence[PolicyOutlook], best: PolicyOutlook | None, width: int | None = None) -> str:
    """One row per policy, N and T; `>` marks the recommended one, `over` those over a limit.

    Args:
        found: the simulated policies.
        best: the recommended one.
        width: maximum line length in characters; None for the terminal's width, or 120.
    """
    rows = [["", "policy", "N", "T", "final", "attempts", "calls", "tokens", "cost", "time"]]
    for one in found:
        spent = one.spending
        rows.append(
            [
                *(">" if one is best else "" if one.within else "over", one.policy),
                *(str(one.method.rollouts), str(one.method.iterations), say.percent(spent.passed)),
                *(f"{spent.attempts:.1f}", say.count(round(one.calls))),
                *(say.count(round(one.tokens)) if one.tokens else "", say.money(one.usd) if one.usd else ""),
                say.duration(one.seconds) if one.seconds else "",
            ]
        )
    told_of = [column for column in range(len(rows[0])) if column == 0 or any(row[column] for row in rows[1:])]
    rows = [[row[column] for column in told_of] for row in rows]
    return "\n".join(say.aligned(rows, width or say.columns(), right=range(2, len(rows[0])), drop=("calls", "tokens")))


def policy_dict(one: PolicyOutlook, *, is_best: bool) -> dict[str, Any]:
    """A policy with its results and costs for one task; shares are between 0 and 1."""
    return {
        "policy": one.policy,
        "rollouts": one.method.rollouts,
        "iterations": one.method.iterations,
        "final": one.spending.passed,
        "standard_error": one.spending.error,
        "attempts": one.spending.attempts,
        "calls": one.calls,
        "votes_cast": one.spending.votes,
        "tokens": one.tokens,
        "cost_usd": one.usd,
        "seconds": one.seconds,
        "within_limits": one.within,
        "recommended": is_best,
    }
