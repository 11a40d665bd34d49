"""Rows of SWE-bench data sets: read from files, directories, task repositories and the Hub, and told apart.

A row is what the data set says of one instance. `Instance` is the whole of it, the answer included; what an agent may
see is put into a `Task` by `env.py`, and nothing else leaves this package.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from core.diff import DiffSyntaxError
from core.diff_repair import read_diff
from envs.errors import TaskError
from envs.swebench.tables import read_arrow, read_hub, read_parquet

ALIASES = {
    "full": "SWE-bench/SWE-bench",
    "verified": "SWE-bench/SWE-bench_Verified",
    "lite": "SWE-bench/SWE-bench_Lite",
    "multimodal": "SWE-bench/SWE-bench_Multimodal",
    "multilingual": "SWE-bench/SWE-bench_Multilingual",
    "smith": "SWE-bench/SWE-smith",
    "rebench": "nebius/SWE-rebench",
}
IMAGE_TEMPLATE = "swebench/sweb.eval.{arch}.{instance_id}:latest"
"""The published images. With a namespace in front, `__` of an id is written `_1776_`, as registries want it."""

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
    """One row, read. Everything but `problem_statement` and `hints` is hidden from agents and from selection.

    Attributes:
        fail_to_pass: ids of tests that fail on the base and must pass; `pass_to_pass` must go on passing.
        eval_script: of a 5.x row; `test_command` of a row that names one instead. One of them is needed to grade here.
        log_parser: name of the parser of the tests' output, without `parse_log_`.
        assets: binary test files that the test patch cannot carry, by path in the tree.
        row: as it came, for the official grader.
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
    eval_type: str = "pass_and_fail"
    assets: Mapping[str, Path] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)


def read_rows(source: str, split: str = "test") -> list[dict[str, Any]]:
    """Read the rows of a data set, in its order.

    Args:
        source: a `.json`, `.jsonl` or `.parquet` file; a directory with such files, with a saved data set or with a
            task repository (`tasks/<id>/task.yaml`); `full`, `verified`, `lite` ..., or a name on the Hub.
        split: of a source that has several.

    Raises:
        TaskError: nothing there, not readable, a row without what every row needs, an id twice.
    """
    path = Path(source).expanduser()
    try:
        if path.is_file():
            rows = _read_file(path)
        elif path.is_dir():
            rows = _read_directory(path, split)
        elif source in ALIASES or (source.count("/") == 1 and not source.startswith((".", "/", "~"))):
            rows = read_hub(ALIASES.get(source, source), split)
        else:
            known = ", ".join(ALIASES)
            raise TaskError(f"no data set {source}: a file, a directory, a name on the Hub, or one of {known}")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TaskError(f"cannot read the data set {source}: {' '.join(str(error).split())[:300]}") from None
    return _checked(source, rows)


