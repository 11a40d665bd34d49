"""Check the versions of container software and kernel against the oldest that we consider secure.

A floor is the release that fixed the last known sandbox escape. Distributions backport fixes without changing the
version number, so a version below the floor means "check whether yours did" and refuses nothing unless `strict_host` is
set.
"""

import asyncio
import platform
import re
import subprocess
from dataclasses import dataclass

from sandbox.base import SandboxBackend
from sandbox.errors import BackendUnavailable

Version = tuple[int, ...]

_FLOORS: dict[str, tuple[Version, str]] = {
    "Docker Engine": ((24, 0, 6), "older ones get no fixes"),
    "runc": ((1, 2, 8), "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881; below 1.1.12 also CVE-2024-21626"),
    "crun": ((1, 4, 4), "CVE-2022-27650"),
    "bubblewrap": ((0, 8, 0), "no --disable-userns"),
    "Linux": ((5, 10), "older ones get no fixes"),
}
_LATER_FLOORS: dict[str, dict[Version, Version]] = {"runc": {(1, 3): (1, 3, 3)}}
"""Floors of newer release series, which received the fix in a later release of their own."""
_TRY_S = 20.0
_NO_RUNC = ("crun", "runsc", "kata")
"""Substrings in the names of runtimes that do not use runc."""


@dataclass(frozen=True, slots=True)
class Component:
    """A program or kernel, with the version it reports.

    Attributes:
        floor: oldest recommended version; empty if none is known.
        why: what is wrong with older versions.
    """

    name: str
    version: str
    floor: str = ""
    why: str = ""

    @property
    def below(self) -> bool:
        """Whether the version is known and older than the floor."""
        found = numbers(self.version)
        return bool(self.floor and found) and found < numbers(self.floor)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" + (f" (below {self.floor}: {self.why})" if self.below else "")


def judged(name: str, version: str) -> Component:
    """Look up the floor for a component's name and release series."""
    floor, why = _FLOORS.get(name, ((), ""))
    floor = _LATER_FLOORS.get(name, {}).get(numbers(version)[:2], floor)
    return Component(name, version, ".".join(map(str, floor)), why)


def numbers(version: str) -> Version:
    """Leading numbers of a version: `1.1.5+ds1` is (1, 1, 5)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


async def host_components(backend: SandboxBackend) -> tuple[Component, ...]:
    """List the programs and the kernel that confine a backend's sandboxes.

    Raises:
        BackendUnavailable: the daemon does not answer.
    """
    # Import the Docker SDK only if Docker is used.
    if backend.name == "docker":
        from sandbox.docker import DockerBackend

        if isinstance(backend, DockerBackend):
            found = _engine_components(await backend.engine.call("ask", backend.engine.api.version))
            return _in_runtime(backend.runtime, found)
    kernel = judged("Linux", platform.release())
    if backend.name != "bubblewrap":
        return (kernel,)
    return (judged("bubblewrap", await asyncio.to_thread(_bubblewrap_version)), kernel)


async def refuse_old_host(backend: SandboxBackend) -> None:
    """Refuse a host with a component below its floor, for `strict_host`.

    Raises:
        BackendUnavailable: names every component below its floor.
    """
    if old := [str(one) for one in await host_components(backend) if one.below]:
        raise BackendUnavailable(f"strict_host: {'; '.join(old)}")


def _engine_components(about: dict[str, object]) -> tuple[Component, ...]:
    parts = about.get("Components")
    found = []
    for part in parts if isinstance(parts, list) else ():
        name = str(part.get("Name", "")).removeprefix("OCI Runtime (").removesuffix(")")
        version = str(part.get("Version", ""))
        # Podman reports the first line of its runtime's version output.
        version = version.removeprefix(f"{name} version ").split("\n")[0]
        if name in ("Engine", "Podman Engine", "containerd", "runc", "crun"):
            found.append(judged("Docker Engine" if name == "Engine" else name, version))
    return (*found, judged("Linux", str(about.get("KernelVersion") or platform.release())))


def _in_runtime(runtime: str | None, found: tuple[Component, ...]) -> tuple[Component, ...]:
    """Drop runc if sandboxes run in another runtime, whose version the daemon does not report.

    A runtime of any other name, such as NVIDIA's, may be a wrapper around runc.
    """
    if not runtime or not any(word in runtime for word in _NO_RUNC) or runtime in {one.name for one in found}:
        return found
    return (*(one for one in found if one.name != "runc"), Component(f"runtime {runtime}", "of unknown version"))


def _bubblewrap_version() -> str:
    try:
        done = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, timeout=_TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendUnavailable(f"cannot read the version of bwrap: {error}") from error
    return done.stdout.strip().removeprefix("bubblewrap ")
