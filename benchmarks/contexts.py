"""What context rules make of the same first heats, and what watchers would have done to stored attempts.

    heats demo --task bucket --task money --seed 1 --sandbox bubblewrap --out runs/base-1      (or --all; other seeds)
    python -m benchmarks.contexts play runs/base-1 --out runs/contexts-1                       (likewise)
    python -m benchmarks.contexts table runs/base-1=runs/contexts-1 runs/base-2=runs/contexts-2
    python -m benchmarks.contexts watchers runs/base-1 runs/base-2

`play` copies a run for each rule, drops its second heat, and plays that again under the rule, so that all rules get the
same first heat; the run itself is the rule that it was made with. `watchers` changes nothing: it asks loop-guard and
check-again about the steps of finished attempts. Intervals: 95 %, resampling tasks.
"""

import argparse
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from agents.trajectory import Step, Trajectory
from agents.watchers import Say, Seen, Stop, Watcher, open_watchers
from core.ids import RolloutId
from heats.config import load_config
from heats.context_rules import fresh_rollouts
from heats.store.files import write_record
from heats.store.reader import task_ids
from heats.store.store import RunStore

RULES: Mapping[str, tuple[str, ...]] = {
    "best-worst": ("refine.context=best-worst",),
    "evolve, patch": ("refine.context=evolve",),
    "evolve, text": ("refine.context=evolve", "refine.options.start=text"),
    "guided": ("refine.context=guided",),
    "critique, patch": ("refine.context=critique",),
    "key-facts": ("refine.context=key-facts",),
    "replay": ("refine.context=replay", "refine.options.share=1"),
    "phases": ("refine.context=phases",),
}
RESAMPLED = 4000


def play(base: Path, out: Path, rules: Sequence[str], only: Sequence[str]) -> None:
    """Play the second heat of a run again under each rule.

    Args:
        base: a finished run of `heats demo`.
        out: gets a run directory for each rule.
        rules: names of rules.
        only: tasks to play; all if empty.
    """
    config = RunStore(base).manifest.identity["config"]
    names = only or task_ids(RunStore(base))
    tasks = [part for task in names for part in ("--task", task)]
    for rule in rules:
        copy = out / rule.replace(", ", "-")
        if not copy.exists():
            shutil.copytree(base, copy)
            forget_second_heat(copy, RULES[rule], names)
        layers = [part for layer in RULES[rule] for part in ("-c", layer)]
        command = [sys.executable, "-m", "heats", "demo", *tasks, *layers]
        command += ["--seed", str(config["seed"]), "--sandbox", config["sandbox"]["backend"], "--out", str(copy)]
        subprocess.run([*command, "--progress", "quiet"], check=True, stdout=subprocess.DEVNULL)


