"""OCI images as root directories, for sandboxes without a container daemon.

skopeo fetches an image and umoci unpacks it. The result is kept among the prepared environments, named by the digest of
the image, so that it is unpacked once. All of its files belong to the user who runs heats, and it has no device files.
"""

import asyncio
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sandbox.errors import BackendUnavailable, ImageMissing, SandboxStartError
from sandbox.prepared import locked, mark_used
from sandbox.scratch import make_scratch, remove_scratch
from sandbox.tools import ToolResult, run_tool

ROOT = "root"
_CONFIG = "config.json"
_TRANSPORTS = ("docker", "docker-archive", "docker-daemon", "oci", "oci-archive", "dir", "containers-storage")
_TRANSPORT = re.compile(rf"(?:{'|'.join(_TRANSPORTS)}):")
_DAEMON = "docker-daemon:"
_LOCAL_REGISTRY = re.compile(r"(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?/")
_HINT = "install skopeo and umoci (Debian: `apt-get install skopeo umoci`), or give a root directory as the image"
_ASK_S, _UNPACK_S = 120.0, 3600.0
_AT_ONCE = 2
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


@dataclass(frozen=True, slots=True)
class UnpackedImage:
    """An image as a directory.

    Attributes:
        name: name of its directory, which changes with its content.
        root: its files; never written to.
        env: environment variables that it sets.
        workdir: its working directory; `/` if it has none.
        user: its user, in the syntax of `docker run --user`; empty for root.
    """

    name: str
    root: Path
    env: Mapping[str, str]
    workdir: str
    user: str


def is_reference(image: str) -> bool:
    """Return whether an image is meant as a reference (`python:3.12`, `oci:PATH`) and not as a path."""
    return _TRANSPORT.match(image) is not None or not image.startswith(("/", ".", "~"))


class ImageStore:
    """Unpacked images in a directory.

    Args:
        directory: the directory, which is also the place of their locks and times of last use.
        docker_host: address of the Docker daemon whose images can be used; None for the environment's.
    """

    def __init__(self, directory: Path, docker_host: str | None = None) -> None:
        self._directory = directory
        self._environment = dict(os.environ) | ({"DOCKER_HOST": docker_host} if docker_host else {})
        self._names: dict[str, str] = {}
        self._unpacking = asyncio.Semaphore(_AT_ONCE)

    async def name_of(self, image: str) -> str:
        """The name under which an image is or will be unpacked.

        A name without a transport is one of the Docker daemon's images if there is a daemon, else one that was unpacked
        before, else a registry's. As with Docker, a registry is not asked about images that are here.

        Raises:
            ImageMissing: nothing of this name was found.
            BackendUnavailable: skopeo or umoci is not installed.
        """
        if image not in self._names:
            self._names[image] = await self._found(image)
        return self._names[image]

    async def unpacked(self, image: str) -> UnpackedImage:
        """Return an image, which is unpacked first if it was not before.

        Processes that need the same image at the same time wait for the first of them.

        Raises:
            ImageMissing: it does not exist.
            BackendUnavailable: skopeo or umoci is not installed, or the directory is not writable.
            SandboxStartError: it could not be unpacked.
        """
        name = await self.name_of(image)
        place = self._directory / name
        if not place.is_dir():
            async with self._unpacking, locked(self._directory / f"{name}.lock"):
                if not place.is_dir():
                    await self._unpack(image, place)
        mark_used(self._directory, name)
        return await asyncio.to_thread(_read, place)

    async def _found(self, image: str) -> str:
        note = self._directory / f"ref-{sha256(image.encode()).hexdigest()[:24]}.json"
        if identity := await self._daemon_id(image):
            return await asyncio.to_thread(_note, note, image, identity.encode())
        # Archives and layouts are on this machine, so they are looked at each time.
        elsewhere = _TRANSPORT.match(image) is None or image.startswith(("docker:", _DAEMON))
        known = await asyncio.to_thread(_noted, note) if elsewhere else ""
        if known and (self._directory / known).is_dir():
            return known
        seen = await self._run(["skopeo", "inspect", "--raw", *_options("inspect", image), _source(image)], _ASK_S)
        if seen.code:
            raise ImageMissing((image,), _reason(seen))
        return await asyncio.to_thread(_note, note, image, seen.stdout)

    async def _daemon_id(self, image: str) -> str:
        """Id of an image that the Docker daemon holds; empty if it does not, or there is no daemon."""
        plain = image.removeprefix(_DAEMON)
        if _TRANSPORT.match(plain) is not None or shutil.which("docker") is None:
            return ""
        try:
            seen = await self._run(["docker", "image", "inspect", "--format", "{{.Id}}", plain], _ASK_S)
        except BackendUnavailable:
            return ""
        return "" if seen.code else seen.stdout.decode().strip()

    async def _unpack(self, image: str, place: Path) -> None:
        """Unpack an image; it gets its name once it is complete."""
        made = await asyncio.to_thread(make_scratch, self._directory, "bubblewrap", {"image": image})
        try:
            source = _source(image)
            if await self._daemon_id(image):
                archive = made / "image.tar"
                await self._checked(["docker", "save", "-o", str(archive), image.removeprefix(_DAEMON)], image)
                source = f"docker-archive:{archive}"
            layout = f"oci:{made / 'oci'}:image"
            temporary = {"TMPDIR": str(made)}
            await self._checked(["skopeo", "copy", "-q", *_options("copy", image), source, layout], image, temporary)
            config = await self._checked(["skopeo", "inspect", "--config", layout], image)
            unpack = ["umoci", "unpack", "--rootless", "--image", f"{made / 'oci'}:image", str(made / "bundle")]
            await self._checked(unpack, image)
            await asyncio.to_thread(_complete, made, config.stdout)
            await asyncio.to_thread(os.rename, made, place)
        finally:
            await asyncio.to_thread(remove_scratch, made)

    async def _checked(self, argv: list[str], image: str, env: Mapping[str, str] | None = None) -> ToolResult:
        done = await self._run(argv, _UNPACK_S, env)
        if done.code:
            raise SandboxStartError(f"the image {image} could not be unpacked: {argv[0]}: {done.last_lines()}")
        return done

    async def _run(self, argv: list[str], timeout_s: float, env: Mapping[str, str] | None = None) -> ToolResult:
        program = shutil.which(argv[0])
        if program is None:
            raise BackendUnavailable(f"{argv[0]} is not installed, which images need without Docker: {_HINT}")
        try:
            return await run_tool([program, *argv[1:]], timeout_s=timeout_s, env={**self._environment, **(env or {})})
        except (TimeoutError, OSError) as error:
            raise BackendUnavailable(f"{argv[0]} did not answer: {error or f'no end after {timeout_s:g} s'}") from error


