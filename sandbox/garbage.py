"""Find and remove sandboxes of dead owners on all backends, for `heats gc`."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from sandbox.config import SandboxConfig
from sandbox.errors import SandboxError
from sandbox.oci import forget_images
from sandbox.prepared import lock_now, unused_for
from sandbox.scratch import remove_scratch, scratch_leftovers

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A sandbox whose owner is dead, or a kept state.

    Attributes:
        backend: `docker`, `bubblewrap` or `local`.
        name: name of the container or image, or path of the directory.
        labels: labels from the spec.
        removed: whether it is gone now.
    """

    backend: str
    name: str
    labels: Mapping[str, str]
    removed: bool


async def collect_garbage(config: SandboxConfig | None = None, *, remove: bool = True) -> tuple[LeftOver, ...]:
    """Find and remove sandboxes whose owner process is dead; those of living owners are never touched.

    Args:
        config: supplies the daemon's address and the scratch directory.
        remove: if False, only list them.

    Returns:
        Every leftover found. If the Docker daemon does not answer, its leftovers are missing and a warning is logged.
    """
    config = config or SandboxConfig()
    found = list(await _containers(config, remove))
    for backend in ("docker", "bubblewrap", "local"):
        for left in list(scratch_leftovers(config.scratch(), backend)):
            if remove:
                await asyncio.to_thread(remove_scratch, left.path)
            if backend != "docker":  # a container's pipes are reported with the container
                found.append(LeftOver(backend, str(left.path), left.labels, not left.path.exists()))
    return tuple(found)


async def kept_states(config: SandboxConfig | None = None, *, remove: bool = True) -> tuple[LeftOver, ...]:
    """Find and remove images of kept end states, which are kept deliberately and have no owner.

    Args:
        config: supplies the daemon's address.
        remove: if False, only list them.
    """
    from sandbox.docker import DockerBackend
    from sandbox.images import Images

    try:
        backend = await DockerBackend.open(config or SandboxConfig())
    except SandboxError as error:
        _log.warning("could not look for kept states: %s", error)
        return ()
    try:
        images = Images.of(backend)
        found = await images.made("state")
        return tuple(
            [LeftOver("docker", one.name, one.labels, remove and await images.remove(one.name)) for one in found]
        )
    finally:
        await backend.close()


async def prepared_environments(
    config: SandboxConfig | None = None, *, unused_s: float, remove: bool = True
) -> tuple[LeftOver, ...]:
    """Find and remove prepared environments and unpacked images that no run has used for a while, and half-made ones.

    Args:
        config: supplies the daemon's address and the directory.
        unused_s: seconds since the last use; 0 for all of them.
        remove: if False, only list them.
    """
    config = config or SandboxConfig()
    root = config.prepared()
    half = [left.path for left in scratch_leftovers(root, "bubblewrap")]
    kept = [*sorted(root.glob("kept-*")), *sorted(root.glob("image-*"))]
    kept = [path for path in kept if path.is_dir() and _unused(root, path.name, unused_s)]
    found = []
    for path in (*half, *sorted(root.glob("removed-*")), *kept):
        gone = path if path not in kept else _out_of_use(root, path) if remove else None
        if remove and gone is not None:
            await asyncio.to_thread(remove_scratch, gone)
        found.append(LeftOver("bubblewrap", str(path), {}, not path.exists()))
    if remove:
        forget_images(root)
    return (*found, *await _prepared_images(config, unused_s, remove))


async def _prepared_images(config: SandboxConfig, unused_s: float, remove: bool) -> list[LeftOver]:
    from sandbox.docker import DockerBackend
    from sandbox.images import Images

    try:
        backend = await DockerBackend.open(config)
    except SandboxError as error:
        _log.warning("prepared images were not looked for: %s", error)
        return []
    try:
        images, found = Images.of(backend), []
        for one in await images.made("prepared"):
            if _unused(config.prepared(), one.name, unused_s):
                removed = remove and await images.remove(one.name)
                found.append(LeftOver("docker", one.name, one.labels, removed))
                if removed:
                    _forget(config.prepared(), one.name)
        return found
    finally:
        await backend.close()


def _out_of_use(root: Path, path: Path) -> Path | None:
    """Rename an environment, so that no sandbox starts from it any more; None if one is running on it."""
    with lock_now(root / f"{path.name}.lock") or nullcontext() as held:
        if held is None:
            return None
        gone = path.rename(path.with_name(f"removed-{path.name}"))
        _forget(root, path.name)
        return gone


def _unused(root: Path, name: str, unused_s: float) -> bool:
    age = unused_for(root, name)
    return unused_s == 0 or (age is not None and age >= unused_s)


def _forget(root: Path, name: str) -> None:
    for suffix in ("used", "lock"):
        (root / f"{name}.{suffix}").unlink(missing_ok=True)


async def _containers(config: SandboxConfig, remove: bool) -> list[LeftOver]:
    from sandbox.docker import DockerBackend

    try:
        backend = await DockerBackend.open(config)
    except SandboxError as error:
        _log.warning("could not look for containers: %s", error)
        return []
    try:
        found = await backend.leftovers()
        removed = {name: remove and await backend.remove(name) for name in found}
        return [LeftOver("docker", name, labels, removed[name]) for name, labels in found.items()]
    finally:
        await backend.close()
