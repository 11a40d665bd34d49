"""A sweep whose rollouts replay patches of real systems: what executed evidence chooses and costs, against votes alone.

    python -m benchmarks.replayed_sweep --rows rows.jsonl --attempts attempts.jsonl --out runs/replayed [INSTANCE...]

A scripted model draws one of an instance's real patches for each rollout and applies it, and its judge votes at random.
The same rollouts are played twice: with evidence (the default configuration) and without. Choices are scored by the
known outcomes of the attempts (`resolved`), which no run sees. `--grade` has hidden tests grade every rollout of the
first run after its selection, and scores by these grades. Wall time excludes grading. Runs resume.
"""

import argparse
import asyncio
import base64
import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.real_attempts import Pool, read_pools  # noqa: E402
from core.sanitize import for_model  # noqa: E402
from envs.base import Task  # noqa: E402
from envs.same_change import change_key  # noqa: E402
from envs.swebench import SweBenchEnv, SweBenchSource  # noqa: E402
from heats.config import load_config  # noqa: E402
from heats.runner.run import RunRequest, play  # noqa: E402
from heats.store.cross_store import CrossStore  # noqa: E402
from heats.store.reader import read_events  # noqa: E402
from heats.store.store import RunStore  # noqa: E402

LIMITS = {"memory_mb": 4096, "cpus": 1, "pids": 1024, "tmp_mb": 1024}


def script(pools: Mapping[str, Pool], tasks: Mapping[str, Task]) -> dict[str, Any]:
    """A persona: for each instance's statement, one way per different patch."""
    rules = []
    for name, task in tasks.items():
        ways = []
        for patch in pools[name].patches.values():
            data = base64.b64encode(patch.data).decode()
            ways.append([f"base64 -d <<'END' | git apply --whitespace=nowarn -\n{data}\nEND"])
        rules.append({"when": re.escape(for_model(task.statement).strip()[:200]), "variants": ways})
    return {"rules": rules, "pick": "hash"}


async def run(folder: Path, env: SweBenchEnv, task: Task, asked: argparse.Namespace, evidence: bool) -> None:
    """Play one instance in one of the two runs, unless it has a result there.

    Args:
        folder: folder of both runs, with the script.
        env: the instances.
        task: the instance.
        asked: command-line options.
        evidence: execute tests before the comparison, and grade afterwards.
    """
    keys: dict[str, Any] = {
        "model.name": f"fake:{folder / 'script.json'}", "rollouts": asked.rollouts, "iterations": 1, "select_k": 1,
        "seed": asked.seed, "workers": asked.workers, "evidence": evidence, "grade": evidence and asked.grade,
        "sandbox.backend": asked.backend, "execution.existing_s": asked.existing_s,
        "tournament.judge.votes_from": "samples",
    }  # fmt: skip
    keys |= {f"sandbox.limits.{name}": value for name, value in LIMITS.items()}
    config = load_config(asked.config, keys)
    directory = folder / ("evidence" if evidence else "votes")
    request = RunRequest(command="benchmark", directory=directory, config=config, env=env, tasks=[task], extend=True)
    await play(request)


def outcomes(on: RunStore, task: Task, pool: Pool, graded: bool) -> dict[str, bool]:
    """Whether patches resolve the instance, by the key of their change.

    Args:
        on: the run with evidence.
        task: the instance.
        pool: its attempts.
        graded: by the run's grades instead of the attempts' known outcomes.
    """
    if not graded:
        known = {one["attempt_id"]: one["resolved"] for one in pool.attempts}
        return {key: known[name] for name, key in pool.keys.items() if known[name] is not None}
    files = on.task(task.id)
    grades = {one: on.grades.grade(task.id, one) for one in files.rollouts(0)}
    return {
        change_key(files.rollout(one).patch()): grade.outcome == "pass"
        for one, grade in grades.items()
        if grade is not None and grade.outcome != "invalid"
    }


