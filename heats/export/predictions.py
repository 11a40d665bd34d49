"""Export SWE-bench predictions and ATIF trajectories."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from agents.atif import to_atif
from envs.base import EndState, Patch
from heats.store.files import slug, write_bytes
from heats.store.reader import RolloutFacts, TaskFacts, read_task, task_ids
from heats.store.store import RunStore

Prediction = dict[str, str]
"""One line of SWE-bench predictions."""


def export_preds(run: RunStore, directory: Path) -> list[Path]:
    """Write the final choice of every finished task (empty if there is none), and each rollout index separately.

    The files are `preds.json` and `all_preds.jsonl`, and `preds/heat-0-rollout-00.jsonl` ... with the rollouts that
    infrastructure did not fail. Bytes that are not UTF-8 are replaced, since JSON cannot hold them; `patch.diff` has
    the original bytes.

    Returns:
        The files written.
    """
    by_rollout: dict[str, list[Prediction]] = defaultdict(list)
    tasks = [read_task(run, one) for one in task_ids(run)]
    found = final_predictions(tasks)
    for task in tasks:
        for one in task.rollouts():
            if one.outcome is not None and not one.infrastructure_failed:
                by_rollout[one.id].append(_prediction(task, one))
    whole = directory / "preds.json"
    by_id = {one["instance_id"]: one for one in found}
    write_bytes(whole, json.dumps(by_id, indent=1).encode() + b"\n", mode=0o644)
    files = {directory / "all_preds.jsonl": found}
    files |= {directory / "preds" / f"{one.replace('/', '-')}.jsonl": by_rollout[one] for one in sorted(by_rollout)}
    for path, lines in files.items():
        write_bytes(path, "".join(json.dumps(line) + "\n" for line in lines).encode(), mode=0o644)
    return [whole, *files]


def final_predictions(tasks: Iterable[TaskFacts]) -> list[Prediction]:
    """The final choice of each task that has ended."""
    return [_prediction(task, task.find(task.selected)) for task in tasks if task.result is not None]


def _prediction(task: TaskFacts, chosen: RolloutFacts | None) -> Prediction:
    patch = task.store.rollout(chosen.id).patch() if chosen is not None else Patch(b"")
    text = "" if isinstance(patch, EndState) else patch.data.decode("utf-8", "replace")
    outcomes = [chosen.outcome] if chosen is not None else [one.outcome for one in task.rollouts()]
    name = f"heats+{next((one.model for one in outcomes if one is not None and one.model), 'unknown')}"
    return {"instance_id": task.id, "model_name_or_path": name, "model_patch": text}


def export_atif(run: RunStore, directory: Path) -> list[Path]:
    """Write `atif/<task>/<heat>-<rollout>.json` for every rollout that has a trajectory.

    Returns:
        The files written.
    """
    written = []
    run_id = run.manifest.run_id
    for task in task_ids(run):
        facts = read_task(run, task)
        for one in facts.rollouts():
            trajectory = facts.store.rollout(one.id).trajectory()
            if trajectory is None:
                continue
            path = directory / "atif" / slug(task) / f"{one.id.replace('/', '-')}.json"
            document = to_atif(trajectory, session_id=f"{run_id}/{trajectory.task_id}")
            write_bytes(path, json.dumps(document, indent=1).encode() + b"\n", mode=0o644)
            written.append(path)
    return written
