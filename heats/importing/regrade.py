"""What `heats grade` grades: attempts from files or from runs, as submissions, and the report over their grades."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.ids import RolloutId
from envs.base import Patch, Task
from envs.errors import PatchRejected
from envs.patches import read_patch
from heats.importing.attempts import Attempt, LeftOut
from heats.runner.grading import Graded, Submission
from heats.runner.snapshots import state_image
from heats.store.files import slug
from heats.store.store import RunStore


def submissions(
    attempts: Sequence[Attempt],
    tasks: Sequence[Task],
    known: Sequence[str],
    unusable: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Submission], list[LeftOut]]:
    """What there is to grade, by task in the tasks' order, and what cannot be. Attempts at other tasks are left away.

    Args:
        known: ids of all the tasks of the data set, chosen or not.
        unusable: chosen tasks that cannot be graded, with the reasons.
    """
    every = set(known)
    by_task: Mapping[str, list[Attempt]] = {task.id: [] for task in tasks}
    left_out = []
    for attempt in attempts:
        if attempt.instance in by_task:
            by_task[attempt.instance].append(attempt)
        elif attempt.instance in unusable:
            left_out.append(LeftOut(attempt.source, unusable[attempt.instance], attempt.instance))
        elif attempt.instance not in every:
            left_out.append(LeftOut(attempt.source, f"the data set has no task {attempt.instance}"))
    found = [
        Submission(
            task=task,
            name=_name(attempt),
            source=attempt.source,
            patch=_patch(attempt),
            image=_image(attempt, task),
        )
        for task in tasks
        for attempt in by_task[task.id]
    ]
    return found, left_out


def _patch(attempt: Attempt) -> Patch:
    try:
        return read_patch(attempt.patch)
    except PatchRejected:  # the grader says why; and the description of a state is no diff
        return Patch(attempt.patch)


def _name(attempt: Attempt) -> str:
    """The rollout where it is one of a run of heats; else the model and the patch: another patch is not the same."""
    rollout = _place(attempt)[1]
    return rollout or f"{slug(attempt.model or 'unknown')}-{Patch(attempt.patch).sha256[:12]}"


def _image(attempt: Attempt, task: Task) -> str:
    directory, rollout = _place(attempt)
    if task.submission == "patch" or not rollout:
        return ""
    return state_image(RunStore(Path(directory)).manifest.run_id, task.id, rollout)


def _place(attempt: Attempt) -> tuple[str, str]:
    """The run of heats and the rollout that an attempt is of; empty where it is of none."""
    directory, _, rollout = attempt.source.rpartition(f"/{attempt.instance}/")
    return (directory, rollout) if RolloutId.matches(rollout) else ("", "")


def report_of(graded: Sequence[Graded], tasks: Sequence[str], left_out: Sequence[LeftOut] = ()) -> dict[str, Any]:
    """Counts and ids in the form of SWE-bench's run report; a task of several submissions counts by its first one.

    What could not be read or graded stays in the denominator: it is an error, never left away.

    Args:
        tasks: ids of the chosen tasks, those that cannot be graded among them.
    """
    first: dict[str, Graded | None] = {}
    for one in graded:
        first.setdefault(one.submission.task.id, one)
    for lost in left_out:
        if lost.instance in tasks:
            first.setdefault(lost.instance, None)
    outcomes = {task: one.grade.outcome if one and one.grade else "invalid" for task, one in first.items()}
    ids: dict[str, list[str]] = {
        "submitted": list(first),
        "empty_patch": [task for task, one in first.items() if one is not None and not one.submission.patch],
        "resolved": [task for task, outcome in outcomes.items() if outcome == "pass"],
        "error": [task for task, outcome in outcomes.items() if outcome == "invalid"],
        "incomplete": [task for task in tasks if task not in first],
    }
    apart = {*ids["empty_patch"], *ids["resolved"], *ids["error"]}
    ids["unresolved"] = [task for task in first if task not in apart]
    ids["completed"] = sorted({*ids["resolved"], *ids["unresolved"]})
    counts = {f"{name}_instances": len(found) for name, found in ids.items() if name != "incomplete"}
    lists = {f"{name}_ids": sorted(found) for name, found in ids.items()}
    return {"total_instances": len(tasks), **counts, **lists, "schema_version": 2}
