"""Write down what a run is made of, and compare it with the lock of a run that is to be repeated."""

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from envs.base import DigestsTasks, Env, HasRevision, Task
from heats.errors import UsageError
from heats.runner.services import Services
from heats.store.files import read_record, write_record
from heats.store.lock import Lock, LockedData, other_conditions, other_work
from sandbox.docker import DockerBackend
from sandbox.engine import NoSuchObject
from sandbox.images import Images

_PACKAGES = ("heats", "docker", "langgraph", "aiohttp")


async def lock_run(path: Path, work: Lock, services: Services, held: Lock | None = None) -> None:
    """Write a run's `lock.json`, or extend it, and warn about what differs from the lock that the run repeats, and from
    earlier starts.

    Args:
        path: the file.
        work: the run's data set, settings and tasks; see `lock_of`.
        services: the run's services, once models answer and images are there.
        held: the lock of the run that this one repeats.
    """
    facts = services.facts.items()
    now = work.model_copy(
        update={
            "models": {name: {key: value for key, value in known.items() if key != "model"} for name, known in facts},
            "images": await _images(services, work.tasks),
            "sandbox": services.backend.name,
        }
    )
    before = read_record(path, Lock)
    for line in _differences(held, before, now):
        services.events.emit("warning", text=line)
    write_record(path, before.extended(now) if before is not None else now)


async def lock_image(path: Path, image: str, services: Services) -> None:
    """Add the digest of an image that was fetched during the run to its `lock.json`.

    Args:
        path: the file.
        image: name of the image.
        services: the run's services.
    """
    before = read_record(path, Lock)
    if before is None or image in before.images or not isinstance(services.backend, DockerBackend):
        return
    digest = await Images.of(services.backend).digest(image)
    latest = read_record(path, Lock) or before  # another task may have added its own in the meantime
    write_record(path, latest.model_copy(update={"images": {**latest.images, image: digest}}))


def _differences(held: Lock | None, before: Lock | None, now: Lock) -> Iterator[str]:
    if held is not None:
        yield from (f"differs from the lock: {one}" for one in other_conditions(held, now))
    if before is not None:
        so_far = before.extended(now)
        changed = [*other_work(so_far, now), *other_conditions(so_far, now)]
        yield from (f"changed since this run began: {one}" for one in changed)


def lock_of(data: LockedData, config: Mapping[str, Any], env: Env, tasks: Sequence[Task]) -> Lock:
    """What is known of a run before it starts.

    Args:
        data: the data set.
        config: the run's settings, as `HeatsConfig.identity` has them.
        env: source of the tasks.
        tasks: the chosen tasks.
    """
    revision = env.revision if isinstance(env, HasRevision) else ""
    return Lock(
        data=data.model_copy(update={"revision": revision}),
        config=config,
        tasks={task.id: task_digest(task) for task in tasks},
        contents={task.id: env.content_digest(task) for task in tasks} if isinstance(env, DigestsTasks) else {},
        programs=programs(),
    )


def hold_to(held: Lock, work: Lock) -> None:
    """Refuse to repeat a run with other tasks or settings.

    Raises:
        UsageError: names the differences.
    """
    if other := other_work(held, work):
        more = f"; and {len(other) - 4} more" if len(other) > 4 else ""
        raise UsageError(f"--from-lock: this would be another run: {'; '.join(other[:4])}{more}")


def task_digest(task: Task) -> str:
    """Digest of everything that an agent may know about a task."""
    later = {"prepared", "repository"}  # follow from the other fields
    # Absent in runs of earlier versions.
    later |= {name for name in ("folder", "setup_network", "setup_env") if getattr(task, name) in ("", "none", ())}
    return sha256(task.model_dump_json(exclude=later).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def programs() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


async def _images(services: Services, tasks: Collection[str]) -> dict[str, str]:
    if not isinstance(services.backend, DockerBackend):
        return {}
    known, found = Images.of(services.backend), dict[str, str]()
    default = services.config.sandbox.image or services.backend.default_image
    for name in sorted({task.image or default for task in services.env.tasks() if task.id in tasks}):
        try:
            found[name] = await known.digest(name)
        except NoSuchObject:  # removed after its last task
            continue
    return found


def read_lock(path: Path) -> Lock:
    """The lock in a file, or in a run directory.

    Raises:
        UsageError: there is none that this version can read.
    """
    file = path / "lock.json" if path.is_dir() else path
    lock = read_record(file, Lock)
    if lock is None:
        raise UsageError(f"--from-lock: {file} holds no lock that this version of heats can read")
    return lock
