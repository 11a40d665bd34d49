"""A run's spending by purpose: rollouts, summaries and votes of each heat."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.llm.ledger import Usage
from heats.report.figures import total_usage
from heats.store.reader import TaskFacts
from heats.store.records import Charge

_HEAT = re.compile(r"/heat-(\d+)/(?:(tournament$)|(writer-)|(bank$))?")


@dataclass(frozen=True, slots=True)
class WorkSpent:
    """One kind of work."""

    name: str
    usage: Usage

    @property
    def computed(self) -> int:
        """Prompt tokens not found in any prefix cache."""
        return self.usage.prompt_tokens - self.usage.cached_tokens


def spending(charges: Iterable[Charge], agents: Mapping[int, Usage]) -> list[WorkSpent]:
    """Break down the charges of a run.

    A rollout's charges include its agent's and its summary's. What the agents' own records do not account for is
    attributed to summaries, and to rollouts that were restarted after a crash.

    Args:
        charges: the run's charges.
        agents: usage recorded by the rollouts, by heat.
    """
    rollouts: dict[int, list[Usage]] = defaultdict(list)
    votes: dict[int, list[Usage]] = defaultdict(list)
    bank: list[Usage] = []
    writers: list[Usage] = []
    elsewhere: list[Usage] = []
    for charge in charges:
        found = _HEAT.search(charge.scope)
        if found is None:
            elsewhere.append(charge.usage)
        elif found[3] or found[4]:
            (writers if found[3] else bank).append(charge.usage)
        else:
            (votes if found[2] else rollouts)[int(found[1])].append(charge.usage)
    rows = []
    for heat in sorted({*rollouts, *votes}):
        charged, own = total_usage(rollouts[heat]), agents.get(heat, Usage())
        whole = _within(own, charged)
        rows.append(WorkSpent(f"heat {heat}: agents", own if whole else charged))
        if whole:
            rows.append(WorkSpent(f"heat {heat}: summaries", charged - own))
        rows.append(WorkSpent(f"heat {heat}: votes", total_usage(votes[heat])))
    rows.append(WorkSpent("bank", total_usage(bank)))
    rows.append(WorkSpent("test writers", total_usage(writers)))
    rows.append(WorkSpent("other", total_usage(elsewhere)))
    return [row for row in rows if row.usage.calls]


def _within(part: Usage, whole: Usage) -> bool:
    return all(getattr(part, name) <= getattr(whole, name) + 1e-9 for name in Usage.model_fields)


@dataclass(frozen=True, slots=True)
class HeatWork:
    """The agents' work in one heat: their usage, and the steps of each rollout that made an attempt."""

    usage: Usage
    steps: tuple[int, ...]


def work_by_heat(task: TaskFacts) -> tuple[HeatWork, ...]:
    """The work of a task's heats."""
    found = []
    for rollouts in task.heats:
        done = [one.outcome for one in rollouts if one.outcome is not None]
        steps = tuple(outcome.steps for outcome in done if outcome.exit is not None)
        found.append(HeatWork(total_usage(outcome.usage for outcome in done), steps))
    return tuple(found)


def sum_work(tasks: Iterable[Sequence[HeatWork]]) -> tuple[HeatWork, ...]:
    """The work of all tasks together, heat by heat."""
    by_heat: list[list[HeatWork]] = []
    for task in tasks:
        for heat, work in enumerate(task):
            if heat == len(by_heat):
                by_heat.append([])
            by_heat[heat].append(work)
    return tuple(
        HeatWork(total_usage(one.usage for one in works), tuple(step for one in works for step in one.steps))
        for works in by_heat
    )