def forget_second_heat(run: Path, layers: Sequence[str], tasks: Collection[str]) -> None:
    """Remove from a copied run what came after its first heat, and enter another rule as its configuration.

    Args:
        run: directory of the copy.
        layers: configuration with the rule.
        tasks: all other tasks are removed too.
    """
    store = RunStore(run)
    manifest = store.manifest
    identity = dict(manifest.identity)
    identity["config"] = {**identity["config"], "refine": load_config(layers).identity()["refine"]}
    identity["tasks"] = {name: digest for name, digest in identity["tasks"].items() if name in tasks}
    for folder in [one for one in (run / "tasks").iterdir() if one.name not in tasks]:
        shutil.rmtree(folder)
    write_record(run / "run.json", manifest.model_copy(update={"identity": identity}))
    for path in [*run.glob("checkpoints.sqlite*"), *run.rglob("result.json"), run / "report.html"]:
        path.unlink(missing_ok=True)
    for folder in [*run.rglob("heat-1")]:
        shutil.rmtree(folder)
    ledger = run / "ledger.jsonl"
    lines = ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    ledger.write_text("".join(line for line in lines if "/heat-1" not in line), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Row:
    """The second heat of one task in one run: pass rates, and steps, of all rollouts and of the informed ones."""

    passing: float
    steps: float
    informed: float
    informed_steps: float
    final: float


def rows(directory: Path) -> Iterator[tuple[str, Row]]:
    """The figures of each finished task of a run."""
    run = RunStore(directory)
    config = run.manifest.identity["config"]
    informed = config["rollouts"] - fresh_rollouts(config["rollouts"], config["refine"]["fresh_share"])
    for task in task_ids(run):
        store = run.task(task)
        result = store.result()
        if result is None or not store.rollouts(1):
            continue
        passes, steps = {}, {}
        for name in store.rollouts(1):
            grade, outcome = run.grades.grade(task, name), store.rollout(name).outcome()
            index = RolloutId.parse(name).index
            passes[index] = float(grade is not None and grade.outcome == "pass")
            steps[index] = outcome.steps if outcome is not None else 0
        won = run.grades.grade(task, result.selected) if result.selected else None
        yield (
            task,
            Row(
                mean(passes.values()),
                mean(steps.values()),
                mean(value for index, value in passes.items() if index < informed),
                mean(value for index, value in steps.items() if index < informed),
                float(won is not None and won.outcome == "pass"),
            ),
        )


def table(pairs: Sequence[str]) -> None:
    """Print a line for each rule that all runs played, given as BASE=FOLDER, over the tasks that all rules played."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        base, _, folder = pair.partition("=")
        runs = {"select-k": Path(base)} | {rule: Path(folder) / rule.replace(", ", "-") for rule in RULES}
        played = {rule: dict(rows(directory)) for rule, directory in runs.items() if directory.exists()}
        for task in set.intersection(*(set(own) for own in played.values())):
            for rule, own in played.items():
                found[rule][task].append(own[task])
    tasks = sorted(found["select-k"])
    print(
        f"{len(tasks)} tasks, {len(pairs)} seeds; figures of the second heat, the difference to select-k in brackets\n"
    )
    print("| rule | informed rollouts pass, % | their steps | all rollouts pass, % | final, % |")
    print("| --- | --- | --- | --- | --- |")
    for rule, by_task in found.items():
        if sum(map(len, by_task.values())) == sum(map(len, found["select-k"].values())):
            cells = [
                cell(by_task, found["select-k"], name) for name in ("informed", "informed_steps", "passing", "final")
            ]
            print(f"| {rule} | {' | '.join(cells)} |")


def cell(own: Mapping[str, list[Row]], base: Mapping[str, list[Row]], name: str) -> str:
    """A mean over tasks and its difference to another's, with the interval of the difference.

    Args:
        own: rows by task.
        base: rows of the rule to compare with.
        name: the figure.
    """
    factor = 1 if name.endswith("steps") else 100
    values = {task: factor * mean(getattr(row, name) for row in given) for task, given in own.items()}
    others = {task: factor * mean(getattr(row, name) for row in given) for task, given in base.items()}
    if own is base:
        return f"{mean(values.values()):.1f}"
    apart = [values[task] - others[task] for task in sorted(values)]
    rng = random.Random(0)
    means = sorted(mean(rng.choices(apart, k=len(apart))) for _ in range(RESAMPLED))
    low, high = means[int(0.025 * RESAMPLED)], means[int(0.975 * RESAMPLED)]
    return f"{mean(values.values()):.1f} ({mean(apart):+.1f}; {low:+.1f} to {high:+.1f})"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What loop-guard would have done to one attempt, if the model had gone on alike after the hint."""

    steps: int
    hint: int | None
    end: int | None
    submitted: bool


def replay(trajectory: Trajectory, guard: Watcher) -> Replayed:
    """Ask loop-guard about every turn of a finished attempt."""
    steps: list[Step] = []
    hint: int | None = None
    submitted = trajectory.exit is not None and trajectory.exit.kind == "submitted"
    for step in trajectory.steps:
        steps.append(step)
        if step.source != "agent":
            continue
        verdict = guard.after_turn(Seen(steps=tuple(steps), left={}))
        turns = sum(one.source == "agent" for one in steps)
        if isinstance(verdict, Stop):
            return Replayed(trajectory.agent_steps, hint, turns, submitted)
        if isinstance(verdict, Say):
            hint = turns
            steps.append(Step(id=step.id, source="user", content=verdict.text, watcher=guard.name))
    return Replayed(trajectory.agent_steps, hint, None, submitted)


def watchers(runs: Sequence[Path]) -> None:
    """Print what loop-guard and check-again would have done, by the outcome of the attempts."""
    (guard,) = open_watchers(["loop-guard"], load_config(()).agent.watcher_options)
    found: dict[str, list[Replayed]] = defaultdict(list)
    for run in map(RunStore, runs):
        for task in task_ids(run):
            for name in [*run.task(task).rollouts(0), *run.task(task).rollouts(1)]:
                trajectory, grade = run.task(task).rollout(name).trajectory(), run.grades.grade(task, name)
                if trajectory is not None:
                    found[grade.outcome if grade is not None else "not graded"].append(replay(trajectory, guard))
    print("| attempts that | number | steps | loop-guard: hints | ended | steps cut | check-again: looks |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for outcome, attempts in sorted(found.items()):
        hints = sum(one.hint is not None for one in attempts)
        ended = [one.steps - one.end for one in attempts if one.end is not None]
        looks = sum(one.submitted for one in attempts)
        total = sum(one.steps for one in attempts)
        print(f"| {outcome} | {len(attempts)} | {total} | {hints} | {len(ended)} | {sum(ended)} | {looks} |")


def main() -> None:
    """Play, or print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    playing = commands.add_parser("play")
    playing.add_argument("base", type=Path)
    playing.add_argument("--out", type=Path, required=True)
    playing.add_argument("--task", action="append", default=[], help="only this task; repeatable")
    playing.add_argument("--rule", action="append", choices=[*RULES], help="only this rule; repeatable")
    commands.add_parser("table").add_argument("pairs", nargs="+", metavar="BASE=FOLDER")
    commands.add_parser("watchers").add_argument("runs", nargs="+", type=Path)
    asked = parser.parse_args()
    if asked.command == "play":
        play(asked.base, asked.out, asked.rule or [*RULES], asked.task)
    elif asked.command == "table":
        table(asked.pairs)
    else:
        watchers(asked.runs)


if __name__ == "__main__":
    main()
