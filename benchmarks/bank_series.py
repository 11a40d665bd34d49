"""Ten issues of one repository, one after another, with and without a bank: passes, steps, and commands that try edits.

Every module of the repository has the same kind of slip: a running total is compared with a limit by `==`, so that a
step over the limit goes unnoticed. The built-in model notes the slip that a passing edit corrected, and a later task
reads it. The tasks are of one shape on purpose: this shows that notes arrive and are used, and how much a note can be
worth where it fits. What a language model notes, and whether its notes help, it cannot show.

    python benchmarks/bank_series.py --seeds 3
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from envs.base import Task
from envs.basetree import BaseTree, make_base_tree
from envs.demo import DemoEnv
from envs.demo.env import read_files
from heats.config import load_config
from heats.runner.run import RunRequest, play
from heats.store.events import read_events
from heats.store.store import RunStore

REPOSITORY = "depot"
SHAPES: Mapping[str, tuple[str, str]] = {
    # name of the module and function: what a total is compared with, and what the issue says
    "loads": ("capacity", "A van that is filled past its capacity is never sent off."),
    "pages": ("height", "A page that is filled past its height is not closed."),
    "crates": ("volume", "Crates are overfilled when parcels do not add up to the volume exactly."),
    "shifts": ("hours", "A shift goes on although its hours are exceeded."),
    "batches": ("budget", "A batch is not closed when its budget is exceeded."),
    "queues": ("quota", "The queue is not flushed once the quota is exceeded."),
    "trips": ("range", "A trip is not ended when the range is exceeded."),
    "logs": ("limit", "A log is not rotated when it grows past its limit."),
    "tanks": ("level", "A tank that rises above its level is not drained."),
    "carts": ("weight", "A cart that is too heavy is not sent on."),
}
MODULE = '''"""Divide amounts into {name}."""


def {name}(amounts, {limit}, skip=0):
    """Fill one after another, and close it once its total reaches the {limit}; negative amounts do not count."""
    closed, current, total = [], [], 0
    for place, amount in enumerate(amounts):
        if amount < 0 or place < skip:
            continue
        current.append(amount)
        total = total + amount
        if total {operator} {limit}:
            closed.append(current)
            current, total = [], 0
    if current and total > 0:
        closed.append(current)
    return closed


def fullest(amounts, {limit}):
    """Place of the first with the largest total; -1 if there is none."""
    best, largest = -1, 0
    for place, group in enumerate({name}(amounts, {limit})):
        if sum(group) > largest:
            best, largest = place, sum(group)
    return best


def spare(amounts, {limit}):
    """What is left below the {limit} in each."""
    return [max({limit} - sum(group), 0) for group in {name}(amounts, {limit})]
'''
VISIBLE = """from depot.{name} import fullest, spare, {name}


def test_exact():
    assert {name}([2, 3, 5, 1], 5) == [[2, 3], [5], [1]]


def test_past():
    assert {name}([3, 4, 1], 5) == [[3, 4], [1]]


def test_nothing_counts_below_zero():
    assert {name}([-1, 5, 0], 5) == [[5]]
    assert {name}([9, 5, 5], 5, skip=1) == [[5], [5]]


def test_the_rest():
    assert fullest([5, 5, 2], 5) == 0
    assert spare([5, 2], 5) == [0, 3]
    assert fullest([], 5) == -1
"""
HIDDEN = """from depot.{name} import fullest, spare, {name}


def test_far_past():
    assert {name}([9, 1, 9], 5) == [[9], [1, 9]]
    assert {name}([4, 4, 4, 4], 6) == [[4, 4], [4, 4]]


def test_others():
    assert fullest([3, 4, 6, 1], 5) == 0
    assert spare([3, 4, 1], 5) == [0, 4]
    assert {name}([], 5) == []
