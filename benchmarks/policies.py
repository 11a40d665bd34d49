"""Allocation policies against `fixed`: attempts, tokens, time and pass rate.

    python -m benchmarks.policies dice --tasks 1000
    python -m benchmarks.policies sweep --tasks 200
    python -m benchmarks.policies models --tasks 300
    python -m benchmarks.policies conformal --tasks 500

    heats demo --all --seed 1 --sandbox bubblewrap --out runs/demo-1   (other seeds likewise)
    python -m benchmarks.policies replay runs/demo-*
    python -m benchmarks.policies conformal runs/demo-*
    python -m benchmarks.policies halfway runs/demo-*

`dice` simulates the paper's Opus on SWE-bench Verified with visible tests that pass for 95 % of right patches and for a
share of wrong ones; `sweep` compares `two-pass` with the same N for every task; `models` has a cheap and a dear model;
`conformal` plays each task with a calibration file made of all others, simulated or of stored runs.
`replay` plays stored runs again: attempts, evidence and grades are those of the run, so a policy can only end earlier,
and its choice is random within an evidence class. Virtual minutes leave out votes. `halfway` says whether the
score of the policy `prune` tells attempts that pass from others of the same task and heat.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from core.errors import InvalidOptions
from heats.planning.dice import Dice, Signals, SimulatedArm
from heats.planning.early_ends import calibrated
from heats.planning.plan import Cost, Prices
from heats.planning.reproduce import REPORTED
from heats.planning.simulate import Method
from heats.planning.spending import AttemptSource, Spending, Spent, play_policy, total
from heats.planning.stored import stored_tasks
from heats.policies.base import Action, AllocationPolicy, Event, TaskState
from heats.policies.conformal import Calibration
from heats.policies.registry import open_policy
from heats.runner.halfway import half_way
from heats.store.reader import read_task, task_ids
from heats.store.store import RunStore

PRICES = Prices(
    steps=(40.0, 15.0), step=Cost(tokens=9000, seconds=10.0), summary=Cost(tokens=5000), vote=Cost(tokens=3000)
)
POLICIES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("fixed", {}),
    ("first-verified", {"at_once": 1}),
    ("first-verified", {}),
    ("first-verified", {"at_once": 16}),
    ("agreement", {}),
    ("give-up", {}),
    ("target", {}),
    ("marginal", {}),
)
VISIBLE_TESTS = (
    ("10 % of wrong patches pass the visible tests", Signals()),
    ("30 % of wrong patches pass the visible tests", Signals(false_pass=0.3)),
    ("no visible tests", Signals(true_pass=None, false_pass=None)),
)
HALF_WAYS = (3, 4, 6, 8, 12)
HEAD = (
    "| policy | passes % | attempts | of fixed | M tokens | minutes | votes | attempts per pass |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def row(name: str, found: Spending, fixed: Spending) -> str:
    """One line of a table."""
    cells = (
        f"{100 * found.passed:.1f} ± {196 * found.error:.1f}",
        f"{found.attempts:.2f}",
        f"{100 * found.attempts / fixed.attempts:.0f} %",
        f"{(found.tokens + found.votes * PRICES.vote.tokens) / 1e6:.2f}",
        f"{found.seconds / 60:.1f}",
        f"{found.votes:.1f}",
        "-" if found.attempts_per_pass is None else f"{found.attempts_per_pass:.1f}",
    )
    return f"| {name} | {' | '.join(cells)} |"


def said(name: str, options: Mapping[str, Any]) -> str:
    """A policy with its options."""
    return name + "".join(f", {key} {value}" for key, value in options.items())


def dice(method: Method, signals: Signals, arms: tuple[SimulatedArm, ...] = (), seed: int = 0) -> Dice:
    """The paper's Opus on SWE-bench Verified."""
    return Dice(method, REPORTED[0].world(), signals, PRICES, arms, seed)


def played(table: Dice, name: str, options: Mapping[str, Any], tasks: int) -> Spending:
    """One policy over simulated tasks."""
    return total(play_policy(open_policy(name, options), table.tasks(tasks), select_k=table.method.select_k))


