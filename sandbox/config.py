"""The `sandbox` section of the configuration, and the table of backends."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from core.errors import UnknownPart
from core.record import Config
from core.registry import Registry
from sandbox.base import Network, SandboxLimits

BACKENDS = Registry(
    "sandbox backend",
    {
        "docker": "sandbox.docker:DockerBackend",
        "bubblewrap": "sandbox.bubblewrap:BubblewrapBackend",
        "local": "sandbox.local:LocalBackend",
    },
    also=("auto",),
)
"""Each backend is constructed from a `SandboxConfig`, through its async class method `open` if it has one."""


def cache_directory() -> Path:
    """Directory for caches that are shared between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heats"


class Slots(Config):
    """Maximum concurrent calls of each kind to the Docker daemon."""

    start: int = Field(4, gt=0, le=32)
    """Creating and starting containers."""
    remove: int = Field(4, gt=0, le=32)
    """Removing containers."""
    exec: int = Field(8, gt=0, le=32)
    """Opening channels. Commands use open channels and are not limited by this."""


class SandboxConfig(Config):
    """The `sandbox` section of the configuration."""

    backend: str = "auto"
    """`docker`, `bubblewrap`, `local`, or `module:Class` for your own. `auto` uses Docker if a daemon answers, else
    bubblewrap, and never `local`."""
    options: Mapping[str, Any] = {}
    """Settings of your own backend, which declares them as `Options`."""
    unsafe: bool = False
    """Must be true for `local`, which provides no isolation."""
    image: str | None = None
    """Image for tasks that name none; each backend has its own default."""
    runtime: str | None = None
    """Container runtime for Docker (`runsc`, `kata`); must be registered with the daemon."""
    strict_host: bool = False
    """Refuse a host whose container engine, runtime, bubblewrap or kernel has a known escape."""
    docker_host: str | None = None
    """Address of the daemon; defaults to DOCKER_HOST, then to Docker's standard socket."""
    channel: Literal["auto", "pipes", "socket", "cli"] = "auto"
    """How commands reach a container: named pipes that bypass the daemon (`auto` for a daemon on this machine), the
    daemon's socket, or a `docker exec -i` process."""
    persistent: bool = True
    """False opens a channel per command: slower, but needed behind proxies that cut long-lived connections."""
    network: Network = "none"
    """Network of sandboxes that run attempts: none, or Docker's default bridge."""
    limits: SandboxLimits = Field(default_factory=lambda: SandboxLimits())
    slots: Slots = Field(default_factory=lambda: Slots())
    call_timeout_s: float = Field(120.0, gt=0)
    """Timeout of one call to the daemon, in seconds."""
    daemon_wait_s: float = Field(300.0, ge=0)
    """Seconds to wait during a run for an unreachable daemon to come back, for example after a restart."""
    disk_check_s: float = Field(2.0, gt=0)
    """Seconds between disk usage measurements; see `limits.disk_mb`."""
    free_floor_mb: int = Field(1024, ge=0)
    """Start no sandbox while the disk it would write to has less than this much free space, in MiB."""
    host_packages: bool = False
    """Make the host's installed Python packages visible to bubblewrap sandboxes of image `host`. By default they see
    only the interpreter that heats runs on and its standard library."""
    private_dirs: tuple[Path, ...] = ()
    """Host directories that no sandbox may see: a mount or root directory that contains one is refused. The run
    directory is always included."""
    scratch_dir: Path | None = None
    """Host directory for sandboxes' pipes and files; defaults to the system's temporary directory."""
    prepared_dir: Path | None = None
    """Host directory for prepared environments and, with bubblewrap, unpacked images; defaults to `heats/prepared` in
    the user's cache directory."""

    @field_validator("backend")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return value if value == "auto" else BACKENDS.check(value)
        except UnknownPart as error:
            raise ValueError(str(error)) from error

    def hiding(self, *directories: Path) -> "SandboxConfig":
        """Return a copy with further `private_dirs`."""
        return self.model_copy(update={"private_dirs": (*self.private_dirs, *directories)})

    def prepared(self) -> Path:
        """The directory that holds prepared environments and unpacked images."""
        return self.prepared_dir or cache_directory() / "prepared"

    def scratch(self) -> Path:
        """The directory that holds sandboxes' pipes and files."""
        return self.scratch_dir or Path(tempfile.gettempdir()) / f"heats-{os.getuid()}"
