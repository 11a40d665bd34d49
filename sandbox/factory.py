"""Open the backend that the configuration names."""

import inspect
import logging

from sandbox.base import SandboxBackend
from sandbox.config import BACKENDS, SandboxConfig
from sandbox.errors import BackendUnavailable
from sandbox.versions import refuse_old_host

_log = logging.getLogger(__name__)


async def open_backend(config: SandboxConfig) -> SandboxBackend:
    """Open the backend that the configuration names.

    `auto` picks Docker if a daemon answers, else bubblewrap; never `local`. An explicitly named backend is never
    substituted.

    Args:
        config: see `SandboxConfig`.

    Returns:
        An open backend; close it when done.

    Raises:
        UnknownPart: a custom backend cannot be loaded.
        InvalidOptions: `sandbox.options` are invalid for the backend.
        BackendUnavailable: the backend does not work on this machine, or `strict_host` refuses it.
    """
    backend = await _opened(config)
    if config.strict_host:
        try:
            await refuse_old_host(backend)
        except BaseException:
            await backend.close()
            raise
    return backend


async def _opened(config: SandboxConfig) -> SandboxBackend:
    if config.backend == "auto":
        return await _first_that_works(config)
    made = BACKENDS.open(config.backend, config, options=config.options, key="sandbox.options")
    backend: SandboxBackend = await made if inspect.isawaitable(made) else made
    return backend


async def _first_that_works(config: SandboxConfig) -> SandboxBackend:
    # Imported here because the Docker SDK takes 0.1 s to import, which `heats --help` should not pay for.
    from sandbox.bubblewrap import BubblewrapBackend
    from sandbox.docker import DockerBackend

    try:
        return await DockerBackend.open(config)
    except BackendUnavailable as no_docker:
        _log.info("%s", no_docker)
        try:
            backend = await BubblewrapBackend.open(config)
        except BackendUnavailable as no_bwrap:
            raise BackendUnavailable(
                f"no sandbox works here. Start a Docker daemon or install bubblewrap. {no_docker}; {no_bwrap}"
            ) from no_bwrap
        _log.warning("no Docker daemon; using bubblewrap, which limits memory per process only")
        return backend
