"""Attempts that somebody else made, read from files: trajectories, patches, predictions, another run of heats.

The files are untrusted; one that is not what its name says ends the reading with a `UsageError` that names it.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.errors import TrajectoryFormatError
from agents.importers import read_trajectory
from agents.llm.replies import without_surrogates
from agents.trajectory import Trajectory
from core.diff import scan_diff
from envs.base import Evidence
from heats.errors import UsageError
from heats.store.reader import RolloutFacts, TaskFacts, read_task, statement, task_ids
from heats.store.store import RunStore
from summarizer.schema import Summary

PATCHES, MINI = (".diff", ".patch"), ".traj.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a task.

    Attributes:
        source: where it was read, as a person would point at it.
        instance: the task's id where the file says it, else empty.
        patch: the diff as it was found; empty when the attempt left none.
        statement: the task's text where the attempt tells it.
        summary, evidence: of an attempt that heats itself made.
        summarized_by: who wrote `summary`, as `summary_key` names it.
    """

    source: str
    instance: str = ""
    trajectory: Trajectory | None = None
    patch: bytes = b""
    statement: str = ""
    model: str = ""
    summary: Summary | None = None
    summarized_by: str = ""
    evidence: Evidence | None = None


def read_attempts(paths: Sequence[Path]) -> list[Attempt]:
    """All attempts under the paths, in the paths' order, those of a directory by name.

    Raises:
        UsageError: a path that does not exist, cannot be read or is of no known format, or a directory without any.
    """
    attempts: list[Attempt] = []
    for path in paths:
        try:
            found = list(_directory(path) if path.is_dir() else _file(path))
        except OSError as error:
            raise UsageError(f"{error.filename or path}: {error.strerror or error}") from None
        if not found:
            raise UsageError(
                f"{path}: nothing to select from (looked for *.traj.json, ATIF trajectories, preds.json, *.jsonl, "
                "*.diff, *.patch, and a run of heats)"
            )
        attempts += found
    return attempts


def summary_key(identity: dict[str, Any]) -> str:
    """Who summarises in a run of this configuration, so that summaries are taken over only from the same."""
    model = identity.get("summarizer_model") or identity.get("model")
    return json.dumps([identity.get("summarizer"), model], sort_keys=True)


def _directory(directory: Path) -> Iterator[Attempt]:
    if (directory / "run.json").exists():
        yield from _run(directory)
        return
    files = sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
    trajectories = [path for path in files if _is_trajectory(path)]
    folders = Counter(path.parent for path in trajectories)
    above = {parent for folder in folders for parent in (folder, *folder.parents)}
    taken: set[Path] = set()
    for path in trajectories:
        beside = _patch_beside(path, alone=folders[path.parent] == 1)
        taken |= {beside} if beside else set()
        yield _trajectory(path, beside)
    for path in files:
        if path.suffix in PATCHES and path not in taken:
            yield _patch(path)
        elif _may_hold_predictions(path) and path.parent not in above:
            yield from _predictions(path)


def _may_hold_predictions(path: Path) -> bool:
    """By name; `all_preds.jsonl` beside `preds.json` says the same again."""
    again = path.name == "all_preds.jsonl" and path.with_name("preds.json").exists()
    return path.name == "preds.json" or (path.suffix == ".jsonl" and not again)


def _file(path: Path) -> Iterator[Attempt]:
    if path.suffix in PATCHES:
        yield _patch(path)
    elif path.suffix == ".jsonl" or (path.suffix == ".json" and not _is_trajectory(path)):
        yield from _predictions(path)
    elif path.suffix == ".json":
        yield _trajectory(path, _patch_beside(path, alone=True))
    else:
        path.read_bytes()
        raise UsageError(
            f"{path}: unknown format (known: *.traj.json, ATIF *.json, preds.json, *.jsonl, *.diff, *.patch)"
        )


def _is_trajectory(path: Path) -> bool:
    """By its name, or by the keys at its top."""
    if path.suffix != ".json" or path.name == "preds.json":
        return False
    if path.name.endswith(MINI):
        return True
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and (
        str(document.get("schema_version", "")).startswith("ATIF-")
        or "trajectory_format" in document
        or ("steps" in document and "task_id" in document)
        or ("messages" in document and "info" in document)
    )