def scored(folder: Path, task: Task, pool: Pool, graded: bool) -> dict[str, Any]:
    """One instance: share of resolving rollouts, and whether the choice of each run resolves.

    Args:
        folder: folder of both runs.
        task: the instance.
        pool: its attempts.
        graded: see `outcomes`.
    """
    on, off = RunStore(folder / "evidence"), RunStore(folder / "votes")
    names, grades = on.task(task.id).rollouts(0), outcomes(on, task, pool, graded)
    patches = [change_key(on.task(task.id).rollout(one).patch()) for one in names]
    known = [grades[one] for one in patches if one in grades]
    found: dict[str, Any] = {"task": task.id, "different": len(set(patches)), "random": fmean(known) if known else None}
    for kind, store in (("evidence", on), ("votes", off)):
        result = store.task(task.id).result()
        selected = result.selected if result is not None else None
        chosen = change_key(store.task(task.id).rollout(selected).patch()) if selected else ""
        found[kind] = grades.get(chosen)
        found[f"{kind}_s"] = round(_seconds(store, task.id), 1)
        found[f"{kind}_sandboxes"] = _sandboxes(store, task.id)
    path = on.task(task.id).directory / "heat-0" / "cross.json"
    table = json.loads(path.read_text()) if path.exists() else {}
    return found | {"existing": table.get("existing", 0), "voices": len(table.get("voices", ()))}


def _sandboxes(store: RunStore, task: str) -> int:
    """Sandboxes of rollouts and of evidence: one per run of tests, and one to find or read each set of tests."""
    cells = CrossStore(store.task(task).directory).cells()
    rollouts = sum(event.task == task and event.kind == "rollout_started" for event in read_events(store))
    return rollouts + len(cells) + len({tests for tests, _ in cells})


def _seconds(store: RunStore, task: str) -> float:
    """Time at work on a task, over all processes, without grading."""
    total, began, last = 0.0, 0.0, 0.0
    for event in read_events(store):
        if event.task == task and event.kind not in ("grading", "graded"):
            moment = datetime.fromisoformat(event.time).timestamp()
            if event.kind == "task_started":
                total, began = total + last - began, moment
            last = moment
    return total + last - began


async def main() -> None:
    """Play both runs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="*", help="default: all instances with patches of both outcomes")
    parser.add_argument("--rows", type=Path, required=True, help="SWE-bench rows")
    parser.add_argument("--attempts", type=Path, required=True, help="a patch a line: instance_id, model_patch")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--grade", action="store_true", help="grade with hidden tests instead of the known outcomes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--existing-s", type=float, default=120)
    parser.add_argument("--backend", default="docker")
    parser.add_argument("--image-template", help="names of the images, if they are not those of the rows")
    parser.add_argument("-c", "--config", action="append", default=[])
    asked = parser.parse_args()
    pools = {one.instance: one for one in read_pools(asked.attempts, asked.instances)}
    if not asked.instances:
        known = {name: {one["resolved"] for one in pool.attempts} for name, pool in pools.items()}
        pools = {name: pool for name, pool in pools.items() if known[name] >= {True, False}}
    source = SweBenchSource(source=str(asked.rows), image_template=asked.image_template)
    env = await asyncio.to_thread(SweBenchEnv.open, source)
    tasks = {task.id: task for task in env.tasks() if task.id in pools}
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "script.json").write_text(json.dumps(script(pools, tasks)))
    rows = []
    for name in pools:
        if name in tasks:
            for evidence in (True, False):
                await run(asked.out, env, tasks[name], asked, evidence)
            rows.append(scored(asked.out, tasks[name], pools[name], asked.grade))
            print(json.dumps(rows[-1]), flush=True)
    known = [row for row in rows if None not in (row["random"], row["evidence"], row["votes"])]
    totals: dict[str, float] = {"known": len(known)}
    totals |= {kind: fmean(float(row[kind]) for row in known) for kind in ("random", "evidence", "votes") if known}
    for kind in ("evidence", "votes"):
        totals[f"{kind}_sandboxes"] = sum(row[f"{kind}_sandboxes"] for row in rows)
        totals[f"{kind}_s"] = round(sum(row[f"{kind}_s"] for row in rows), 1)
    print(json.dumps(totals))


if __name__ == "__main__":
    asyncio.run(main())