def _checked(source: str, rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not rows:
        raise TaskError(f"the data set {source} has no rows")
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise TaskError(f"{source}: row {number} is no object")
        missing = [name for name in _REQUIRED if not isinstance(row.get(name), str) or not row[name]]
        if missing:
            raise TaskError(f"{source}: row {row.get('instance_id', number)} has no {', '.join(missing)}")
        if row["instance_id"] in seen:
            raise TaskError(f"{source}: {row['instance_id']} is there twice")
        seen.add(row["instance_id"])
    return rows


def _read_file(path: Path) -> Any:
    if path.suffix == ".parquet":
        return read_parquet([path])
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        # Only LF ends a line: other separators may stand in a statement.
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    if path.suffix != ".json":
        raise TaskError(f"{path}: expected .json, .jsonl or .parquet")
    data = json.loads(text)
    return list(data.values()) if isinstance(data, dict) else data


def _read_directory(path: Path, split: str) -> Any:
    if any(path.glob("tasks/*/task.yaml")):
        return _read_task_repository(path, split)
    for pattern in (f"{split}.parquet", f"{split}-*.parquet", f"data/{split}-*.parquet", f"*/{split}-*.parquet"):
        if found := sorted(path.glob(pattern)):
            return read_parquet(found)
    for folder in (path / split, path):
        if (folder / "dataset_info.json").is_file():
            return read_arrow(sorted(folder.glob("*.arrow")))
    named = [path / f"{split}{suffix}" for suffix in (".jsonl", ".json") if (path / f"{split}{suffix}").is_file()]
    single = [one for suffix in ("*.jsonl", "*.json", "*.parquet") for one in sorted(path.glob(suffix))]
    if named or len(single) == 1:
        return _read_file((named or single)[0])
    raise TaskError(f"{path} holds no data set: no tasks/*/task.yaml, no {split}.parquet, .jsonl or .json")


def _read_task_repository(path: Path, split: str) -> list[dict[str, Any]]:
    """SWE-bench 5.x: one directory an instance. Tasks of other splits are left out."""
    rows = []
    for folder in sorted(one.parent for one in path.glob("tasks/*/task.yaml")):
        row: Any = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
        if not isinstance(row, dict):
            raise TaskError(f"{folder}/task.yaml: expected keys and values")
        for name, file in _TASK_FILES.items():
            if (folder / file).is_file():
                row[name] = (folder / file).read_bytes().decode("utf-8")  # line ends stay as they are
        tests = folder / "tests.json"
        row |= json.loads(tests.read_text(encoding="utf-8")) if tests.is_file() else {}
        row.setdefault("instance_id", folder.name)
        row["_assets"] = {
            one.relative_to(folder / "test_assets").as_posix(): str(one)
            for one in sorted((folder / "test_assets").rglob("*"))
            if one.is_file()
        }
        rows.append(row)
    wanted = [row for row in rows if row.get("split", split) == split]
    if rows and not wanted:
        there = ", ".join(sorted({str(row["split"]) for row in rows}))
        raise TaskError(f"{path} has no task in split {split}; it has {there}")
    return wanted


def make_instance(row: Mapping[str, Any]) -> Instance:
    """Read a checked row.

    Raises:
        TaskError: a field of another kind than its name says.
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
        eval_type=text("eval_type") or "pass_and_fail",
        assets={path: Path(file) for path, file in row.get("_assets", {}).items()},
        row={name: value for name, value in row.items() if name != "_assets"},
    )


def _readable(diff: str) -> str:
    """A row's diff as `git apply` takes it. One that cannot be read stays as it is: its use says so."""
    try:
        return read_diff(diff.encode("utf-8", "surrogatepass")).data.decode("utf-8", "surrogatepass")
    except DiffSyntaxError:
        return diff


def _strings(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of strings, which the Hub keeps as JSON text."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except ValueError:
            value = None
    elif value is None:
        value = []
    if value is None or isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
        raise TaskError(f"{row['instance_id']}: {name} is no list of names")
    return tuple(value)


def image_name(row: Mapping[str, Any], template: str | None = None) -> str:
    """The image of a row: by the template where one is given, else by the row itself, else the published one.

    Args:
        template: `{instance_id}`, `{repo}`, `{version}` and `{arch}` are filled in; a plain name is the same for all.

    Raises:
        TaskError: the template has another placeholder.
    """
    if template is None:
        named = next((row[key] for key in ("image", "image_name", "docker_image") if row.get(key)), None)
        if named is not None:
            return str(named)
    template = template or IMAGE_TEMPLATE
    instance = str(row["instance_id"])
    filled = {
        "instance_id": (instance.replace("__", "_1776_") if "/" in template else instance).lower(),
        "repo": str(row["repo"]).replace("/", "__").lower(),
        "version": str(row.get("version") or ""),
        "arch": {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    }
    try:
        return template.format_map(filled)
    except (LookupError, ValueError):
        raise TaskError(
            f"--image-template {template}: expected {{instance_id}}, {{repo}}, {{version}} or {{arch}}"
        ) from None