def on_dice(tasks: int, seed: int) -> None:
    """Print a table for each N, T and kind of visible tests."""
    for rollouts, heats in ((4, 1), (4, 2), (16, 1), (16, 2)):
        for shown, signals in VISIBLE_TESTS:
            print(f"\n### N = {rollouts}, T = {heats}; {shown}\n\n{HEAD}")
            method = Method(
                rollouts=rollouts, iterations=heats, select_k=min(4, rollouts // 2), early_stop=True, keep=True
            )
            table, fixed = dice(replace(method, fresh_share=0.25), signals, seed=seed), None
            for name, options in POLICIES:
                found = played(table, name, options, tasks)
                fixed = fixed or found
                print(row(said(name, options), found, fixed), flush=True)


def on_sweep(tasks: int, seeds: int) -> None:
    """Print two-pass against the same N for every task, at equal tokens, over several sweeps."""
    for shown, signals in VISIBLE_TESTS:
        print(f"\n### {tasks} tasks, {seeds} sweeps; {shown}\n")
        print("| policy | passes % | attempts a task | M tokens a task |\n| --- | --- | --- | --- |")
        rows: list[tuple[str, int, str, Mapping[str, Any]]] = []
        for mean in (2, 3, 4):
            rows += [
                (f"every task N = {mean}, all played", mean, "fixed", {}),
                (f"every task N = {mean}, first-verified", mean, "first-verified", {"at_once": 1}),
                (f"two-pass, mean {mean}, up to 16", 16, "two-pass", {"first": 1, "mean": mean, "at_once": 1}),
            ]
        for text, rollouts, name, options in rows:
            method = Method(rollouts=rollouts, iterations=1, select_k=1, early_stop=True)
            found = [played(dice(method, signals, seed=seed), name, options, tasks) for seed in range(seeds)]
            passed, spread = fmean(one.passed for one in found), 1.96 * _error([one.passed for one in found])
            tokens = fmean(one.tokens + one.votes * PRICES.vote.tokens for one in found) / 1e6
            attempts = fmean(one.attempts for one in found)
            print(f"| {text} | {100 * passed:.1f} ± {100 * spread:.1f} | {attempts:.2f} | {tokens:.2f} |", flush=True)


def on_models(tasks: int, seed: int) -> None:
    """Print policies over a cheap and a dear model, by relative money."""
    print(
        f"\n### {tasks} tasks: a model with the paper's pass rates, and one at a tenth of its price, 1.5 logits worse\n"
    )
    print("| policy | passes % | attempts | money |\n| --- | --- | --- | --- |")
    arms = (SimulatedArm("cheap", shift=-1.5, cost=0.1), SimulatedArm("dear"))
    prices = replace(PRICES, step=Cost(tokens=9000, usd=1 / 40, seconds=10.0))
    for text, mix, name, options in (
        ("dear model alone, one attempt", arms[1:], "fixed", {}),
        ("dear model alone, first-verified", arms[1:], "first-verified", {"at_once": 1}),
        ("cheap model alone, first-verified", arms[:1], "first-verified", {"at_once": 1}),
        ("both in turn, first-verified", arms, "first-verified", {"at_once": 1}),
        ("cascade, 2 cheap first", arms, "cascade", {"at_once": 1, "tries": 2}),
        ("cascade, 4 cheap first", arms, "cascade", {"at_once": 1, "tries": 4}),
        ("bandit, cost ignored", arms, "bandit", {"at_once": 1, "cost_weight": 0}),
        ("bandit, cost weight 1", arms, "bandit", {"at_once": 1, "cost_weight": 1}),
    ):
        method = Method(rollouts=1 if name == "fixed" else 8, iterations=1, select_k=1, early_stop=True)
        table = Dice(method, REPORTED[0].world(), Signals(), prices, mix, seed)
        found = played(table, name, options, tasks)
        passed = f"{100 * found.passed:.1f} ± {196 * found.error:.1f}"
        print(f"| {text} | {passed} | {found.attempts:.2f} | {found.cost_usd:.2f} |", flush=True)


def _error(values: Sequence[float]) -> float:
    mean = fmean(values)
    return float((sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1) / len(values)) ** 0.5)


def on_replay(runs: Sequence[Path], draws: int) -> None:
    """Print the policies over stored runs."""
    print(f"\n### {len(runs)} stored runs\n\n{HEAD}")
    stored, fixed = [list(stored_tasks(directory)) for directory in runs], None
    for name, options in POLICIES:
        spent: list[Spent] = []
        for draw in range(draws):
            for tasks in stored:
                drawn = [(state, replace(one, seed=f"{one.seed}/{draw}")) for state, one in tasks]
                spent += play_policy(open_policy(name, options), drawn)
        found = replace(total(spent), error=total(spent[:: max(1, draws)]).error)
        fixed = fixed or found
        print(row(said(name, options), found, fixed), flush=True)


class Ending:
    """A policy that notes which tasks another one ended during a heat."""

    def __init__(self, policy: AllocationPolicy) -> None:
        self._policy, self.ended = policy, False

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterator[Action]:
        """See `AllocationPolicy.decide`."""
        for action in self._policy.decide(event, task, sweep):
            self.ended |= action.do == "end_task"
            yield action


