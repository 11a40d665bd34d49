"""Settings of sandboxes: the backend, and what it may use."""

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
"""Each is made with a `SandboxConfig`, by an asynchronous class method `open` where it has one."""


class Slots(Config):
    """How many calls of each kind the Docker daemon gets at once."""

    start: int = Field(4, gt=0, le=32)
    remove: int = Field(4, gt=0, le=32)
    exec: int = Field(8, gt=0, le=32)
    """Opening channels. Commands go through open channels and are not limited by this."""


class SandboxConfig(Config):
    """The `sandbox` section of the configuration."""

    backend: str = "auto"
    """`docker`, `bubblewrap`, `local`, or `module:Class` of your own; `auto` takes Docker where a daemon answers, else
    bubblewrap, and never `local`."""
    options: Mapping[str, Any] = {}
    """Settings of a backend of your own, which declares them as `Options`."""
    unsafe: bool = False
    """Must be true for `local`, which isolates nothing."""
    image: str | None = None
    """For tasks that name none; each backend has a default of its own."""
    runtime: str | None = None
    """Passed to Docker (`runsc`, `kata`); must be known to the daemon."""
    strict_host: bool = False
    """Refuse a host whose container engine, runtime, bubblewrap or kernel has a known way out."""
    docker_host: str | None = None
    """Address of the daemon; DOCKER_HOST or its default socket when not given."""
    channel: Literal["auto", "pipes", "socket", "cli"] = "auto"
    """How commands reach a container: named pipes past the daemon (`auto` where the daemon is on this machine), the
    daemon's socket, or a `docker exec -i` process."""
    persistent: bool = True
    """False opens a channel per command: slower, for daemons behind proxies that cut long connections."""
    network: Network = "none"
    limits: SandboxLimits = Field(default_factory=lambda: SandboxLimits())
    slots: Slots = Field(default_factory=lambda: Slots())
    call_timeout_s: float = Field(120.0, gt=0)
    """Deadline of one call to the daemon, in seconds."""
    disk_check_s: float = Field(2.0, gt=0)
    """Seconds between two measurements of what sandboxes have written; see `limits.disk_mb`."""
    free_floor_mb: int = Field(1024, ge=0)
    """No sandbox is started while the disk that it would write to has less than this free, in MiB."""
    host_packages: bool = False
    """Show this machine's installed Python packages to bubblewrap sandboxes of image `host`. Otherwise they have the
    interpreter that heats runs on and its standard library."""
    private_dirs: tuple[Path, ...] = ()
    """Directories of this machine that no sandbox may see: a mount or a root directory that contains one is refused.
    The run directory is always one of them."""
    scratch_dir: Path | None = None
    """Where sandboxes keep their pipes and files on this machine; by default in the system's temporary directory."""

    @field_validator("backend")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return value if value == "auto" else BACKENDS.check(value)
        except UnknownPart as error:
            raise ValueError(str(error)) from error

    def hiding(self, *directories: Path) -> "SandboxConfig":
        """The same, with further `private_dirs`."""
        return self.model_copy(update={"private_dirs": (*self.private_dirs, *directories)})

    def scratch(self) -> Path:
        """The directory that holds sandboxes' pipes and files."""
        return self.scratch_dir or Path(tempfile.gettempdir()) / f"heats-{os.getuid()}"
