"""Read rows of SWE-bench data sets from files, directories, task repositories and the Hub, and check them.

A row is the data set's record of one instance. `Instance` holds all of it, answer included; `env.py` puts what an agent
may see into a `Task`, and nothing else leaves this package.
"""

import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from core.diff import DiffSyntaxError
from core.diff_repair import read_diff
from core.textfile import decode, json_lines, read_text
from envs.errors import TaskError
from envs.swebench.datasets import ALIASES, known
from envs.swebench.foreign import Program, program_of
from envs.swebench.shapes import classic, strings
from envs.swebench.tables import fetch_hub, read_arrow, read_parquet

IMAGE_TEMPLATE = "swebench/sweb.eval.{arch}.{instance_id}:latest"
"""The published images. After a namespace, `__` in ids is written `_1776_`, as registries require."""

IMAGE_KEYS = ("image", "image_name", "docker_image")
_REQUIRED = ("instance_id", "repo", "base_commit", "problem_statement")
_TASK_FILES = {
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "eval_script": "eval.sh",
    "problem_statement": "problem_statement.md",
    "hints_text": "hints.md",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One parsed row. Everything but `problem_statement` and `hints` is hidden from agents and from selection.

    Attributes:
        fail_to_pass: ids of tests that fail on the base and must pass; those in `pass_to_pass` must keep passing.
        eval_script: evaluation script of a 5.x row.
        test_command: test command of a row that names one instead; grading here needs one or the other.
        log_parser: name of the output parser, without `parse_log_`.
        with_files: the test files must be appended to the test command.
        workdir: directory of the tree in the image, if the data set names one.
        build: commands that run before the test command, with the test files in place.
        program: the data set's own way to run tests or to read their output.
        harness: why only the data set's own harness can grade the row; empty if it can be graded here.
        hidden: paths in the image that tell the answer; no agent's sandbox keeps them.
        assets: binary test files that the test patch cannot carry, by path in the tree.
        row: the raw row, for the official grader.
    """

    id: str
    repo: str
    version: str
    base_commit: str
    problem_statement: str
    hints: str = ""
    patch: str = ""
    test_patch: str = ""
    fail_to_pass: tuple[str, ...] = ()
    pass_to_pass: tuple[str, ...] = ()
    eval_script: str = ""
    test_command: str = ""
    test_files: tuple[str, ...] = ()
    log_parser: str = ""
    with_files: bool = False
    workdir: str = ""
    build: tuple[str, ...] = ()
    program: Program | None = None
    harness: str = ""
    hidden: tuple[str, ...] = ()
    eval_type: str = "pass_and_fail"
    assets: Mapping[str, Path] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rows:
    """The contents of a data set, in order.

    Attributes:
        rows: usable rows, with SWE-bench's field names.
        left_out: why each of the other rows cannot be used, by id, or by position if it has none.
        order: ids or positions of all rows.
        revision: commit of the data set on the Hub; empty for files.
    """

    rows: tuple[dict[str, Any], ...]
    left_out: Mapping[str, str]
    order: tuple[str, ...]
    revision: str = ""


def read_rows(source: str, split: str | None = None, revision: str | None = None) -> Rows:
    """Read the rows of a data set. Unusable rows are left out, with the reason.

    Args:
        source: a `.json`, `.jsonl`, `.csv` or `.parquet` file; a directory with such files, with a saved data set or
            with a task repository (`tasks/<id>/task.yaml`); `full`, `verified`, `lite` ..., or a name on the Hub.
        split: split to read, if the source has several; by default the data set's usual one, else `test`.
        revision: commit, branch or tag of a data set on the Hub; by default its newest.

    Raises:
        TaskError: nothing found, unreadable, no usable row, or a revision of something that is not on the Hub.
    """
    path, found, commit = Path(source).expanduser(), None, ""
    if revision and path.exists():
        raise TaskError(f"the option revision is for data sets on the Hub; {source} is a file or directory here")
    try:
        if path.is_file():
            found = _read_file(path)
        elif path.is_dir():
            found = _read_directory(path, split or "test")
        elif source in ALIASES or (source.count("/") == 1 and not source.startswith((".", "/", "~"))):
            files, commit = fetch_hub(ALIASES.get(source, source), split or known(source).split, revision)
            found = [row for file in files for row in _listed(_read_file(file), file.name)]
        else:
            names = ", ".join(ALIASES)
            raise TaskError(
                f"unknown data set {source}: give a file, a directory, a name on the Hub, or one of {names}"
            )
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TaskError(f"cannot read the data set {source}: {' '.join(str(error).split())[:300]}") from None
    return replace(_checked(source, found), revision=commit)


def _listed(rows: Any, name: str) -> Sequence[Any]:
    if not isinstance(rows, list):
        raise ValueError(f"{name} holds no list of rows")
    return rows


def _checked(source: str, rows: Any) -> Rows:
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise TaskError(f"the data set {source} has no rows")
    usable: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    order: list[str] = []
    for number, row in enumerate(rows, start=1):
        found = classic(row) if isinstance(row, Mapping) else {}
        name, why = _problem(row, found, f"row {number}")
        if name in usable or name in left_out:
            name, why = f"{name} (row {number})", "duplicate id; the first row counts"
        order.append(name)
        if why:
            left_out[name] = why
        else:
            usable[name] = found
    if not usable:
        first, why = next(iter(left_out.items()))
        more = f" (and {len(left_out) - 1} more rows that cannot be used)" if len(left_out) > 1 else ""
        raise TaskError(f"{source}: no row can be used: {first}: {why}{more}")
    return Rows(tuple(usable.values()), left_out, tuple(order))


def _problem(row: Any, found: Mapping[str, Any], place: str) -> tuple[str, str]:
    """The name of a row, and why it cannot be used (empty if it can)."""
    if isinstance(row, ValueError):
        return place, str(row)
    if not isinstance(row, Mapping):
        return place, "not an object with fields"
    name = found.get("instance_id")
    missing = [key for key in _REQUIRED if not isinstance(found.get(key), str) or not found[key]]
    if missing:
        return str(name) if isinstance(name, str) and name else place, f"it has no {', '.join(missing)}"
    if why := found.get("_unusable"):
        return str(name), str(why)
    try:
        make_instance(found)
    except TaskError as error:
        return str(name), str(error).removeprefix(f"{name}: ")
    return str(name), ""


def _read_file(path: Path) -> Any:
    if path.suffix == ".parquet":
        return read_parquet([path])
    if path.suffix == ".jsonl":
        return [value for _, value in json_lines(path.read_bytes())]
    if path.suffix == ".csv":
        return list(_csv_rows(read_text(path)))
    if path.suffix != ".json":
        raise TaskError(f"{path}: expected .json, .jsonl, .csv or .parquet")
    data = json.loads(read_text(path))
    return list(data.values()) if isinstance(data, dict) else data


def _csv_rows(text: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(1 << 30)  # patches exceed the library's default limit for a field
    for row in csv.DictReader(io.StringIO(text, newline="")):
        yield {name: value for name, value in row.items() if name}


def _read_directory(path: Path, split: str) -> Any:
    if any(path.glob("tasks/*/task.yaml")):
        return _read_task_repository(path, split)
    for pattern in (f"{split}.parquet", f"{split}-*.parquet", f"data/{split}-*.parquet", f"*/{split}-*.parquet"):
        if found := sorted(path.glob(pattern)):
            return read_parquet(found)
    for folder in (path / split, path):
        if (folder / "dataset_info.json").is_file():
            return read_arrow(sorted(folder.glob("*.arrow")))
    suffixes = (".jsonl", ".json", ".csv")
    named = [path / f"{split}{suffix}" for suffix in suffixes if (path / f"{split}{suffix}").is_file()]
    single = [one for suffix in (*suffixes, ".parquet") for one in sorted(path.glob(f"*{suffix}"))]
    if named or len(single) == 1:
        return _read_file((named or single)[0])
    raise TaskError(f"{path} is not a data set: no tasks/*/task.yaml, no {split}.parquet, .jsonl or .json")


def _read_task_repository(path: Path, split: str) -> list[Any]:
    """SWE-bench 5.x: one directory per instance. Tasks of other splits are skipped; bad ones become a `ValueError`."""
    rows: list[Any] = []
    splits: set[str] = set()
    for folder in sorted(one.parent for one in path.glob("tasks/*/task.yaml")):
        try:
            row = _read_task_folder(folder)
        except (OSError, ValueError, yaml.YAMLError) as error:
            rows.append(ValueError(f"{folder.name}: {' '.join(str(error).split())[:300]}"))
            continue
        splits.add(str(row.get("split", split)))
        if row.get("split", split) == split:
            rows.append(row)
    if not rows:
        raise TaskError(f"{path} has no task in split {split}; it has {', '.join(sorted(splits))}")
    return rows


def _read_task_folder(folder: Path) -> dict[str, Any]:
    row: Any = yaml.safe_load(read_text(folder / "task.yaml"))
    if not isinstance(row, dict):
        raise ValueError("task.yaml: expected keys and values")
    for name, file in _TASK_FILES.items():
        if (folder / file).is_file():
            row[name] = decode((folder / file).read_bytes())  # keep line endings
    tests = folder / "tests.json"
    row |= json.loads(read_text(tests)) if tests.is_file() else {}
    row.setdefault("instance_id", folder.name)
    row["_assets"] = {
        one.relative_to(folder / "test_assets").as_posix(): str(one)
        for one in sorted((folder / "test_assets").rglob("*"))
        if one.is_file()
    }
    return row


def make_instance(row: Mapping[str, Any]) -> Instance:
    """Convert a checked row.

    Raises:
        TaskError: a field has the wrong type.
    """

    def text(name: str) -> str:
        value = row.get(name)
        return "" if value is None else str(value)

    return Instance(
        id=row["instance_id"],
        repo=row["repo"],
        version=text("version"),
        base_commit=row["base_commit"],
        problem_statement=row["problem_statement"],
        hints=text("hints_text"),
        patch=text("patch"),
        test_patch=_readable(text("test_patch")),
        fail_to_pass=_strings(row, "FAIL_TO_PASS"),
        pass_to_pass=_strings(row, "PASS_TO_PASS"),
        eval_script=text("eval_script"),
        test_command=text("test_cmd"),
        test_files=_strings(row, "test_files"),
        log_parser=text("log_parser").removeprefix("parse_log_"),
        with_files=bool(row.get("_with_files")),
        workdir=text("_workdir"),
        build=tuple(row.get("_build", ())),
        program=program_of(text("log_parser")),
        harness=text("_harness"),
        hidden=tuple(row.get("_hidden", ())),
        eval_type=text("eval_type") or "pass_and_fail",
        assets={path: Path(file) for path, file in row.get("_assets", {}).items()},
        row={name: value for name, value in row.items() if not name.startswith("_")},
    )


def _readable(diff: str) -> str:
    """A row's diff in a form that `git apply` accepts. An unreadable diff stays as it is and fails when it is used."""
    try:
        return read_diff(diff.encode("utf-8", "surrogatepass")).data.decode("utf-8", "surrogatepass")
    except DiffSyntaxError:
        return diff


def _strings(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = strings(row.get(name))
    if found is None:
        raise TaskError(f"{row['instance_id']}: {name} is not a list of names")
    return found


def image_name(row: Mapping[str, Any], template: str | None = None) -> str:
    """The image of a row: from the template if given, else from the row itself, else the published image.

    Args:
        row: the raw row.
        template: `{instance_id}`, `{instance_id_s}` (with `_s_` for `__`, as SWE-Gym names images), `{repo}`,
            `{version}` and `{arch}` are filled in; a template without placeholders names one image for all rows.

    Raises:
        TaskError: the template has an unknown placeholder.
    """
    if template is None:
        named = next((row[key] for key in IMAGE_KEYS if row.get(key)), None)
        if named is not None:
            return str(named)
    template = template or IMAGE_TEMPLATE
    instance = str(row["instance_id"])
    filled = {
        "instance_id": (instance.replace("__", "_1776_") if "/" in template else instance).lower(),
        "instance_id_s": instance.replace("__", "_s_").lower(),
        "repo": str(row["repo"]).replace("/", "__").lower(),
        "version": str(row.get("version") or ""),
        "arch": {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    }
    try:
        return template.format_map(filled)
    except (LookupError, ValueError):
        raise TaskError(
            f"--image-template {template}: expected {{instance_id}}, {{instance_id_s}}, {{repo}}, {{version}} or "
            "{{arch}}"
        ) from None
