"""From the command line to an env and the selected tasks."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from envs import open_env
from envs.base import ChecksTasks, Env, Task
from heats.errors import UsageError

_FILES = (".json", ".jsonl", ".csv", ".parquet", ".arrow")
SHOWN_REASONS = 3
_SHUFFLE = 42
"""A fixed order, independent of `--seed`, so that `--slice` selects the same tasks for every seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An env by name, in a form that any machine can open.

    Attributes:
        name: as given by the user, for directory names and messages.
        env: name of the env; `options` are its keyword arguments.
    """

    name: str
    env: str
    options: Mapping[str, Any]

    def open(self) -> Env:
        """Open the env. Blocks: it may read files or the Hub.

        Raises:
            TaskError: no such data set, or invalid options.
        """
        return open_env(self.env, self.options)

    def at(self, revision: str) -> "Dataset":
        """The same data set on the Hub at a revision, unless there is none or one was given."""
        if not revision or self.env != "swebench" or self.options.get("revision"):
            return self
        return replace(self, options={**self.options, "revision": revision})


def find_dataset(name: str, options: Mapping[str, Any], *, image: str | None = None) -> Dataset:
    """Resolve a data set's name: `demo`, Harbor tasks, SWE-bench rows, or `module:Class`.

    With the option `registry`, it is a name in that registry of Harbor tasks.

    Args:
        name: as given by the user.
        options: options of the env; they override those implied by the name.
        image: sandbox image for envs whose tasks name none.

    Raises:
        UsageError: there is no such file or directory.
    """
    path = Path(name).expanduser()
    if "registry" in options:
        registry = str(Path(str(options["registry"])).expanduser().resolve())
        return Dataset(name=name, env="harbor", options={"dataset": name, **options, "registry": registry})
    if name == "demo":
        return Dataset(name=name, env="demo", options={"image": image or "", **options})
    if path.exists():
        env, key = ("harbor", "path") if path.is_dir() and _holds_harbor_tasks(path) else ("swebench", "source")
        return Dataset(name=path.resolve().stem, env=env, options={key: str(path.resolve()), **options})
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return Dataset(name=name, env=name, options=dict(options))
    if path.suffix in _FILES or name.startswith((".", "/", "~")):
        raise UsageError(f"{name}: no such file or directory")
    if re.fullmatch(r"[\w.-]+@[\w.-]+", name):
        raise UsageError(f"{name}: a name in a Harbor registry needs the file that lists it: -O registry=registry.json")
    if re.fullmatch(r"[\w.-]+/[\w.-]+@[\w.:-]+", name):
        raise UsageError(
            f"{name}: heats cannot fetch packages of Harbor's hub: download it with `harbor datasets download` and "
            "name the directory"
        )
    return Dataset(name=name, env="swebench", options={"source": name, **options})


def _holds_harbor_tasks(path: Path) -> bool:
    return any(next(path.glob(pattern), None) for pattern in ("task.toml", "*/task.toml", "*/*/task.toml"))


def read_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `key=value` options, with values as YAML.

    Raises:
        UsageError: invalid format.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--option {pair}: expected key=value")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--option {pair}: the value is not valid YAML") from None
    return options


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """A selection of tasks: shuffled, then filtered, then sliced.

    Attributes:
        only: ids of the tasks.
        pattern: regular expression that must match at the start of an id.
        part: Python slice `a:b` or `a:b:c`.
        shuffle: use a random order that is the same every time.
    """

    only: Sequence[str] = ()
    pattern: str | None = None
    part: str | None = None
    shuffle: bool = False

    def of(self, tasks: Sequence[Task]) -> list[Task]:
        """The selected tasks.

        Raises:
            UsageError: an invalid pattern or slice, an unknown id, or an empty selection.
        """
        by_id = {task.id: task for task in tasks}
        return [by_id[name] for name in self.among(list(by_id))]

    def among(self, names: Sequence[str]) -> list[str]:
        """The selected ids.

        Raises:
            UsageError: see `of`.
        """
        chosen = list(names)
        unknown = sorted(set(self.only) - set(chosen))
        if unknown:
            raise UsageError(f"--task: the data set has no task {', '.join(unknown[:5])}")
        if self.shuffle:
            chosen.sort()
            random.Random(_SHUFFLE).shuffle(chosen)
        if self.only:
            chosen = [name for name in chosen if name in self.only]
        if self.pattern is not None:
            pattern = _pattern(self.pattern)
            chosen = [name for name in chosen if pattern.match(name)]
        if self.part is not None:
            chosen = chosen[_slice(self.part)]
        if not chosen:
            raise UsageError(
                f"none of the {len(names)} tasks of the data set is left: check --filter, --slice and --task"
            )
        return chosen


@dataclass(frozen=True, slots=True)
class ChosenTasks:
    """The tasks to use, and the selected tasks that cannot be used, with reasons.

    Attributes:
        every: ids of everything in the data set.
    """

    tasks: tuple[Task, ...]
    left_out: Mapping[str, str]
    every: tuple[str, ...]


async def choose(env: Env, choice: TaskFilter, *, grading: bool) -> ChosenTasks:
    """Select tasks, and check everything about them that their files can tell.

    Args:
        env: source of the tasks.
        choice: the selection.
        grading: leave out tasks that could not be graded.

    Raises:
        UsageError: see `TaskFilter.of`; also if none of the selected tasks can be used.
        TaskError: something that every task needs is missing.
    """
    tasks = {task.id: task for task in env.tasks()}
    order, unusable = list(tasks), dict[str, str]()
    if isinstance(env, ChecksTasks):
        order, unusable = list(env.listing()), dict(await env.unusable(grading=grading))
    names = choice.among(order)
    left_out = {name: unusable[name] for name in names if name in unusable}
    chosen = tuple(tasks[name] for name in names if name not in unusable)
    if not chosen:
        playable = isinstance(env, ChecksTasks) and grading and not set(names) <= {*await env.unusable(grading=False)}
        hint = " (-c grade=false runs without grading)" if playable else ""
        raise UsageError(f"no chosen task can be used: {reasons(left_out)}{hint}")
    return ChosenTasks(chosen, left_out, tuple(order))


def reasons(left_out: Mapping[str, str]) -> str:
    """The first few tasks left out, with reasons, on one line."""
    told = [f"{name}: {why}" for name, why in list(left_out.items())[:SHOWN_REASONS]]
    more = [f"and {len(left_out) - SHOWN_REASONS} more"] if len(left_out) > SHOWN_REASONS else []
    return "; ".join([*told, *more])


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--filter {text}: not a regular expression ({error})") from None


def _slice(text: str) -> slice:
    parts = text.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 3 or (len(numbers) == 3 and numbers[2] == 0):
        raise UsageError(f"--slice {text}: expected a:b, such as 0:50")
    return slice(*numbers)
