"""Docker images: building, finding and removing them; comparing a container with its image, and keeping its state.

What heats makes carries labels (`heats.made`: `task` or `state`), so that it can be found and removed again.
"""

import asyncio
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sandbox.base import Sandbox, SandboxBackend
from sandbox.channel import ChannelBroken
from sandbox.container import LABEL, ContainerMachine
from sandbox.docker import DockerBackend
from sandbox.engine import Engine, EngineError, NoSuchObject
from sandbox.errors import BackendUnavailable, SandboxError, SandboxLost
from sandbox.session import ChannelSandbox
from sandbox.transport import TransportClosed

ProposeResult = Literal["task", "state"]
_KINDS: Mapping[int, Literal["changed", "added", "deleted"]] = {0: "changed", 1: "added", 2: "deleted"}


class ImageBuildFailed(SandboxError):
    """An image could not be built; the message ends with the builder's last lines."""


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path of a container that differs from its image."""

    path: str
    kind: Literal["changed", "added", "deleted"]


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image that heats made, with its labels (without their prefix)."""

    name: str
    labels: Mapping[str, str]


class Images:
    """The images of a Docker daemon."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def of(cls, backend: SandboxBackend) -> "Images":
        """The images that a backend starts sandboxes from.

        Raises:
            BackendUnavailable: it has none that could be built.
        """
        if not isinstance(backend, DockerBackend):
            raise BackendUnavailable(f"this needs Docker images, but the sandbox backend is {backend.name}")
        return cls(backend.engine)

    async def has(self, image: str) -> bool:
        """Whether the daemon holds an image.

        Raises:
            SandboxError
        """
        try:
            await self._engine.call("ask", self._engine.api.inspect_image, image)
        except NoSuchObject:
            return False
        return True

    async def pull(self, image: str, *, timeout_s: float) -> None:
        """Fetch an image from its registry.

        Raises:
            BackendUnavailable: it could not be fetched in time.
        """
        await self._docker(["pull", "--quiet", image], timeout_s, f"could not pull {image}")

    async def build(self, context: Path, image: str, *, timeout_s: float, labels: Mapping[str, str]) -> None:
        """Build a directory's Dockerfile. Its commands have the network that the daemon gives to builds.

        Raises:
            ImageBuildFailed: a step failed, or the time was up.
            BackendUnavailable: there is no docker command here.
        """
        marks = [f"--label={LABEL}{key}={value}" for key, value in {**labels, "made": "task"}.items()]
        await self._docker(["build", "--quiet", "--force-rm", "-t", image, *marks, str(context)], timeout_s, image)

    async def remove(self, image: str) -> bool:
        """Remove an image's name, and the image with its last name; returns whether it was removed."""
        try:
            await self._engine.call("remove", self._engine.api.remove_image, image)
        except EngineError:
            return False
        return True

    async def made(self, what: ProposeResult) -> list[KeptImage]:
        """The images of one kind that heats made, by name.

        Raises:
            SandboxError
        """
        listed = await self._engine.call(
            "ask", self._engine.api.images, filters={"label": f"{LABEL}made={what}", "dangling": False}
        )
        found = []
        for entry in listed:
            labels = {key.removeprefix(LABEL): value for key, value in (entry.get("Labels") or {}).items()}
            found += [KeptImage(name, labels) for name in entry.get("RepoTags") or ()]
        return sorted(found, key=lambda one: one.name)

    async def _docker(self, arguments: Sequence[str], timeout_s: float, what: str) -> None:
        """One docker command. The client is used because only it speaks to BuildKit."""
        docker = shutil.which("docker")
        if docker is None:
            raise BackendUnavailable("building and pulling images needs the docker command-line client on PATH")
        passed = {name: value for name, value in os.environ.items() if name.startswith(("DOCKER_", "BUILDKIT_"))}
        process = await asyncio.create_subprocess_exec(
            docker,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=passed | self._engine.cli_environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                said, _ = await process.communicate()
        except TimeoutError:
            raise ImageBuildFailed(f"{what}: not finished within {timeout_s:g} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            last = "; ".join(line for line in said.decode("utf-8", "replace").splitlines()[-4:] if line.strip())
            raise ImageBuildFailed(f"{what}: {last[-600:]}")


def directory_digest(directory: Path) -> str:
    """Digest of a directory's files: paths, executable bits, link targets and bytes. Blocks: call it in a thread."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        mode = "link" if path.is_symlink() else "x" if path.stat().st_mode & 0o100 else "-"
        head = f"{path.relative_to(directory).as_posix()}\0{mode}\0{len(data)}\0"
        digest.update(head.encode("utf-8", "surrogateescape") + data)
    return digest.hexdigest()


async def changed_paths(sandbox: Sandbox) -> tuple[PathChange, ...]:
    """Paths of a Docker sandbox that differ from its image, in path order; nothing of mounted file systems.

    Raises:
        BackendUnavailable: it is no Docker sandbox.
        SandboxError
    """
    machine = _container(sandbox)
    found = await machine.engine.call("ask", machine.engine.api.diff, machine.name)
    changes = [PathChange(entry["Path"], _KINDS.get(entry["Kind"], "changed")) for entry in found or ()]
    return tuple(sorted(changes, key=lambda change: change.path))


async def keep_state(sandbox: Sandbox, image: str, labels: Mapping[str, str]) -> None:
    """Keep a Docker sandbox's file system as an image; its processes go on and are not part of it.

    Raises:
        BackendUnavailable: it is no Docker sandbox.
        SandboxError
    """
    machine = _container(sandbox)
    repository, _, tag = image.rpartition(":")
    marks = [f"LABEL {LABEL}{key}={_quoted(value)}" for key, value in {**labels, "made": "state"}.items()]
    # The container's labels name its owner; the image outlives that owner.
    marks += [f'LABEL {LABEL}{key}=""' for key in ("owner", "host")]
    if isinstance(sandbox, ChannelSandbox):
        marks.append(f"WORKDIR {sandbox.spec.workdir}")
    await machine.engine.call(
        "start", machine.engine.api.commit, machine.name, repository=repository, tag=tag, changes=marks
    )


async def copy_of(backend: SandboxBackend, container: str, image: str) -> Mapping[str, Any]:
    """Keep the file system of a container that heats did not start as an image; the container goes on.

    Returns:
        What the daemon knows of the container.

    Raises:
        SandboxError: there is no such container.
    """
    if not isinstance(backend, DockerBackend):
        raise BackendUnavailable("only Docker can copy a container")
    api, (repository, _, tag) = backend.engine.api, image.rpartition(":")
    about: Mapping[str, Any] = await backend.engine.call("ask", api.inspect_container, container)
    changes = [f'LABEL {LABEL}made="state"']
    await backend.engine.call("start", api.commit, container, repository=repository, tag=tag, changes=changes)
    return about


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("$", "\\$") + '"'


@asynccontextmanager
async def as_user(sandbox: Sandbox, user: str | None) -> AsyncIterator[Sandbox]:
    """The same sandbox, with commands run as another user. Only Docker can do this.

    Args:
        user: as `docker exec --user` takes it; None for the user that the sandbox has, empty for the image's own.

    Raises:
        BackendUnavailable: it is no Docker sandbox.
        SandboxLost: no command can be run as that user.
    """
    if user is None:
        yield sandbox
        return
    machine = _container(sandbox)
    user = user or await _image_user(machine)
    other = ContainerMachine(machine.engine, machine.config, machine.name, crowd=1 << 20, user=user)
    assert isinstance(sandbox, ChannelSandbox)
    try:
        channel = await other.connect()
        yield ChannelSandbox(other, sandbox.spec, channel)
    except (ChannelBroken, TransportClosed) as error:
        raise SandboxLost(f"cannot run commands as {user}: {error}") from error
    finally:
        await other.leave()


async def _image_user(machine: ContainerMachine) -> str:
    about = await machine.engine.call("ask", machine.engine.api.inspect_container, machine.name)
    image = await machine.engine.call("ask", machine.engine.api.inspect_image, about["Image"])
    return str((image.get("Config") or {}).get("User") or "0")


def _container(sandbox: Sandbox) -> ContainerMachine:
    if isinstance(sandbox, ChannelSandbox) and isinstance(sandbox.machine, ContainerMachine):
        return sandbox.machine
    raise BackendUnavailable("this needs a Docker container as the sandbox")