def _source(image: str) -> str:
    """The reference in skopeo's syntax."""
    return image if _TRANSPORT.match(image) else f"docker://{image}"


def _options(command: str, image: str) -> list[str]:
    """A registry on this machine may speak plain HTTP, as it may with Docker."""
    plain = image.removeprefix("docker://")
    prefix = "src-" if command == "copy" else ""
    return [f"--{prefix}tls-verify=false"] if _LOCAL_REGISTRY.match(plain) else []


def _reason(seen: ToolResult) -> str:
    """What skopeo said, without its log format."""
    text = seen.last_lines(1)
    found = re.search(r'msg="(.*)"$', text)
    return found[1].replace('\\"', '"') if found else text


def _noted(note: Path) -> str:
    try:
        return str(json.loads(note.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _note(note: Path, image: str, identity: bytes) -> str:
    """Note which image a name belongs to, and return the name of its directory."""
    name = f"image-{sha256(identity).hexdigest()[:24]}"
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        new = note.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"image": image, "name": name}), encoding="utf-8")
        new.replace(note)
    except OSError as error:
        if not (note.parent / name).is_dir():
            raise BackendUnavailable(
                f"{note.parent} is not writable ({error.strerror}): set sandbox.prepared_dir to a directory that is"
            ) from error
    return name


def forget_images(directory: Path) -> None:
    """Forget which names belonged to images that were removed."""
    for note in directory.glob("ref-*.json"):
        if not (directory / (_noted(note) or "missing")).is_dir():
            note.unlink(missing_ok=True)


def _complete(made: Path, config: bytes) -> None:
    """Keep the files and the configuration, and remove the rest."""
    (made / "bundle" / "rootfs").rename(made / ROOT)
    (made / _CONFIG).write_bytes(config)
    remove_scratch(made / "bundle")
    remove_scratch(made / "oci")
    (made / "image.tar").unlink(missing_ok=True)
    root = made / ROOT
    # Docker provides this file to every container. The names are the image's, so links are not followed.
    etc, hosts = root / "etc", root / "etc" / "hosts"
    if not etc.is_symlink() and not hosts.is_symlink():
        etc.mkdir(exist_ok=True)
        if not hosts.exists() or not hosts.stat().st_size:
            hosts.write_text(_HOSTS, encoding="ascii")
    root.chmod(stat.S_IMODE(root.stat().st_mode) | 0o500)


def _read(place: Path) -> UnpackedImage:
    try:
        about: dict[str, Any] = json.loads((place / _CONFIG).read_bytes()).get("config") or {}
    except (OSError, ValueError, AttributeError) as error:
        raise SandboxStartError(f"{place} is damaged: remove it, and the image is unpacked again") from error
    env = dict(str(line).partition("=")[::2] for line in about.get("Env") or ())
    return UnpackedImage(place.name, place / ROOT, env, about.get("WorkingDir") or "/", about.get("User") or "")