"""


class Series(DemoEnv):
    """The ten tasks, as built-in tasks are laid out."""

    name = "bank-series"

    def __init__(self, folder: Path) -> None:
        super().__init__(only=("csv",))
        self._folder = folder
        self._ids = tuple(SHAPES)

    @property
    def _trees(self) -> Mapping[str, BaseTree]:  # type: ignore[override]
        return {name: make_base_tree(read_files(self._folder / name / "repo")) for name in self._ids}

    def tasks(self) -> Sequence[Task]:
        """The tasks, in the order of the issues."""
        return [task.model_copy(update={"repository": REPOSITORY}) for task in super().tasks()]


def write_tasks(folder: Path) -> None:
    """Write the task folders: in each, the repository with a slip in one module."""
    for wrong, (_, issue) in SHAPES.items():
        files = {f"{wrong}/task.yaml": yaml.safe_dump({"title": f"{wrong} overflow", "edits": "one", "issue": issue})}
        files[f"{wrong}/repo/depot/__init__.py"] = ""
        for name, (limit, _) in SHAPES.items():
            operator = "==" if name == wrong else ">="
            text = MODULE.format(name=name, limit=limit, operator=operator)
            files[f"{wrong}/repo/depot/{name}.py"] = text
        files[f"{wrong}/repo/tests/test_{wrong}.py"] = VISIBLE.format(name=wrong)
        files[f"{wrong}/hidden/tests/test_hidden_{wrong}.py"] = HIDDEN.format(name=wrong)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)


async def run_series(
    folder: Path, directory: Path, seed: int, bank: Path | None, sandbox: str
) -> list[dict[str, object]]:
    """Play the ten tasks with one rollout each; returns a row per task.

    Args:
        folder: the task folders.
        directory: run directory.
        seed: seed of the run.
        bank: the bank to read and write; None for none.
        sandbox: backend.
    """
    keys = {"rollouts": 1, "iterations": 1, "select_k": 1, "seed": seed, "model.name": "builtin:repair", "workers": 2}
    keys |= {"sandbox.backend": sandbox, "sandbox.unsafe": sandbox == "local" or None}
    if bank is not None:
        keys |= {
            "bank.path": str(bank),
            "bank.readers": ["bm25", "repository"],
            "bank.writers": ["behaviour"],
            "bank.across_tasks": True,
        }
    config = load_config([], keys)
    await play(RunRequest(command="series", directory=directory, config=config, env=Series(folder)))
    store = RunStore(directory)
    rows = []
    for name in SHAPES:
        files = store.task(name).rollout("heat-0/rollout-00")
        outcome, grade = files.outcome(), store.grades.grade(name, files.rollout)
        trajectory = files.trajectory()
        calls = [call.arguments for step in (trajectory.steps if trajectory else ()) for call in step.tool_calls]
        rows.append(
            {
                "task": name,
                "passed": grade is not None and grade.outcome == "pass",
                "steps": outcome.steps if outcome else 0,
                "checks": sum("repair_run.py check" in one for one in calls),
                "tokens": outcome.usage.tokens if outcome else 0,
                "read": "slip " in "".join(step.content for step in (trajectory.steps[:2] if trajectory else ())),
            }
        )
    noted = [event for event in read_events(store.events_path) if event.kind == "noted"]
    assert bank is None or len(noted) == len(SHAPES)
    return rows


def told(name: str, rows: Sequence[Mapping[str, object]]) -> str:
    """One line of the result."""
    mean = {key: statistics.mean(float(str(row[key])) for row in rows) for key in ("steps", "checks", "tokens")}
    passed = sum(bool(row["passed"]) for row in rows)
    read = sum(bool(row["read"]) for row in rows)
    return (
        f"{name:24} passed {passed}/{len(rows)}  steps {mean['steps']:.2f}  checks {mean['checks']:.2f}  "
        f"tokens {mean['tokens']:.0f}  read a note {read}/{len(rows)}"
    )


async def measure(folder: Path, seed: int, sandbox: str) -> dict[str, list[dict[str, object]]]:
    """Both arms with one seed, at the same time: without a bank, and with one that is empty at the start."""
    with_bank = run_series(folder / "tasks", folder / f"with-{seed}", seed, folder / f"bank-{seed}.jsonl", sandbox)
    without = run_series(folder / "tasks", folder / f"without-{seed}", seed, None, sandbox)
    rows = dict(zip(("with", "without"), await asyncio.gather(with_bank, without), strict=True))
    print(json.dumps({"seed": seed, **rows}), flush=True)
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sandbox", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heats-series-") as scratch:
        write_tasks(Path(scratch) / "tasks")
        found = [asyncio.run(measure(Path(scratch), seed, given.sandbox)) for seed in range(given.seeds)]
    rows = {arm: [row for one in found for row in one[arm]] for arm in ("without", "with")}
    rows["with, note read"] = [row for row in rows["with"] if row["read"]]
    for arm, these in rows.items():
        print(told(arm, these) if these else f"{arm}: none")


if __name__ == "__main__":
    main()
