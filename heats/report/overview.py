"""The report's first page: figures, stages, costs and the list of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.llm.ledger import Usage
from core.sanitize import one_line
from heats import formatting as say
from heats.report.charts import draw_chart, draw_spreads
from heats.report.drawings import draw_timeline
from heats.report.routed import routed
from heats.report.servers import served
from heats.report.spending import HeatWork, spending
from heats.report.table import MEANING, RunFigures, cells, header, notes, steps_text, total_cells
from heats.report.timeline import run_rows, seconds
from heats.store.events import RunEvent
from heats.store.records import Charge
from heats.store.store import RunStore
from heats.view.live_model import amount, pairs, word

TONES = {
    "verified": "good",
    "solved": "good",
    "passes": "weak",
    "unverified": "weak",
    "not_solved": "weak",
    "budget": "weak",
    "error": "bad",
    "no_patch": "",
    "running": "accent",
}
SUCCESS_WORDS = {
    "pass": ("passes hidden tests", "fails hidden tests"),
    "verified": ("verified", "not verified"),
    "none": ("", ""),
}
MAX_TIMELINE_TASKS = 60


@dataclass(frozen=True, slots=True)
class OverviewFacts:
    """The data of the first page.

    Attributes:
        links: address of each task's part of the report.
        work: the agents' work, by heat.
    """

    run: RunStore
    figures: RunFigures
    events: Sequence[RunEvent]
    links: Mapping[str, str]
    work: Sequence[HeatWork]
    charges: Sequence[Charge]


def overview(facts: OverviewFacts, grouped: dict[str, list[RunEvent]]) -> dict[str, Any]:
    """The values for the overview's template."""
    figures, links = facts.figures, facts.links
    heats = max(figures.totals.heats, 1)
    few = len(figures.tasks) <= MAX_TIMELINE_TASKS and len(figures.tasks) > 1
    return {
        "title": _title(facts.run, figures),
        "about": _about(facts.run, facts.events),
        "cards": _cards(figures),
        "notes": [*notes(figures)[:-1], *_left_out(facts.events), *map(str, served(facts.events)), *routed(facts.run)],
        "meaning": MEANING[figures.basis],
        "stages": _stages(figures),
        "chart": draw_chart([(f"heat {heat}", figures.curve(heat)) for heat in range(figures.totals.heats)]),
        "steps": draw_spreads([(f"heat {heat}", work.steps) for heat, work in enumerate(facts.work)]),
        "spent": _spent(facts),
        "total_usage": figures.usage,
        "critic": _critic(figures),
        "header": header(heats),
        "rows": [
            {"href": links[task.task], "cells": cells(task, heats), "tone": TONES.get(task.ending, "")}
            for task in figures.tasks
        ],
        "total": total_cells(figures) if figures.totals.heats else [""] * len(header(heats)),
        "beside": any(not link.startswith("#") for link in links.values()),
        "timeline": draw_timeline(run_rows(grouped)) if few else None,
    }


def _title(run: RunStore, figures: RunFigures) -> str:
    if len(figures.tasks) == 1:
        task = figures.tasks[0]
        return f"{task.task}: {say.STATUS_WORDS.get(task.ending, task.ending)}"
    return f"{run.manifest.run_id}: {figures.succeeded.replace('/', ' of ', 1)}"


def _left_out(events: Sequence[RunEvent]) -> list[str]:
    """What could not be used, as recorded at the run's last start."""
    last = next((event for event in reversed(events) if event.kind == "left_out"), None)
    reasons = pairs(last.data, "reasons") if last is not None else []
    return [f"left out: {one_line(name, 80)}: {one_line(why, 200)}" for name, why in reasons]


def _about(run: RunStore, events: Sequence[RunEvent]) -> list[str]:
    data = next((event.data for event in events if event.kind in {"run_started", "run_resumed"}), {})
    moments = [moment for event in (*events[:1], *events[-1:]) if (moment := seconds(event)) is not None]
    plan = f"{amount(data, 'rollouts')} rollouts × {say.several(amount(data, 'iterations'), 'heat')}"
    vote = f"{say.several(amount(data, 'votes'), 'vote')} in groups of {amount(data, 'group_size')}"
    told = [f"heats {run.manifest.command}", word(data, "model"), word(data, "sandbox")]
    told += [plan, f"keeping {amount(data, 'select_k')}", vote] if data else []
    told += [f"{events[0].time[:16].replace('T', ' ')} UTC", say.duration(moments[-1] - moments[0])] if moments else []
    return [part for part in told if part]


def _cards(figures: RunFigures) -> list[tuple[str, str, bool]]:
    totals = figures.totals
    what = {"pass": "passed", "verified": "verified", "none": "success"}[figures.basis]
    cards = [(say.percent(totals.final), f"final choice, {what}", True)]
    for heat, value in enumerate(totals.pass_at_1):
        cards.append((say.percent(value), f"heat {heat}, pass@1", False))
        if heat < totals.heats - 1:
            cards.append((say.percent(totals.kept[heat]), "kept (Sel-K)", False))
    cards.append((steps_text(totals.steps) or "–", f"steps by heat, {totals.rollouts:,} rollouts", False))
    cards.append((cached_share(figures.usage), "of prompts from the prefix cache", False))
    cards.append((say.money(figures.usage.cost_usd), f"{say.count(figures.usage.tokens)} tokens", False))
    return cards


def _stages(figures: RunFigures) -> list[tuple[str, float | None, str, bool]]:
    totals = figures.totals
    found: list[tuple[str, float | None, bool]] = []
    for heat in range(totals.heats):
        found.append((f"heat {heat}, pass@1", totals.pass_at_1[heat], False))
        if heat < totals.heats - 1:
            found.append((f"kept after heat {heat} (Sel-K)", totals.kept[heat], False))
    found.append(("random rollout of the last heat", totals.random_pick, False))
    found.append(("final choice", totals.final, True))
    found += [(f"heat {heat}, pass@N (oracle)", value, False) for heat, value in enumerate(totals.pass_at_n)]
    return [(name, value, say.percent(value), lead) for name, value, lead in found]


def _critic(figures: RunFigures) -> dict[str, Any] | None:
    """The critic's calibration: a sentence, and a row per interval of scores."""
    found = figures.critic
    if found is None:
        return None
    order = "" if found.order is None else f"; of a right and a wrong one, it prefers the right in {found.order:.0%}"
    rows = [
        (f"{one.least:.1f} to {one.most:.1f}", one.count, f"{one.mean:.2f}", one.share, say.percent(one.share))
        for one in found.bins
    ]
    return {"told": f"{found.count:,} scored rollouts; Brier score {found.brier:.3f}{order}", "rows": rows}


def _spent(facts: OverviewFacts) -> list[dict[str, Any]]:
    """One row per kind of work, with the widths of its bar: cached, computed and completion tokens, in per cent."""
    rows = spending(facts.charges, {heat: work.usage for heat, work in enumerate(facts.work)})
    most = max((row.usage.tokens for row in rows), default=0)
    found = []
    for row in rows:
        usage = row.usage
        parts = (usage.cached_tokens, row.computed, usage.completion_tokens)
        widths = [100 * part / most if most else 0 for part in parts]
        found.append({"name": row.name, "usage": usage, "widths": widths, "cached": cached_share(usage)})
    return found


def cached_share(usage: Usage) -> str:
    """The share of prompt tokens found in a prefix cache."""
    return say.percent(usage.cached_tokens / usage.prompt_tokens if usage.prompt_tokens else None)
