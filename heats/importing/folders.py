"""Group the files of a folder into attempts, following the layouts of the tools that write them.

Files with the same stem in one folder belong to one attempt: `x.traj`, `x.pred`, `x.patch`. In a Harbor trial the
attempt is `agent/trajectory.json`, and `result.json` names its task. A summary file such as `preds.json` repeats what
lies below it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from heats.importing.attempts import PATCHES, Found, ImportedAttempt, LeftOut, is_diff, stem_of, without_mark
from heats.importing.documents import SUFFIXES, documents
from heats.importing.rows import read_document, read_rows

SUMMARIES = ("preds.json", "predictions.json", "output.swebench.jsonl", "all_preds.jsonl")
"""Files that repeat the contents of files beside and below them; earlier names take precedence."""
_CRITIC = re.compile(r"output\.critic_attempt_\d+\.jsonl")
_OURS = frozenset({"result.json", "config.json", "lock.json", "run.json", "summary.json", "evidence.json", "task.json"})


@dataclass
class _Files:
    """What was read from the files of a folder, before it is grouped.

    Attributes:
        single: attempts read from a file that holds one; `rows` those from files that hold many.
        trials: folders of Harbor trials, with their tasks.
    """

    single: dict[tuple[Path, str], list[ImportedAttempt]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[Path, list[Found]] = field(default_factory=dict)
    patches: list[Path] = field(default_factory=list)
    trials: dict[Path, str] = field(default_factory=dict)
    bad: list[LeftOut] = field(default_factory=list)


def read_files(paths: Sequence[Path]) -> list[Found]:
    """Read the attempts in the files of one folder and the folders below it.

    Raises:
        OSError: a file cannot be read.
        ExtraMissing: a library is not installed.
    """
    files = _Files()
    for path in paths:
        if path.suffix in PATCHES:
            files.patches.append(path)
        elif path.suffix in SUFFIXES:
            _take(files, path)
    found: list[Found] = [*_joined(files)]
    for path in sorted(files.rows, key=_precedence):
        found = _with_rows(found, path, files.rows[path], again=_is_summary(path, files.rows))
    return [*found, *files.bad]


def _take(files: _Files, path: Path) -> None:
    pairs = list(documents(path))
    many = path.suffix in (".jsonl", ".eval")
    first = pairs[0][1] if len(pairs) == 1 else None
    if path.name == "result.json" and isinstance(first, dict) and {"trial_name", "task_name"} <= set(first):
        files.trials[path.parent] = str(first["task_name"]).rpartition("/")[2]
        return
    if path.name in _OURS:
        return
    if not many and isinstance(first, ValueError):
        files.bad.append(LeftOut(str(path), str(first)))
        return
    found = read_rows(pairs, path) if many else read_document(first, str(path), path)
    if found is None and path.suffix == ".eval":
        found = [LeftOut(source, str(row)) for source, row in pairs]
    if found is None:
        return
    if len(found) == 1 and isinstance(found[0], ImportedAttempt) and found[0].source == str(path):
        files.single[path.parent, stem_of(path)].append(found[0])
    else:
        files.rows[path] = found


def _joined(files: _Files) -> Iterable[Found]:
    """One attempt for each group of files with the same stem, in order of folder and stem."""
    groups = {key: list(found) for key, found in files.single.items() if not _is_duplicate_record(files, key)}
    per_folder: dict[Path, int] = defaultdict(int)
    for folder, _ in groups:
        per_folder[folder] += 1
    taken: dict[tuple[Path, str], Path] = {}
    for path in files.patches:
        key = path.parent, stem_of(path)
        only = next((one for one in groups if one[0] == path.parent), None)
        if key not in groups and path.name == "patch.diff" and only and per_folder[path.parent] == 1:
            key = only
        if _trial_of(files, path) is not None and key not in groups:
            continue
        taken.setdefault(key, path)
    for key in sorted({*groups, *taken}):
        yield _one(files, key, groups.get(key, []), taken.get(key))
    with_record = {_trial_of(files, one[0]) for one in groups}
    for trial in sorted(set(files.trials) - with_record):
        yield LeftOut(str(trial), "a Harbor trial without agent/trajectory.json: its agent wrote no ATIF record")


def _one(files: _Files, key: tuple[Path, str], found: Sequence[ImportedAttempt], patch: Path | None) -> Found:
    record = next((one for one in found if one.trajectory is not None), None)
    told = next((one for one in found if one.trajectory is None), None)
    data = without_mark(patch.read_bytes()) if patch is not None else b""
    if data.strip() and not is_diff(data):
        bad, data = LeftOut(str(patch), "not a diff: it has no file header"), b""
        if not found:
            return bad
        files.bad.append(bad)
    base = record or told or ImportedAttempt(source=str(patch), file=patch or Path())
    named = next((one.instance for one in (told, record) if one is not None and one.instance), "")
    whole = next((one.patch for one in (told, record) if one is not None and one.patch), b"")
    model = base.model or (told.model if told else "")
    return replace(base, instance=named or _by_layout(files, key, base), patch=whole or data, model=model)


def _by_layout(files: _Files, key: tuple[Path, str], attempt: ImportedAttempt) -> str:
    """The task's id, where the tool's layout gives it: `<id>/<id>.traj`, or a Harbor trial."""
    folder, stem = key
    trial = _trial_of(files, folder)
    if trial is not None:
        return files.trials[trial]
    return stem if folder.name == stem else ""


def _trial_of(files: _Files, path: Path) -> Path | None:
    return next((one for one in (path, *path.parents) if one in files.trials), None)


def _is_duplicate_record(files: _Files, key: tuple[Path, str]) -> bool:
    """Whether this is another record of a Harbor trial, such as the one that the trial's ATIF was converted from."""
    folder, stem = key
    trial = _trial_of(files, folder)
    return trial is not None and (folder, stem) != (trial / "agent", "trajectory")


def _precedence(path: Path) -> tuple[int, Path]:
    return (SUMMARIES.index(path.name) + 2 if path.name in SUMMARIES else path.name == "output.jsonl", path)


def _is_summary(path: Path, rows: Mapping[Path, object]) -> bool:
    if path.name == "output.jsonl":
        return any(other.parent == path.parent and _CRITIC.fullmatch(other.name) for other in rows)
    return path.name in SUMMARIES


def _with_rows(found: list[Found], path: Path, rows: Sequence[Found], *, again: bool) -> list[Found]:
    """Add the rows of one more file to what was found; of a summary file only the rows found nowhere else.

    An attempt whose own files hold no patch, or name no task, takes these from the summary.
    """
    if not again:
        return [*found, *rows]
    told: dict[int, Found] = {}
    more: list[Found] = []
    for row in rows:
        same = [one for one in found if isinstance(one, ImportedAttempt) and _is_same(one, row, path.parent)]
        if not isinstance(row, ImportedAttempt) or not same:
            more.append(row)
            continue
        lacking = len(same) == 1 and not same[0].patch
        for one in same:
            told[id(one)] = replace(one, instance=row.instance, patch=row.patch if lacking else one.patch)
    return [*(told.get(id(one), one) for one in found), *more]


def _is_same(found: ImportedAttempt, row: Found, folder: Path) -> bool:
    """Whether a row of a summary file in a folder is about this attempt: by its task, else by its file's name."""
    if not isinstance(row, ImportedAttempt) or not found.file.is_relative_to(folder):
        return False
    return row.instance == (found.instance or stem_of(found.file))
