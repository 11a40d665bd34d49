"""What `heats grade` grades: attempts from files or from runs, as submissions, and the report over their grades."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.ids import RolloutId
from envs.base import Patch, Task
from envs.errors import PatchRejected
from envs.patches import read_patch
from heats.importing.attempts import ImportedAttempt, LeftOut
from heats.runner.grading import Graded, Submission
from heats.runner.snapshots import state_image
from heats.store.files import slug
from heats.store.store import RunStore


def submissions(
    attempts: Sequence[ImportedAttempt],
    tasks: Sequence[Task],
    known: Sequence[str],
    unusable: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Submission], list[LeftOut]]:
    """Match attempts with tasks. Attempts at other tasks are ignored.

    Args:
        attempts: all attempts that were read.
        tasks: the selected tasks.
        known: ids of all the tasks in the data set, selected or not.
        unusable: reasons by id, for selected tasks that cannot be graded.

    Returns:
        The submissions in task order, and the attempts that cannot be graded.
    """
    every = set(known)
    by_task: Mapping[str, list[ImportedAttempt]] = {task.id: [] for task in tasks}
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


def _patch(attempt: ImportedAttempt) -> Patch:
    try:
        return read_patch(attempt.patch)
    except PatchRejected:  # the grader reports why; and the description of a state is not a diff
        return Patch(attempt.patch)


def _name(attempt: ImportedAttempt) -> str:
    """The rollout, for attempts from a run of heats; else model and patch, as another patch is another submission."""
    rollout = _place(attempt)[1]
    return rollout or f"{slug(attempt.model or 'unknown')}-{Patch(attempt.patch).sha256[:12]}"


def _image(attempt: ImportedAttempt, task: Task) -> str:
    directory, rollout = _place(attempt)
    if task.submission == "patch" or not rollout:
        return ""
    return state_image(RunStore(Path(directory)).manifest.run_id, task.id, rollout)


def _place(attempt: ImportedAttempt) -> tuple[str, str]:
    """The run of heats and the rollout that an attempt comes from; empty for other attempts."""
    directory, _, rollout = attempt.source.rpartition(f"/{attempt.instance}/")
    return (directory, rollout) if RolloutId.matches(rollout) else ("", "")


def report_of(graded: Sequence[Graded], tasks: Sequence[str], left_out: Sequence[LeftOut] = ()) -> dict[str, Any]:
    """Counts and ids in the format of SWE-bench's run report; a task with several submissions counts by its first.

    What could not be read or graded counts as an error and stays in the denominator.

    Args:
        graded: the submissions with their grades.
        tasks: ids of the selected tasks, including those that cannot be graded.
        left_out: what could not be read or graded.
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
