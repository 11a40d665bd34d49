"""Manage the tasks' images: fetched before the run, removed after their last task if the run fetched them.

If they are both fetched and removed, each is fetched when its first task starts: then no more of them are on the disk
than tasks are open.

`images.jsonl` in the run directory records which images were absent before the run, and which were removed again. So a
resumed run neither removes a user's own image nor misses one that is no longer needed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal

from core.record import Record
from core.retry import with_retries
from envs.base import Env, MakesImages, Task
from heats.errors import PreflightFailed
from heats.store.files import LineLog, read_lines
from sandbox.base import SandboxBackend
from sandbox.errors import SandboxError
from sandbox.images import Images

PULL_TIMEOUT_S = 3600.0
PULLS_AT_ONCE, PULL_ATTEMPTS, PULL_WAIT_S = 2, 3, 20.0
LIMITED_ATTEMPTS = 6
"""Attempts at a registry that limits pulls: with the waits doubled each time, they span ten minutes."""
_NAMED_FAILURES = 10


class ImageNote(Record):
    """One line of `images.jsonl`: `absent` before the run, or `removed` by it."""

    image: str
    state: Literal["absent", "removed"]


class ImageKeeper:
    """Fetches and removes images for a run.

    Args:
        pull: pull missing images that the env does not make itself.
        prune: remove an image after its last task, unless it existed before the run.
        say: receives progress messages, one line each.
        wait_s: seconds before a failed pull is retried, doubled each time.
        timeout_s: time limit for one pull, in seconds.
    """

    def __init__(
        self,
        *,
        pull: bool = False,
        prune: bool = False,
        say: Callable[[str], None],
        wait_s: float = PULL_WAIT_S,
        timeout_s: float = PULL_TIMEOUT_S,
    ) -> None:
        self._pull, self._prune, self._say = pull, prune, say
        self._wait_s, self._timeout_s = wait_s, timeout_s
        self._left: Counter[str] = Counter()
        self._notes: Path | None = None
        self._at_once = asyncio.Semaphore(PULLS_AT_ONCE)

    @property
    def one_by_one(self) -> bool:
        """Whether images are fetched when their tasks start, and not all of them before the run."""
        return self._pull and self._prune

    def needed(self, directory: Path, tasks: Sequence[Task], unfinished: Collection[str]) -> set[str]:
        """Images that the run still needs: those of unfinished tasks, and all that were not removed.

        Args:
            directory: the run directory.
            tasks: all tasks of the run.
            unfinished: ids of the tasks without a result.
        """
        self._notes = directory / "images.jsonl"
        removed = {note.image for note in self._read() if note.state == "removed"}
        wanted = [task for task in tasks if task.id in unfinished or task.image not in removed]
        self._left = Counter(task.image for task in wanted)
        return set(self._left)

    async def fetch(self, env: Env, images: Collection[str], backend: SandboxBackend) -> None:
        """Fetch missing images.

        Args:
            env: env that may make the images itself.
            images: names of the images.
            backend: backend that needs them; nothing is done unless it is Docker.

        Raises:
            PreflightFailed: some could not be pulled; names them all.
            TaskError, SandboxError: the env could not make one.
        """
        if backend.name != "docker":
            return
        known = Images.of(backend)
        missing = [image for image in sorted(images) if image and not await known.has(image)]
        self._note(missing, "absent")
        if isinstance(env, MakesImages) or not self._pull:
            return
        failed: list[str] = []

        async def one(place: int, image: str) -> None:
            async with self._at_once:
                count = f" ({place}/{len(missing)})" if len(missing) > 1 else ""
                self._say(f"pulling {image}{count}")
                reason = await self._pulled(known, image)
                if reason:
                    failed.append(f"{image}: {reason}")

        async with asyncio.TaskGroup() as group:
            for place, image in enumerate(missing, start=1):
                group.create_task(one(place, image))
        if failed:
            more = f"; and {len(failed) - _NAMED_FAILURES} more" if len(failed) > _NAMED_FAILURES else ""
            raise PreflightFailed(f"could not pull {'; '.join(sorted(failed)[:_NAMED_FAILURES])}{more}")

    async def done(self, task: Task, backend: SandboxBackend) -> None:
        """Record that a task no longer needs its image."""
        self._left[task.image] -= 1
        if not self._prune or self._left[task.image] > 0 or backend.name != "docker":
            return
        ours = task.image in {note.image for note in self._read() if note.state == "absent"}
        if ours and await Images.of(backend).remove(task.image):
            self._note([task.image], "removed")
            self._say(f"removed image {task.image}")

    async def _pulled(self, known: Images, image: str) -> str:
        """Pull one image, with retries where these may help; returns why it failed and what to do, or nothing."""
        left = PULL_ATTEMPTS

        def passing(error: BaseException) -> bool:
            nonlocal left
            left -= 0 if _limited(str(error)) else 1
            return isinstance(error, SandboxError) and not _hopeless(str(error)) and left > 0

        try:
            await with_retries(
                lambda: known.pull(image, timeout_s=self._timeout_s),
                attempts=LIMITED_ATTEMPTS,
                wait_s=self._wait_s,
                passing=passing,
            )
        except SandboxError as error:
            reason = str(error).removeprefix(f"could not pull {image}: ")
            return f"{reason}{_advice(reason)}"
        return ""

    def _read(self) -> list[ImageNote]:
        return list(read_lines(self._notes, ImageNote)) if self._notes is not None else []

    def _note(self, images: Collection[str], state: Literal["absent", "removed"]) -> None:
        if not images or self._notes is None:
            return
        log = LineLog(self._notes)
        try:
            for image in images:
                log.append(ImageNote(image=image, state=state))
        finally:
            log.close()


_REFUSED = ("unauthorized", "authentication required", "access denied", "no basic auth credentials", "denied:")
_NOT_THERE = ("not found", "manifest unknown", "invalid reference")
_LIMITED = ("toomanyrequests", "too many requests", "429")


def _hopeless(reason: str) -> bool:
    """Whether retrying cannot help: there is no such image, or it requires a login."""
    return any(word in reason.lower() for word in (*_NOT_THERE, *_REFUSED)) and not _limited(reason)


def _limited(reason: str) -> bool:
    """Whether the registry limits how often images are pulled."""
    return any(word in reason.lower() for word in _LIMITED)


def _advice(reason: str) -> str:
    """What to do about a failed pull, to be appended to the reason."""
    if _limited(reason):
        return " (the registry limits pulls: `docker login`, or wait; the same command pulls the rest)"
    if any(word in reason.lower() for word in _REFUSED):
        return " (`docker login` for a private image, or correct its name)"
    return ""
