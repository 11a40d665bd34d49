"""Branching on the built-in tasks, next to fresh attempts at equal agent steps.

    python -m benchmarks.branching play runs/branching-1 --seed 1 --sandbox bubblewrap --task bucket --task money
    python -m benchmarks.branching table runs/branching-1

`play` runs `heats demo` once for each method, and continues what was interrupted. `fresh` plays one heat of 2 N
attempts of at most `--steps` turns each. Searches over partial attempts play N rollouts in each of `--heats` slices,
together at most as many turns as N such attempts. `replay` and `phases` play N attempts, then N branches.

`table` compares each with as many fresh attempts, by number, as fit into its own steps (at least one). `pass@N` is
whether a candidate passes the hidden tests, `final` whether the chosen one does; of fresh attempts, the best in their
tournament's ranking is the choice. It prints no intervals: one seed of eight tasks tells little apart.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from heats.store.reader import read_events, task_ids
from heats.store.store import RunStore, TaskStore

SLICED: Mapping[str, tuple[str, ...]] = {
    "particles": ("refine.context=particles",),
    "particles, annealed": ("refine.context=particles", "refine.options.anneal=true"),
    "best-first": ("refine.context=best-first",),
    "coverage": ("refine.context=coverage",),
}
WHOLE: Mapping[str, tuple[str, ...]] = {
    "replay": ("refine.context=replay", "refine.options.share=1", "refine.fresh_share=0"),
    "phases": ("refine.context=phases", "refine.fresh_share=0"),
}
METHODS = ("fresh", *SLICED, *WHOLE)


def play(out: Path, methods: Sequence[str], asked: argparse.Namespace) -> None:
    """Play the tasks with each method.

    Args:
        out: gets a run directory for each method.
        methods: names of methods.
        asked: the command line.
    """
    for method in methods:
        keys = [
            f"agent.step_limit={asked.steps}",
            f"rollouts={2 * asked.rollouts if method == 'fresh' else asked.rollouts}",
        ]
        if method in SLICED:
            keys += [*SLICED[method], f"iterations={asked.heats}", f"refine.options.turns={asked.turns}"]
        else:
            keys += [*WHOLE.get(method, ()), f"iterations={2 if method in WHOLE else 1}"]
        command = [sys.executable, "-m", "heats", "demo", "--seed", str(asked.seed), "--sandbox", asked.sandbox]
        command += [part for task in asked.task for part in ("--task", task)]
        command += [part for key in keys for part in ("-c", key)]
        command += ["--out", str(out / method.replace(", ", "-")), "--progress", "quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Row:
    """One task under one method, and the same number of steps of fresh attempts.

    Attributes:
        steps: model turns, without copied ones.
        candidates: number of rollouts that ended by themselves, are of the last heat, or were kept.
        passing: whether one of them passes.
        final: whether the chosen one does.
        branches: rollouts that repeated turns of another.
        diverged: rollouts that started over because a command ended otherwise.
        repeated: commands' seconds that branches spent on repeating.
        fresh: number of fresh attempts, their steps, whether one passes, and whether the chosen one does.
    """

    steps: int
    candidates: int
    passing: bool
    final: bool
    branches: int
    diverged: int
    repeated: float
    fresh: tuple[int, int, bool, bool]


def rows(directory: Path, fresh: RunStore) -> Iterator[Row]:
    """The figures of each task that both runs have finished and graded."""
    run = RunStore(directory)
    restarted = [
        (event.data["task"], event.data["rollout"])
        for event in read_events(run)
        if event.kind == "warning" and "started over" in event.data["text"]
    ]
    for task in task_ids(run):
        store, result = run.task(task), run.task(task).result()
        if result is None or fresh.task(task).result() is None:
            continue
        if any(run.grades.grade(task, name) is None for name in result.rollouts):
            continue  # interrupted before it was graded
        names = result.rollouts
        last = set(store.rollouts(result.heats - 1)) | {name for heat in result.kept for name in heat}
        outcomes = {name: outcome for name in names if (outcome := store.rollout(name).outcome()) is not None}
        candidates = [name for name, one in outcomes.items() if name in last or one.exit != "paused"]
        steps = sum(one.steps for one in outcomes.values())
        played = [trajectory for name in names if (trajectory := store.rollout(name).trajectory()) is not None]
        yield Row(
            steps=steps,
            candidates=len(candidates),
            passing=any(passes(run, task, name) for name in candidates),
            final=result.selected is not None and passes(run, task, result.selected),
            branches=sum(one.copied_steps > 0 for one in played),
            diverged=sum(one == task for one, _ in restarted),
            repeated=sum(float(one.extra.get("repeated_s", 0)) for one in played),
            fresh=as_many(fresh, task, steps),
        )


def as_many(run: RunStore, task: str, steps: int) -> tuple[int, int, bool, bool]:
    """The first fresh attempts that fit into a number of steps; see `Row.fresh`."""
    store = run.task(task)
    taken: list[str] = []
    spent = 0
    for name in store.rollouts(0):
        outcome = store.rollout(name).outcome()
        cost = outcome.steps if outcome is not None else 0
        if taken and spent + cost > steps:
            break
        taken, spent = [*taken, name], spent + cost
    passing = any(passes(run, task, name) for name in taken)
    best = best_of(store, taken)
    return len(taken), spent, passing, bool(best) and passes(run, task, best)


def best_of(store: TaskStore, names: Sequence[str]) -> str:
    """The best of some attempts in their heat's tournament; empty if none has a change."""
    bracket = store.bracket(0)
    ranking = [one for one in bracket.ranking if one not in bracket.ineligible] if bracket is not None else []
    return next((one for one in ranking if one in names), "")


