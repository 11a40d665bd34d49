"""Sandboxes of every kind behind one fixture, so that one test states what all of them must do.

Tests marked `contract` apply to any backend, including your own (docs/sandbox-backends.md):

    python -m pytest tests/sandbox -m contract --sandbox-backend module:Class --sandbox-image IMAGE
"""

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import pytest_asyncio

from sandbox import Sandbox, SandboxBackend, SandboxConfig, SandboxLimits, SandboxSpec, open_backend

BASE_IMAGE = "heats-base:latest"
BUSYBOX_IMAGE = "heats-test-busybox:latest"
LABELS = {"run": "tests-sandbox"}
RUNTIME = os.environ.get("HEATS_TESTS_RUNTIME")
"""The containers' runtime, if not the daemon's default: `HEATS_TESTS_RUNTIME=runsc pytest tests/sandbox`."""


@dataclass(frozen=True)
class Kind:
    """One way to get a sandbox, and what to expect of it."""

    backend: str
    image: str
    user: str = "root"
    workdir: str = "/testbed"
    isolated: bool = True
    python: bool = True
    own: bool = False

    @property
    def container(self) -> bool:
        return self.backend == "docker"

    @property
    def own_kernel(self) -> bool:
        """Whether its kernel is separate from this machine's."""
        return self.container and RUNTIME not in (None, "runc", "crun")

    def spec(self, **changes: Any) -> SandboxSpec:
        """The specification to start, with some fields changed."""
        limits = SandboxLimits(**{"max_life_s": 600, **changes.pop("limits", {})})
        settings = {"image": self.image, "workdir": self.workdir, "user": self.user, "labels": LABELS, **changes}
        return SandboxSpec(limits=limits, **settings)


KINDS = {
    "docker": Kind("docker", BASE_IMAGE),
    "docker-uid": Kind("docker", BASE_IMAGE, user="1234:1234", workdir="/tmp"),
    "docker-busybox": Kind("docker", BUSYBOX_IMAGE, workdir="/work", python=False),
    "bubblewrap": Kind("bubblewrap", "host"),
    "local": Kind("local", "host", isolated=False),
}
Start = Callable[..., Awaitable[Sandbox]]
EVERY_ISOLATED = frozenset({"docker", "bubblewrap"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for a custom backend; available if this folder is named on the command line."""
    group = parser.getgroup("sandbox", "the contract of sandbox backends")
    group.addoption("--sandbox-backend", metavar="MODULE:CLASS", help="run the contract on this backend")
    group.addoption("--sandbox-image", default="", help="its image; its own where not given")
    group.addoption("--sandbox-workdir", default="/testbed", help="where its commands start")
    group.addoption("--sandbox-set", action="append", default=[], metavar="KEY=VALUE", help="sandbox.options")
    group.addoption("--sandbox-not-isolated", action="store_true", help="it shares this machine's files")


def own_kind(config: pytest.Config) -> "Kind | None":
    """The kind given on the command line."""
    backend = config.getoption("sandbox_backend", None)
    if not backend:
        return None
    image, workdir = config.getoption("sandbox_image"), config.getoption("sandbox_workdir")
    return Kind(backend, image, workdir=workdir, isolated=not config.getoption("sandbox_not_isolated"), own=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that uses `kind`, or fixtures based on it, once per kind."""
    if "kind" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("kinds")
    if (own := own_kind(metafunc.config)) is not None:
        meant = not marker or (own.isolated and set(marker.args) >= EVERY_ISOLATED)
        metafunc.parametrize("kind", [pytest.param(own, id="own")] if meant else [], scope="module")
        return
    names = marker.args if marker else list(KINDS)
    values = [pytest.param(KINDS[name], id=name, marks=_marks(KINDS[name])) for name in names]
    metafunc.parametrize("kind", values, scope="module")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that only this folder uses."""
    config.addinivalue_line("markers", "kinds(*names): the sandbox kinds that a test runs on; all by default")
    config.addinivalue_line("markers", "contract: holds for any backend, those of others included")


def _marks(kind: Kind) -> list[pytest.MarkDecorator]:
    return [getattr(pytest.mark, kind.backend)] if kind.backend != "local" else []


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where bubblewrap and local sandboxes store their files."""
    return tmp_path_factory.mktemp("sandboxes") / "scratch"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(kind: Kind, scratch: Path, request: pytest.FixtureRequest) -> AsyncIterator[SandboxBackend]:
    if kind.image == BUSYBOX_IMAGE:
        make_busybox_image()
    config: dict[str, Any] = {"backend": kind.backend, "unsafe": kind.backend == "local", "scratch_dir": scratch}
    if kind.own:
        config["options"] = dict(word.split("=", 1) for word in request.config.getoption("sandbox_set"))
    config["runtime"] = RUNTIME if kind.container else None
    opened = await open_backend(SandboxConfig.model_validate(config))
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def start(kind: Kind, backend: SandboxBackend) -> AsyncIterator[Start]:
    """Start sandboxes of this kind; they are closed at the end of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(**changes: Any) -> Sandbox:
            sandbox = await backend.start(kind.spec(**changes))
            stack.push_async_callback(sandbox.close)
            return sandbox

        yield begin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sbx(kind: Kind, backend: SandboxBackend) -> AsyncIterator[Sandbox]:
    """One sandbox for all tests of a module: whatever a command does, the next one works."""
    sandbox = await backend.start(kind.spec())
    yield sandbox
    await sandbox.close()


@pytest.fixture
def daemon() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def make_busybox_image() -> None:
    """An image with only a static busybox: no bash, no coreutils, no Python."""
    client = docker.from_env()
    try:
        if client.images.list(BUSYBOX_IMAGE):
            return
        client.api.import_image_from_data(busybox_tar(), *BUSYBOX_IMAGE.split(":"))
    finally:
        client.close()


def busybox_tar() -> bytes:
    """A root directory with only a static busybox, for images without Docker."""
    program = shutil.which("busybox")
    if program is None or b"dynamically" in subprocess.run(["ldd", program], capture_output=True).stdout:
        pytest.skip("no static busybox to make an image of (Debian: busybox-static)")
    return _busybox_tar(program)


def _busybox_tar(program: str) -> bytes:
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in ("bin", "etc", "tmp", "work"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(program, "bin/busybox")
        for applet in sorted({*applets} - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()
