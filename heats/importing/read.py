"""Read attempts made elsewhere from files: trajectories, patches, predictions, logs, other runs of heats.

The files are untrusted. What cannot be read is left out and named; the rest is used.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heats.errors import UsageError
from heats.importing.attempts import PATCHES, Found, ImportedAttempt, LeftOut, Reading, stem_of
from heats.importing.documents import SUFFIXES, WHOLE, documents
from heats.importing.folders import read_files
from heats.importing.rows import why_unknown
from heats.store.reader import RolloutFacts, TaskFacts, read_task, statement, task_ids
from heats.store.store import RunStore

KNOWN = (
    "*.traj.json, *.traj, ATIF and other trajectories as *.json, *.eval, preds.json, *.jsonl, *.diff, *.patch, "
    "and heats runs"
)


def read_attempts(paths: Sequence[Path]) -> Reading:
    """All attempts under the paths, in the order of the paths; within a directory, by name.

    Raises:
        UsageError: a path that does not exist or has no known format, a directory without any attempt, or no usable
            attempt at all.
        ExtraMissing: a library is not installed.
    """
    found: list[Found] = []
    for path in paths:
        try:
            read = list(_directory(path) if path.is_dir() else _file(path))
        except OSError as error:
            raise UsageError(f"{error.filename or path}: {error.strerror or error}") from None
        if not read:
            raise UsageError(f"{path}: nothing to select from (looked for {KNOWN})")
        found += read
    reading = Reading.of(found)
    if not reading.attempts:
        first = reading.left_out[0]
        more = f" (and {len(reading.left_out) - 1} more)" if len(reading.left_out) > 1 else ""
        raise UsageError(f"{first.source}: {first.reason}{more}")
    return reading


def summary_key(identity: dict[str, Any]) -> str:
    """Identity of the summarizer in a configuration; summaries are only reused for the same identity."""
    model = identity.get("summarizer_model") or identity.get("model")
    return json.dumps([identity.get("summarizer"), model], sort_keys=True)


def _directory(directory: Path) -> Iterator[Found]:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
    runs = [path.parent for path in files if path.name == "run.json" and (path.parent / "tasks").is_dir()]
    for run in runs:
        yield from _run(run)
    yield from read_files([path for path in files if not any(path.is_relative_to(run) for run in runs)])


def _file(path: Path) -> Iterator[Found]:
    if path.suffix not in (*PATCHES, *SUFFIXES):
        path.read_bytes()
        raise UsageError(f"{path}: unknown format (known: {KNOWN})")
    read = read_files([path, *(_beside(path) if path.suffix in WHOLE else ())])
    own = [one for one in read if isinstance(one, LeftOut) or stem_of(one.file) == stem_of(path)]
    if own:
        yield from own
        return
    first = next((row for _, row in documents(path)), None)
    first = first[0] if isinstance(first, list) and first else first
    raise UsageError(f"{path}: unknown format ({why_unknown(first)}; known: {KNOWN})")


def _beside(path: Path) -> Iterator[Path]:
    """Other files of a named file's attempt: files of the same name, its patch, and its trial's result."""
    for other in sorted(path.parent.iterdir()):
        same = stem_of(other) == stem_of(path) and other.suffix in (*PATCHES, ".pred", ".traj")
        if other != path and (same or other.name == "patch.diff"):
            yield other
    result = path.parent.parent / "result.json"
    if path.name == "trajectory.json" and path.parent.name == "agent" and result.is_file():
        yield result


def _run(directory: Path) -> Iterator[ImportedAttempt]:
    """The finished rollouts of a run of heats, from all heats."""
    run = RunStore(directory)
    config = run.manifest.identity.get("config")
    key = summary_key(config) if isinstance(config, dict) else ""
    for task_id in task_ids(run):
        task = read_task(run, task_id)
        for facts in task.rollouts():
            if facts.outcome is not None and facts.outcome.exit not in (None, "sandbox_lost"):
                yield replace(_rollout(directory, task, facts), summarized_by=key)


def _rollout(directory: Path, task: TaskFacts, facts: RolloutFacts) -> ImportedAttempt:
    files = task.store.rollout(facts.id)
    trajectory = files.trajectory()
    return ImportedAttempt(
        source=f"{directory}/{task.id}/{facts.id}",
        file=files.directory,
        instance=task.id,
        trajectory=trajectory,
        patch=files.patch().data,
        statement=statement(task.store, trajectory),
        model=facts.outcome.model if facts.outcome else "",
        summary=files.summary(),
        evidence=facts.evidence,
    )
