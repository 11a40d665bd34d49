"""How each selector does on the same rollouts of the built-in tasks.

    heats demo --all --seed 1 --sandbox bubblewrap -c summarizer.when=always --out runs/demo-1   (other seeds likewise)
    python -m benchmarks.selectors_on_demo runs/demo-*

The rollouts, their evidence and their grades come from the run directories. Every selector chooses K from heat 0 and,
as if there were no other heat, a single one; then one from heat 1 and its own K. Heat 1 is the same for all selectors:
it was made from what the run's own selector kept. The judge is `builtin:repair`. Intervals: 95 %, resampling tasks.
"""

import argparse
import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from agents.llm import ModelConfig, open_model
from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger
from heats.config import HeatsConfig, load_config
from heats.runner.candidates import make_candidate
from heats.store.events import read_events
from heats.store.reader import task_ids
from heats.store.store import RunStore
from tournament import SELECTORS, TournamentConfig, open_selector
from tournament.base import Candidate, Case
from tournament.journal import MemoryJournal
from tournament.slots import seeded_hash
from tournament.ties import TieBreak

RESAMPLED = 4000
TIES: tuple[tuple[TieBreak, ...], ...] = (
    ("earlier-block",),
    ("more-copies", "earlier-block"),
    ("more-copies", "earlier-block", "smaller-patch"),
    ("more-copies", "fewer-edits"),
)


@dataclass(frozen=True, slots=True)
class Field:
    """The candidates of one task in one run, by heat in order of completion, and which of them pass."""

    task: str
    seed: int
    heats: tuple[tuple[Candidate, ...], ...]
    passing: frozenset[str]

    def share(self, names: Sequence[str]) -> float:
        """Share of the given candidates that pass."""
        return mean(name in self.passing for name in names) if names else 0.0


