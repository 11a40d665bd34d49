"""`lock.json`: everything that a run's figures depend on, so that somebody else can repeat the run."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from core.record import Record


class LockedData(Record):
    """Where the tasks come from: name and options of an env, as `heats.sweep.dataset.Dataset` has them.

    `revision` is the commit of a data set on the Hub.
    """

    name: str
    env: str
    options: Mapping[str, Any] = {}
    revision: str = ""


class Lock(Record):
    """What a run was made of.

    Attributes:
        data: the data set; None for commands without one.
        config: all settings that affect results, prompts and seed included.
        tasks: digests of what agents are told of each task, by task id.
        contents: digests of each task with its hidden tests, where the env can tell.
        programs: versions of heats, Python and the packages that matter.
        models: what each server says about its model, by name: its version, context length, digest of its chat
            template.
        images: digest or id of each sandbox image, by name.
    """

    lock_version: Literal[1] = 1
    data: LockedData | None = None
    config: Mapping[str, Any]
    tasks: Mapping[str, str]
    contents: Mapping[str, str] = {}
    programs: Mapping[str, str] = {}
    models: Mapping[str, Mapping[str, Any]] = {}
    images: Mapping[str, str] = {}
    sandbox: str = ""

    def extended(self, later: "Lock") -> "Lock":
        """This lock with the tasks, models and images that only a later process of the same run has."""
        names = ("tasks", "contents", "models", "images")
        return self.model_copy(update={name: {**getattr(later, name), **getattr(self, name)} for name in names})


PLACES = {"source", "path", "registry"}
"""Options of a data set that say where it is on this machine."""
_NOT_WORK = PLACES | {"swebench_python", "scripts", "revision", "pull", "force_build"}
"""Options of a data set on which no result depends, or whose effect is in the digests of the tasks."""


def other_work(held: Lock, now: Lock) -> list[str]:
    """Differences in the work itself: the tasks, their hidden tests, the data set's options, the settings. One line
    each."""
    found = [
        f"the setting {name} is {_short(new)}, not {_short(old)}"
        for name, old, new in changes(held.config, now.config)
        if old is not UNKNOWN
    ]
    if held.data is not None and now.data is not None:
        found += [
            f"the data set's option {name} is {_short(new)}, not {_short(old)}"
            for name, old, new in changes(_work_options(held.data), _work_options(now.data))
        ]
    missing = [task for task in now.tasks if task not in held.tasks]
    changed = [task for task in now.tasks if task in held.tasks and held.tasks[task] != now.tasks[task]]
    if missing:
        found.append(f"not among the tasks: {_some(missing)}")
    if changed:
        found.append(f"other statements, commits or images: {_some(changed)}")
    hidden = [
        task
        for task in now.contents
        if task not in changed and held.contents.get(task, now.contents[task]) != now.contents[task]
    ]
    if hidden:
        found.append(f"other hidden tests or files: {_some(hidden)}")
    return found


def _work_options(data: LockedData) -> Mapping[str, Any]:
    return {name: value for name, value in data.options.items() if name not in _NOT_WORK}


def other_conditions(held: Lock, now: Lock) -> list[str]:
    """Differences in the conditions: programs, servers, images, settings that a later version added. One line each."""
    found = [f"{name} is {_short(new)}, not {_short(old)}" for name, old, new in changes(held.programs, now.programs)]
    later = [name for name, old, _ in changes(held.config, now.config) if old is UNKNOWN]
    old, new = (one.data.revision if one.data is not None else "" for one in (held, now))
    if old and new and old != new:
        found.append(f"the data set is at revision {new[:12]}, not {old[:12]}")
    if later:
        found.append(f"settings that it does not know have their defaults: {_some(later)}")
    for model, facts in now.models.items():
        if model in held.models:
            differing = changes(held.models[model], facts)
            found += [f"{model}: {name} is {_short(new)}, not {_short(old)}" for name, old, new in differing]
    images = [name for name in now.images if held.images.get(name, now.images[name]) != now.images[name]]
    if images:
        found.append(f"other images under the same names: {_some(images)}")
    if held.sandbox and now.sandbox != held.sandbox:
        found.append(f"the sandbox is {now.sandbox}, not {held.sandbox}")
    return found


UNKNOWN: Any = object()
"""The old value of something that only the new mapping has."""


def changes(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name and both values of everything in which two nested mappings differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(old.keys() | new.keys()):
            yield from changes(old.get(name, UNKNOWN), new.get(name), f"{prefix}{name}.")
    elif old != new and not (old in (UNKNOWN, None, {}) and new in (None, {})):
        yield prefix.rstrip("."), old, new


def _short(value: Any) -> str:
    text = " ".join(str("unset" if value is None or value is UNKNOWN else value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