def _trajectory(path: Path, beside: Path | None) -> Attempt:
    try:
        trajectory = read_trajectory(path)
    except TrajectoryFormatError as error:
        raise UsageError(str(error)) from None
    submitted = str(trajectory.extra.get("submission") or "").encode("utf-8", "surrogatepass")
    patch = submitted if _is_diff(submitted) else b""
    if beside is not None and not patch:
        patch = _patch(beside).patch
    said = next((step.content for step in trajectory.steps if step.source == "user"), "")
    return Attempt(
        source=str(path),
        instance=_instance(path, trajectory),
        trajectory=trajectory,
        patch=patch,
        statement=said,
        model=trajectory.model,
    )


def _instance(path: Path, trajectory: Trajectory) -> str:
    """The task's id: ATIF has no field for it, so for other tools' documents it is what Harbor wrote beside them."""
    if trajectory.task_id == "imported":
        return ""
    if "imported_from" not in trajectory.extra:
        return trajectory.task_id
    try:
        return str(json.loads((path.parent.parent / "result.json").read_bytes()).get("task_name") or "")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def _patch_beside(path: Path, *, alone: bool) -> Path | None:
    """`x.diff` or `x.patch` beside `x.json`, or `patch.diff` where the trajectory is the only one of its folder."""
    stem = path.name.removesuffix(MINI).removesuffix(".json")
    names = [stem + suffix for suffix in PATCHES] + (["patch.diff"] if alone else [])
    return next((path.with_name(name) for name in names if path.with_name(name).exists()), None)


def _patch(path: Path) -> Attempt:
    data = path.read_bytes()
    if data.strip() and not _is_diff(data):
        raise UsageError(f"{path}: not a diff: it names no file")
    return Attempt(source=str(path), patch=data)


def _is_diff(data: bytes) -> bool:
    """Whether it is meant as a diff; whether it can be applied is told where it is read, with the reason."""
    return any(file.path or file.flaw for file in scan_diff(data))


def _predictions(path: Path) -> Iterator[Attempt]:
    """SWE-bench predictions: one object a line, a list, or an object by instance id."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.split("\n") if line.strip()] if path.suffix == ".jsonl" else None
        document = without_surrogates(json.loads(text) if rows is None else rows)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON ({error})") from None
    if isinstance(document, dict):
        document = [{"instance_id": key, **one} if isinstance(one, dict) else one for key, one in document.items()]
    for place, row in enumerate(document if isinstance(document, list) else [None], start=1):
        if not isinstance(row, dict) or "instance_id" not in row or "model_patch" not in row:
            raise UsageError(f"{path}: unknown format (entry {place} has no instance_id and model_patch)")
        yield Attempt(
            source=f"{path}:{place}",
            instance=str(row["instance_id"]),
            patch=str(row["model_patch"] or "").encode(),
            model=str(row.get("model_name_or_path") or ""),
        )


def _run(directory: Path) -> Iterator[Attempt]:
    """The finished rollouts of a run of heats, all heats together."""
    run = RunStore(directory)
    config = run.manifest.identity.get("config")
    key = summary_key(config) if isinstance(config, dict) else ""
    for task_id in task_ids(run):
        task = read_task(run, task_id)
        for facts in task.rollouts():
            if facts.outcome is not None and facts.outcome.exit not in (None, "sandbox_lost"):
                yield replace(_rollout(directory, task, facts), summarized_by=key)


def _rollout(directory: Path, task: TaskFacts, facts: RolloutFacts) -> Attempt:
    files = task.store.rollout(facts.id)
    trajectory = files.trajectory()
    return Attempt(
        source=f"{directory}/{task.id}/{facts.id}",
        instance=task.id,
        trajectory=trajectory,
        patch=files.patch().data,
        statement=statement(task.store, trajectory),
        model=facts.outcome.model if facts.outcome else "",
        summary=files.summary(),
        evidence=facts.evidence,
    )