@dataclass(slots=True)
class Sums:
    """Values by task: a figure's name -> task -> one value for each run and draw."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, task: str, **figures: float) -> None:
        """Record the figures of one task in one run."""
        for name, value in figures.items():
            self.values[name][task].append(value)

    def interval(self, *names: str) -> list[tuple[float, float, float]]:
        """Mean and 95 % interval of each figure, in per cent, over the same resampled tasks."""
        tasks = sorted(self.values[names[0]])
        rng = random.Random(0)
        drawn = [[rng.choice(tasks) for _ in tasks] for _ in range(RESAMPLED)]
        found = []
        for name in names:
            by_task = {task: mean(values) for task, values in self.values[name].items()}
            means = sorted(mean(by_task[task] for task in sample) for sample in drawn)
            low, high = means[int(0.025 * RESAMPLED)], means[int(0.975 * RESAMPLED)]
            found.append((100 * mean(by_task.values()), 100 * low, 100 * high))
        return found

    def closed(self, chosen: str, floor: str, ceiling: str) -> tuple[float, float, float]:
        """Share of the gap between two figures that a third closes, in per cent, with its interval.

        Args:
            chosen: name of the third figure.
            floor: name of the lower figure.
            ceiling: name of the upper figure.
        """
        tasks = sorted(self.values[chosen])
        by_task = {name: {task: mean(self.values[name][task]) for task in tasks} for name in (chosen, floor, ceiling)}

        def share(sample: Sequence[str]) -> float:
            got, low, high = (mean(by_task[name][task] for task in sample) for name in (chosen, floor, ceiling))
            return 100 * (got - low) / (high - low) if high > low else 0.0

        rng = random.Random(0)
        shares = sorted(share([rng.choice(tasks) for _ in tasks]) for _ in range(RESAMPLED))
        return share(tasks), shares[int(0.025 * RESAMPLED)], shares[int(0.975 * RESAMPLED)]


def read_fields(directory: Path, config: HeatsConfig) -> list[Field]:
    """All finished and graded tasks of a run."""
    run = RunStore(directory)
    ended = {
        (event.task, event.rollout): event.seq
        for event in read_events(run.events_path)
        if event.kind == "rollout_finished"
    }
    seed = int(run.manifest.identity["config"]["seed"])
    found = []
    for task_id in task_ids(run):
        store = run.task(task_id)
        heats, passing = [], set()
        for heat in (0, 1):
            names = sorted(store.rollouts(heat), key=lambda name: ended.get((task_id, name), 0))
            there = [make_candidate(store.rollout(name), config) for name in names]
            heats.append(tuple(one for one in there if one is not None))
            grades = {name: run.grades.grade(task_id, name) for name in names}
            passing |= {name for name, grade in grades.items() if grade is not None and grade.outcome == "pass"}
        if store.result() is not None and all(heats):
            found.append(Field(task_id, seed, tuple(heats), frozenset(passing)))
    return found


async def choose(
    config: TournamentConfig, model: ChatModel, field: Sequence[Candidate], k: int, seed: int
) -> tuple[str, ...]:
    """The ids that one selector keeps.

    Args:
        config: settings with the selector.
        model: the judge's model.
        field: the candidates.
        k: number of candidates to keep.
        seed: seed of the selection.
    """

    async def there(candidate: Candidate) -> Candidate | None:
        return candidate

    case = Case("a built-in task", seed, Ledger("bench"), MemoryJournal())
    bracket = await open_selector(config, model).select({one.id: there(one) for one in field}, k, case)
    return bracket.selected


async def measure(fields: Sequence[Field], config: TournamentConfig, model: ChatModel, k: int, draws: int) -> Sums:
    """Run one selector on all fields, with several random draws of the judge.

    Args:
        fields: the fields.
        config: settings with the selector.
        model: the judge's model.
        k: number of candidates to keep.
        draws: number of draws.
    """
    sums = Sums()
    for one in fields:
        first, second = one.heats
        ids = [[candidate.id for candidate in heat] for heat in one.heats]
        for draw in range(draws):
            seeds = [seeded_hash(one.seed, one.task, stage, draw) % 2**31 for stage in ("keep", "one", "final")]
            kept = await choose(config, model, first, k, seeds[0])
            alone = await choose(config, model, first, 1, seeds[1])
            last = [*second, *(candidate for candidate in first if candidate.id in kept)]
            final = await choose(config, model, last, 1, seeds[2])
            figures = {"kept": one.share(kept), "alone": one.share(alone), "final": one.share(final)}
            figures |= {"heat0": one.share(ids[0]), "heat1": one.share(ids[1])}
            figures |= {"oracle0": float(not one.passing.isdisjoint(ids[0])), "oracle": float(bool(one.passing))}
            sums.add(one.task, **figures)
    return sums


def row(name: str, sums: Sums) -> str:
    """A line of the table."""
    cells = [_cell(one) for one in sums.interval("kept", "alone")]
    cells.append(_cell(sums.closed("alone", "heat0", "oracle0")))
    cells += [_cell(one) for one in sums.interval("final")]
    cells.append(_cell(sums.closed("final", "heat0", "oracle")))
    return f"| {name} | " + " | ".join(cells) + " |"


def _cell(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.1f} ({found[1]:.0f} - {found[2]:.0f})"


HEAD = (
    "| selector | Sel-K | one of heat 0 | of the gap to pass@N | final | of the gap to any passing |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def without_evidence(fields: Sequence[Field]) -> list[Field]:
    """The same fields, with every patch in one evidence class."""

    def blank(one: Candidate) -> Candidate:
        return one.model_copy(update={"evidence_rank": 0, "evidence": ""})

    return [
        Field(one.task, one.seed, tuple(tuple(map(blank, heat)) for heat in one.heats), one.passing) for one in fields
    ]


async def report(fields: Sequence[Field], config: HeatsConfig, draws: int) -> None:
    """Print the tables.

    Args:
        fields: the fields.
        config: the configuration.
        draws: number of draws of the judge.
    """
    model = open_model(ModelConfig(name="builtin:repair"))
    base = config.tournament
    common = await measure(fields, base.model_copy(update={"selector": "random"}), model, config.select_k, 1)
    named = ("heat0", "heat1", "oracle0", "oracle")
    said = dict(zip(named, map(_cell, common.interval(*named)), strict=True))
    runs = len({one.seed for one in fields})
    print(f"{len({one.task for one in fields})} tasks, {runs} seeds, K = {config.select_k}, {draws} draws of the judge")
    print(f"pass@1 {said['heat0']}, heat 1 {said['heat1']}, pass@N {said['oracle0']}, of both heats {said['oracle']}\n")
    for title, those in (("evidence first", fields), ("without evidence", without_evidence(fields))):
        print(f"## {title}\n\n{HEAD}")
        for name in SELECTORS.known:
            settings = base.model_copy(update={"selector": name})
            print(row(name, await measure(those, settings, model, config.select_k, draws)), flush=True)
        print()
    print(f"## tie-breaks of rtv, evidence first\n\n{HEAD}")
    for ties in TIES:
        settings = base.model_copy(update={"selector": "rtv", "ties": ties})
        print(row(", ".join(ties), await measure(fields, settings, model, config.select_k, draws)), flush=True)


def main() -> None:
    """Read the runs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=2, help="of the judge's luck, for every run")
    asked = parser.parse_args()
    config = load_config(())
    fields = [one for directory in asked.runs for one in read_fields(directory, config)]
    asyncio.run(report(fields, config, asked.draws))


if __name__ == "__main__":
    main()
