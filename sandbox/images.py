"""Docker images: build, find and remove them, diff a container against its image, and snapshot its state.

Images made by heats have a label (`heats.made`: `task`, `state` or `prepared`), by which they are found and removed.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
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
from sandbox.tools import run_tool
from sandbox.transport import TransportClosed

MadeKind = Literal["task", "state", "prepared"]
_KINDS: Mapping[int, Literal["changed", "added", "deleted"]] = {0: "changed", 1: "added", 2: "deleted"}


class ImageBuildFailed(SandboxError):
    """An image could not be built; the message ends with the builder's last lines."""


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path in a container that differs from its image."""

    path: str
    kind: Literal["changed", "added", "deleted"]


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image made by heats, with its labels, whose prefix is stripped."""

    name: str
    labels: Mapping[str, str]


class Images:
    """The images of a Docker daemon."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def of(cls, backend: SandboxBackend) -> "Images":
        """Access the images that a backend starts sandboxes from.

        Raises:
            BackendUnavailable: the backend does not use Docker images.
        """
        if not isinstance(backend, DockerBackend):
            raise BackendUnavailable(f"this needs Docker images, but the sandbox backend is {backend.name}")
        return cls(backend.engine)

    async def has(self, image: str) -> bool:
        """Return whether the daemon has an image.

        Raises:
            SandboxError: the daemon does not answer.
        """
        try:
            await self._engine.call("ask", self._engine.api.inspect_image, image)
        except NoSuchObject:
            return False
        return True

    async def digest(self, image: str) -> str:
        """Digest under which a registry serves an image, or the image's id if it came from none.

        Raises:
            NoSuchObject: the daemon does not have it.
            SandboxError: the daemon does not answer.
        """
        about = await self._engine.call("ask", self._engine.api.inspect_image, image)
        served = [str(one) for one in about.get("RepoDigests") or ()]
        return min(served, default=str(about["Id"]))

    async def pull(self, image: str, *, timeout_s: float) -> None:
        """Pull an image from its registry.

        Raises:
            ImageBuildFailed: it could not be pulled, or not within `timeout_s` seconds.
            BackendUnavailable: the docker command line client is missing.
        """
        await self._docker(["pull", "--quiet", image], timeout_s, f"could not pull {image}")

    async def build(
        self, context: Path, image: str, *, timeout_s: float, labels: Mapping[str, str], file: Path | None = None
    ) -> None:
        """Build the Dockerfile of a directory. Build steps have whatever network the daemon gives to builds.

        Args:
            context: directory with the Dockerfile.
            image: name of the new image.
            timeout_s: timeout of the whole build, in seconds.
            labels: labels of the image, without their prefix; `made` is `task` unless it says otherwise.
            file: the Dockerfile, if it is not `Dockerfile` in that directory.

        Raises:
            ImageBuildFailed: a step failed, or the build timed out.
            BackendUnavailable: the docker command line client is missing.
        """
        marks = [f"--label={LABEL}{key}={value}" for key, value in {"made": "task", **labels}.items()]
        marks += ["-f", str(file)] if file is not None else []
        await self._docker(["build", "--quiet", "--force-rm", "-t", image, *marks, str(context)], timeout_s, image)

    async def derive(self, image: str, name: str, *, timeout_s: float) -> None:
        """Give the content of an image a name of the user's own, under which heats never removes it.

        Args:
            image: the image.
            name: the new name.
            timeout_s: time limit in seconds.

        Raises:
            ImageBuildFailed, BackendUnavailable
        """
        with tempfile.TemporaryDirectory() as folder:
            await asyncio.to_thread(Path(folder, "Dockerfile").write_text, f"FROM {image}\n")
            await self.build(Path(folder), name, timeout_s=timeout_s, labels={"made": "image"})

    async def remove(self, image: str) -> bool:
        """Remove a tag, and the image along with its last tag; returns whether it was removed."""
        try:
            await self._engine.call("remove", self._engine.api.remove_image, image)
        except EngineError:
            return False
        return True

    async def made(self, what: MadeKind) -> list[KeptImage]:
        """List the images of one kind made by heats, sorted by name.

        Raises:
            SandboxError: the daemon does not answer.
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
        """Run a docker command. The client is used because only it supports BuildKit."""
        docker = shutil.which("docker")
        if docker is None:
            raise BackendUnavailable("building and pulling images needs the docker command-line client on PATH")
        passed = {name: value for name, value in os.environ.items() if name.startswith(("DOCKER_", "BUILDKIT_"))}
        environment = passed | self._engine.cli_environment()
        try:
            done = await run_tool([docker, *arguments], timeout_s=timeout_s, env=environment)
        except TimeoutError:
            raise ImageBuildFailed(f"{what}: not finished within {timeout_s:g} s") from None
        if done.code:
            raise ImageBuildFailed(f"{what}: {done.last_lines()}")


def directory_digest(directory: Path) -> str:
    """Hash a directory's files: paths, executable bits, link targets and content. Blocking; call it in a thread."""
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
    """List the paths of a Docker sandbox that differ from its image, sorted; mounted file systems are not included.

    Raises:
        BackendUnavailable: it is not a Docker sandbox.
        SandboxError: the daemon refused or does not answer.
    """
    machine = _container(sandbox)
    found = await machine.engine.call("ask", machine.engine.api.diff, machine.name)
    changes = [PathChange(entry["Path"], _KINDS.get(entry["Kind"], "changed")) for entry in found or ()]
    return tuple(sorted(changes, key=lambda change: change.path))


async def keep_state(sandbox: Sandbox, image: str, labels: Mapping[str, str]) -> None:
    """Save a Docker sandbox's file system as an image. Its processes keep running and are not saved.

    Args:
        sandbox: the sandbox to save.
        image: `repository:tag` of the new image.
        labels: labels of the image, without their prefix.

    Raises:
        BackendUnavailable: it is not a Docker sandbox.
        SandboxError: the daemon refused or does not answer.
    """
    machine = _container(sandbox)
    marks = [f"LABEL {LABEL}{key}={_quoted(value)}" for key, value in {**labels, "made": "state"}.items()]
    if isinstance(sandbox, ChannelSandbox):
        marks.append(f"WORKDIR {sandbox.spec.workdir}")
    await machine.commit(image, marks)


async def copy_of(backend: SandboxBackend, container: str, image: str) -> Mapping[str, Any]:
    """Save the file system of a foreign container as an image; the container keeps running.

    Args:
        backend: a Docker backend.
        container: name or ID of the container.
        image: `repository:tag` of the new image.

    Returns:
        The daemon's description of the container.

    Raises:
        BackendUnavailable: the backend is not Docker.
        SandboxError: the container does not exist, or the daemon refused.
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
    """Yield the same sandbox with commands run as another user; Docker only.

    Args:
        sandbox: the sandbox.
        user: in the syntax of `docker exec --user`; None keeps the sandbox's user, empty selects the image's own.

    Raises:
        BackendUnavailable: it is not a Docker sandbox.
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
