"""A run's results in other tools' formats: SWE-bench predictions, ATIF trajectories, a CSV of rollouts."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from agents.atif import to_atif
from heats.files import slug, write_bytes
from heats.show.reading import RolloutFacts, TaskFacts, read_task, task_ids
from heats.show.sanitize import one_line
from heats.store import RunStore


def export_preds(run: RunStore, directory: Path) -> list[Path]:
    """Write `preds.json` and `all_preds.jsonl`: the final choice of every finished task, empty where there is none.

    Bytes of a patch that are not UTF-8 are replaced, since JSON has no place for them; `patch.diff` has them.

    Returns:
        The files written.
    """
    predictions = [_prediction(read_task(run, task)) for task in task_ids(run)]
    found = [one for one in predictions if one is not None]
    whole, lines = directory / "preds.json", directory / "all_preds.jsonl"
    by_id = {one["instance_id"]: one for one in found}
    write_bytes(whole, json.dumps(by_id, indent=1).encode() + b"\n", mode=0o644)
    write_bytes(lines, "".join(json.dumps(one) + "\n" for one in found).encode(), mode=0o644)
    return [whole, lines]


def _prediction(task: TaskFacts) -> dict[str, str] | None:
    if task.result is None:
        return None
    chosen = task.find(task.selected)
    patch = task.store.rollout(chosen.id).patch().data if chosen is not None else b""
    models = (one.outcome.model for one in task.rollouts() if one.outcome is not None and one.outcome.model)
    name = f"heats+{next(models, 'unknown')}"
    return {"instance_id": task.id, "model_name_or_path": name, "model_patch": patch.decode("utf-8", "replace")}


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


def export_csv(run: RunStore, directory: Path) -> list[Path]:
    """Write `rollouts.csv`: one row a rollout, with its outcome, evidence, grade and cost.

    Returns:
        The file written.
    """
    rows = [row for task in task_ids(run) for row in _rows(read_task(run, task))]
    text = StringIO()
    writer = csv.DictWriter(text, list(_row_of_nothing()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = directory / "rollouts.csv"
    write_bytes(path, text.getvalue().encode("utf-8", "replace"), mode=0o644)
    return [path]


def _rows(task: TaskFacts) -> Iterator[dict[str, Any]]:
    for heat, rollouts in enumerate(task.heats):
        for one in rollouts:
            row = _row_of_nothing() | {"task": _cell(task.id), "rollout": one.id, "heat": heat}
            row |= {"kept": int(one.id in task.kept(heat)), "selected": int(one.id == task.selected)}
            yield row | _row(one)


def _row(one: RolloutFacts) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if one.outcome is not None:
        outcome = one.outcome
        row |= outcome.model_dump(include={"exit", "steps", "duration_s", "seed", "patch_sha256", "patch_bytes"})
        row |= outcome.usage.model_dump()
        row |= {"model": _cell(outcome.model), "detail": _cell(outcome.error or outcome.detail)}
    if one.evidence is not None:
        evidence = one.evidence
        row |= {"verdict": evidence.verdict, "rank": evidence.rank}
        row |= {name: len(getattr(evidence, name)) for name in ("fixed", "broken", "still_failing")}
    if one.grade is not None:
        row["grade"] = one.grade.outcome
    return row


def _row_of_nothing() -> dict[str, Any]:
    names = (
        "task rollout heat kept selected grade verdict rank fixed broken still_failing exit steps duration_s "
        "calls prompt_tokens cached_tokens completion_tokens reasoning_tokens cost_usd patch_bytes patch_sha256 "
        "seed model detail"
    )
    return dict.fromkeys(names.split(), "")


def _cell(text: str) -> str:
    """One line that no spreadsheet takes for a formula."""
    line = one_line(text, 400)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line
