"""Recognise what a JSON document holds by its top-level keys: a trajectory, a prediction, or rows of attempts.

| tool | a row |
| --- | --- |
| SWE-bench | `instance_id`, `model_patch` |
| OpenHands, evaluation | `instance_id`, `test_result.git_patch`, `history` |
| OpenHands, resolver | `issue` (an object), `git_patch`, `history` |
| Trae Agent, selector | `instance_id`, `patches` |
| Multi-SWE-bench | `org`, `repo`, `number`, `fix_patch` |
| SWE-bench Pro | `instance_id`, `patch` |

Nothing that reveals success is read: no `success_id`, no score, and no reference patch, which some rows carry.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.errors import TrajectoryFormatError
from agents.importers import parse_document
from agents.importers.draft import NO_TASK
from agents.importers.reading import reader_of
from agents.llm.replies import without_surrogates
from heats.importing.attempts import Found, ImportedAttempt, LeftOut, encoded, is_diff
from heats.importing.documents import MODEL

Row = Mapping[str, Any]


def read_document(document: object, source: str, path: Path) -> list[Found] | None:
    """The attempts in a JSON document.

    Args:
        document: the parsed document.
        source: where it was read, for messages.
        path: its file.

    Returns:
        Attempts and unusable rows; None if the format is unknown.
    """
    if isinstance(document, Mapping) and reader_of(document) is None and _is_by_instance(document):
        document = [{"instance_id": name, **row} for name, row in document.items()]
    if not isinstance(document, list) or reader_of(document) is not None:
        return _read_row(document, source, path)
    pairs = [(f"{source}:{place}", row) for place, row in enumerate(document, start=1)]
    return read_rows(pairs, path)


def read_rows(pairs: Sequence[tuple[str, object]], path: Path) -> list[Found] | None:
    """The attempts in a list of rows, leaving out rows that cannot be read; None if no row has a known format."""
    found: list[Found] = []
    known = False
    for source, row in pairs:
        if isinstance(row, ValueError):
            found.append(LeftOut(source, str(row)))
            continue
        read = _read_row(row, source, path)
        known = known or read is not None
        found += [LeftOut(source, why_unknown(row))] if read is None else read
    return found if known else None


def is_data_row(document: object) -> bool:
    """Whether a document is a row of a data set: it holds a task and its reference patch, not an attempt."""
    return isinstance(document, Mapping) and ("base_commit" in document or "resolved_issues" in document)


def why_unknown(row: object) -> str:
    """Why a row was not recognised, for messages."""
    if isinstance(row, ValueError):
        return str(row)
    if is_data_row(row):
        return "a row of a data set, not an attempt"
    if isinstance(row, Mapping) and "instance_id" in row:
        return "it has an instance_id but no model_patch or equivalent"
    return "unknown format (no instance_id and model_patch)"


def _is_by_instance(document: Row) -> bool:
    """Whether this is the `preds.json` of SWE-agent or mini-swe-agent: predictions by instance."""
    rows = [row for row in document.values() if isinstance(row, Mapping)]
    return len(rows) == len(document) and any("model_patch" in row for row in rows)


def _read_row(document: object, source: str, path: Path) -> list[Found] | None:
    if isinstance(document, list):
        return [_trajectory(document, source, path)] if reader_of(document) is not None else None
    if not isinstance(document, Mapping):
        return None
    if isinstance(document.get("samples"), list) and "eval" in document:
        return list(_inspect(document, source, path))
    if reader_of(document) is not None:
        return [_trajectory(document, source, path)]
    read = next((read for fits, read in _SHAPES if fits(document)), None)
    if read is None or (read in (_multi, _pro) and is_data_row(document)):
        return None
    try:
        return list(read(without_surrogates(document), source, path))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        why = f"missing {error}" if isinstance(error, KeyError) else str(error)
        return [LeftOut(source, f"a field does not match the format ({why})", str(document.get("instance_id") or ""))]


def _trajectory(document: object, source: str, path: Path) -> Found:
    try:
        trajectory = parse_document(document, source)
    except TrajectoryFormatError as error:
        return LeftOut(source, str(error).removeprefix(f"{source}: "))
    model = document.get(MODEL) if isinstance(document, Mapping) else None
    if model:
        trajectory = trajectory.model_copy(update={"model": str(model)})
    submitted = encoded(trajectory.extra.get("submission"))
    said = next((step.content for step in trajectory.steps if step.source == "user"), "")
    return ImportedAttempt(
        source=source,
        file=path,
        instance="" if trajectory.task_id == NO_TASK else trajectory.task_id,
        trajectory=trajectory,
        patch=submitted if is_diff(submitted) else b"",
        statement=str(trajectory.extra.get("statement") or said),
        model=trajectory.model,
    )


def _inspect(log: Row, source: str, path: Path) -> Iterator[Found]:
    model = str((log.get("eval") or {}).get("model") or "")
    for sample in log["samples"]:
        place = f"{source}:{sample.get('id')}_epoch_{sample.get('epoch')}" if isinstance(sample, Mapping) else source
        if isinstance(sample, Mapping) and reader_of(sample) is not None:
            yield _trajectory({**sample, MODEL: model}, place, path)
        else:
            yield LeftOut(place, "not a sample")


def _patch_text(value: object) -> bytes:
    if value is not None and not isinstance(value, str):
        raise ValueError("the patch is not text")
    return encoded(value)


def _instance(row: Row) -> str:
    name = row["instance_id"]
    if not isinstance(name, str | int) or not str(name).strip():
        raise ValueError("instance_id is not a valid name")
    return str(name)


def _swe_bench(row: Row, source: str, path: Path) -> Iterator[Found]:
    model = str(row.get("model_name_or_path") or "")
    yield ImportedAttempt(
        source=source, file=path, instance=_instance(row), patch=_patch_text(row["model_patch"]), model=model
    )


def _openhands(row: Row, source: str, path: Path) -> Iterator[Found]:
    """A row of `output.jsonl`: from an evaluation, or from the resolver, which names an issue, not an instance."""
    issue = row.get("issue")
    if isinstance(issue, Mapping):
        instance = f"{issue.get('owner')}__{issue.get('repo')}-{issue.get('number')}"
        statement = f"{issue.get('title') or ''}\n\n{issue.get('body') or ''}".strip()
        patch = row.get("git_patch")
    else:
        instance = _instance(row)
        statement = str((row.get("instance") or {}).get("problem_statement") or "")
        patch = (row.get("test_result") or {}).get("git_patch")
    llm = (row.get("metadata") or {}).get("llm_config") or (row.get("metadata") or {}).get("llm") or {}
    attempt = ImportedAttempt(
        source=source,
        file=path,
        instance=instance,
        patch=_patch_text(patch),
        statement=statement,
        model=str(llm.get("model") or ""),
    )
    yield _with_history(attempt, row.get("history"))


def _with_history(attempt: ImportedAttempt, history: object) -> ImportedAttempt:
    if not isinstance(history, list) or reader_of(history) is None:
        return attempt
    try:
        trajectory = parse_document(history, attempt.source)
    except TrajectoryFormatError:
        return attempt  # the patch is available nevertheless, and that is what counts
    trajectory = trajectory.model_copy(update={"task_id": attempt.instance, "model": attempt.model})
    said = next((step.content for step in trajectory.steps if step.source == "user"), "")
    return ImportedAttempt(
        source=attempt.source,
        file=attempt.file,
        instance=attempt.instance,
        trajectory=trajectory,
        patch=attempt.patch,
        statement=attempt.statement or said,
        model=attempt.model,
    )


def _trae(row: Row, source: str, path: Path) -> Iterator[Found]:
    """Candidates of Trae's selector: many patches for one instance."""
    issue = row.get("issue")
    for place, patch in enumerate(row["patches"], start=1):
        yield ImportedAttempt(
            source=f"{source}:{place}",
            file=path,
            instance=_instance(row),
            patch=_patch_text(patch),
            statement=issue if isinstance(issue, str) else "",
        )


def _multi(row: Row, source: str, path: Path) -> Iterator[Found]:
    instance = str(row.get("instance_id") or f"{row['org']}__{row['repo']}-{row['number']}")
    yield ImportedAttempt(source=source, file=path, instance=instance, patch=_patch_text(row["fix_patch"]))


def _pro(row: Row, source: str, path: Path) -> Iterator[Found]:
    model = str(row.get("prefix") or "")
    yield ImportedAttempt(
        source=source, file=path, instance=_instance(row), patch=_patch_text(row["patch"]), model=model
    )


_SHAPES: Sequence[tuple[Callable[[Row], bool], Callable[[Row, str, Path], Iterator[Found]]]] = (
    (lambda row: {"instance_id", "model_patch"} <= set(row), _swe_bench),
    (lambda row: "instance_id" in row and isinstance(row.get("test_result"), Mapping), _openhands),
    (lambda row: isinstance(row.get("issue"), Mapping) and "git_patch" in row, _openhands),
    (lambda row: "instance_id" in row and isinstance(row.get("patches"), list), _trae),
    (lambda row: {"org", "repo", "number", "fix_patch"} <= set(row), _multi),
    (lambda row: {"instance_id", "patch"} <= set(row), _pro),
)