def passes(run: RunStore, task: str, name: str) -> bool:
    """Whether a rollout passes the hidden tests."""
    grade = run.grades.grade(task, name)
    return grade is not None and grade.outcome == "pass"


def table(out: Path) -> None:
    """Print a line for each method that was played, over the tasks that it and the fresh attempts finished."""
    fresh = RunStore(out / "fresh")
    titles = ["method", "tasks", "steps", "candidates", "pass@N, %", "final, %", "branches", "diverged", "repeated, s"]
    titles += ["fresh: N", "steps", "pass@N, %", "final, %"]
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
    for method in METHODS:
        directory = out / method.replace(", ", "-")
        if method == "fresh" or not directory.exists():
            continue
        found = list(rows(directory, fresh))
        if not found:
            continue
        cells = [
            f"{len(found)}",
            f"{mean(one.steps for one in found):.1f}",
            f"{mean(one.candidates for one in found):.1f}",
            f"{100 * mean(one.passing for one in found):.1f}",
            f"{100 * mean(one.final for one in found):.1f}",
            f"{sum(one.branches for one in found)}",
            f"{sum(one.diverged for one in found)}",
            f"{sum(one.repeated for one in found):.0f}",
            f"{mean(one.fresh[0] for one in found):.1f}",
            f"{mean(one.fresh[1] for one in found):.1f}",
            f"{100 * mean(one.fresh[2] for one in found):.1f}",
            f"{100 * mean(one.fresh[3] for one in found):.1f}",
        ]
        print(f"| {method} | {' | '.join(cells)} |")


def main() -> None:
    """Play, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    playing = commands.add_parser("play")
    playing.add_argument("out", type=Path)
    playing.add_argument("--task", action="append", required=True, help="a built-in task; repeatable")
    playing.add_argument("--method", action="append", choices=METHODS, help="only this one; repeatable")
    playing.add_argument("--seed", type=int, default=1)
    playing.add_argument("--sandbox", default="bubblewrap")
    playing.add_argument("--rollouts", type=int, default=4, help="N")
    playing.add_argument("--heats", type=int, default=3, help="slices of an attempt")
    playing.add_argument("--turns", type=int, default=4, help="turns of a slice, except the last")
    playing.add_argument("--steps", type=int, default=15, help="turns of an attempt, all slices together")
    commands.add_parser("table").add_argument("out", type=Path)
    asked = parser.parse_args()
    if asked.command == "play":
        play(asked.out, asked.method or [*METHODS], asked)
    else:
        table(asked.out)


if __name__ == "__main__":
    main()