def on_conformal(runs: Sequence[Path], tasks: int, seed: int) -> None:
    """Print what the conformal policy saves, and how often it ends a task with a wrong attempt."""
    if runs:
        print_held_out(f"{len(runs)} stored runs", [one for directory in runs for one in stored_tasks(directory)])
        return
    method = Method(rollouts=4, iterations=2, select_k=2, early_stop=True, keep=True, fresh_share=0.25)
    for shown, signals in VISIBLE_TESTS:
        print_held_out(f"N = 4, T = 2; {shown}", dice(method, signals, seed=seed).tasks(tasks))


def print_held_out(title: str, tasks: Sequence[tuple[TaskState, AttemptSource]]) -> None:
    """Print a line for each promised error, with each task played by a file made of all others."""
    print(f"\n### {title}\n\n| error | passes % | attempts | of fixed | M tokens | ended early % | ended wrongly % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    known = calibrated(tasks, "fixed", {}, 2)
    mistaken = [bool(calibrated([one], "fixed", {}, 2).tasks[0].wrong) for one in tasks]
    fixed = total([spent for one in tasks for spent in play_policy(open_policy("fixed"), [one])])
    for error in (0.05, 0.1, 0.2, 0.3):
        try:
            played = list(held_out(tasks, known, error))
        except InvalidOptions:
            print(f"| {error} | too few past tasks | | | | | |", flush=True)
            continue
        found = total([spent for spent, _ in played])
        wrong = sum(early and not spent.passed for spent, early in played) / max(1, sum(mistaken))
        cells = (
            f"{100 * found.passed:.1f} (fixed {100 * fixed.passed:.1f})",
            f"{found.attempts:.2f}",
            f"{100 * found.attempts / fixed.attempts:.0f} %",
            f"{(found.tokens + found.votes * PRICES.vote.tokens) / 1e6:.2f}",
            f"{100 * fmean(early for _, early in played):.0f}",
            f"{100 * wrong:.1f} of {sum(mistaken)}",
        )
        print(f"| {error} | {' | '.join(cells)} |", flush=True)


def held_out(
    tasks: Sequence[tuple[TaskState, AttemptSource]], known: Calibration, error: float
) -> Iterator[tuple[Spent, bool]]:
    """Play each task by a file made of all others: what it took, and whether it was ended early."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "others.json"
        for state, source in tasks:
            others = tuple(one for one in known.tasks if one.task != state.task)
            file.write_text(known.model_copy(update={"tasks": others}).model_dump_json())
            ending = Ending(open_policy("conformal", {"calibration": file, "error": error}))
            (spent,) = play_policy(ending, [(state, source)])
            yield spent, ending.ended


def on_halfway(runs: Sequence[Path]) -> None:
    """Print how well the score after some steps tells attempts that pass from others of the same task and heat."""
    print("| steps | attempts that took as many | pass, % | pairs of a pass and a failure | ranked correctly, % |")
    print("| --- | --- | --- | --- | --- |")
    for at in HALF_WAYS:
        heats = [heat for directory in runs for heat in _looked(directory, at)]
        every = [right for heat in heats for _, right in heat]
        pairs = [
            (good > bad) + (good == bad) / 2
            for heat in heats
            for good, passed in heat
            for bad, failed in heat
            if passed and not failed
        ]
        cells = (at, len(every), f"{100 * fmean(every or [0]):.0f}", len(pairs), f"{100 * fmean(pairs or [0]):.0f}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _looked(directory: Path, at: int) -> Iterator[list[tuple[float, bool]]]:
    """For each heat, the scores after `at` steps, and whether the attempts pass in the end."""
    run = RunStore(directory)
    for task in task_ids(run):
        facts = read_task(run, task)
        for heat in facts.heats:
            found = [(facts.store.rollout(one.id).trajectory(), one.passed("pass")) for one in heat]
            yield [(half_way(one, at), bool(right)) for one, right in found if one and one.agent_steps >= at]


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("dice", "sweep", "models", "replay", "conformal", "halfway"))
    parser.add_argument("runs", nargs="*", type=Path, help="stored runs of `heats demo --all`")
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=20, help="sweeps, or random choices for replay")
    asked = parser.parse_args()
    match asked.what:
        case "dice":
            on_dice(asked.tasks, asked.seed)
        case "sweep":
            on_sweep(asked.tasks, asked.draws)
        case "models":
            on_models(asked.tasks, asked.seed)
        case "replay":
            on_replay(asked.runs, asked.draws)
        case "conformal":
            on_conformal(asked.runs, asked.tasks, asked.seed)
        case "halfway":
            on_halfway(asked.runs)


if __name__ == "__main__":
    main()
