"""A run's results in other tools' formats: SWE-bench predictions, ATIF trajectories, a CSV of rollouts."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from agents.atif import to_atif
from heats.files import slug, write_bytes
from heats.show.reading import RolloutFacts, TaskFacts, read_task, task_ids
from heats.show.sanitize import one_line
from heats.store import RunStore

Prediction = dict[str, str]
"""A line of SWE-bench predictions."""


def export_preds(run: RunStore, directory: Path) -> list[Path]:
    """Write the final choice of every finished task, empty where there is none, and each rollout index by itself.

    These are `preds.json` and `all_preds.jsonl`, and `preds/heat-0-rollout-00.jsonl` ... of those rollouts that
    infrastructure did not fail. Bytes of a patch that are not UTF-8 are replaced, since JSON has no place for them;
    `patch.diff` has them.

    Returns:
        The files written.
    """
    found: list[Prediction] = []
    by_rollout: dict[str, list[Prediction]] = defaultdict(list)
    for task in (read_task(run, one) for one in task_ids(run)):
        if task.result is not None:
            found.append(_prediction(task, task.find(task.selected)))
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


def _prediction(task: TaskFacts, chosen: RolloutFacts | None) -> Prediction:
    patch = task.store.rollout(chosen.id).patch().data if chosen is not None else b""
    outcomes = [chosen.outcome] if chosen is not None else [one.outcome for one in task.rollouts()]
    name = f"heats+{next((one.model for one in outcomes if one is not None and one.model), 'unknown')}"
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
