"""Find and remove sandboxes of dead owners on all backends, for `heats gc`."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.config import SandboxConfig
from sandbox.errors import SandboxError
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
