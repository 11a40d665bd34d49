"""Skips tests whose tool is missing, with the reason; if HEATS_TESTS_REQUIRE names it, they run and fail."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import docker
import hypothesis
import pytest
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

# A busy machine takes longer for an example, or to generate one, without anything being wrong.
hypothesis.settings.register_profile("heats", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("heats")

BASE_IMAGE = "heats-base:latest"
BWRAP_PROBE = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
TOOLS = Path(__file__).resolve().parent.parent / ".cache" / "tools"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def why_no_docker() -> str | None:
    """Return None if a daemon answers and has the base image."""
    try:
        client = docker.from_env(timeout=10)
    except (DockerException, RequestException):
        return "no Docker daemon answers"
    try:
        client.images.get(BASE_IMAGE)
    except ImageNotFound:
        return f"Docker has no image {BASE_IMAGE}: run `make image`"
    except (DockerException, RequestException):
        return "the Docker daemon does not answer"
    finally:
        client.close()
    return None


def why_no_bubblewrap() -> str | None:
    """Return None if bwrap can create a namespace."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed"
    try:
        made = subprocess.run(BWRAP_PROBE, capture_output=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return "bwrap does not end"
    return None if made.returncode == 0 else "bwrap may not make namespaces here"


def why_no_tool(name: str) -> str | None:
    """Return None if the environment of an external program exists."""
    return (
        None if (TOOLS / name / ".heats-tool").exists() else f"no environment for {name}: run scripts/tool-env {name}"
    )


def why_no_browser() -> str | None:
    """Return None if a Chromium is on PATH."""
    return None if any(map(shutil.which, BROWSERS)) else "no Chromium on PATH"


PROBES: dict[str, Callable[[], str | None]] = {
    "docker": why_no_docker,
    "bubblewrap": why_no_bubblewrap,
    "vllm": lambda: why_no_tool("vllm"),
    "browser": why_no_browser,
}


# Last, so that only the tests left by `-m` and `-k` are probed for.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the selected tests that this machine cannot run."""
    required = os.environ.get("HEATS_TESTS_REQUIRE", "").split()
    for name, why_not in PROBES.items():
        skip(required, name, [item for item in items if item.get_closest_marker(name)], why_not)
    tools = {mark.args[0] for item in items for mark in item.iter_markers("tool")}
    for name in sorted(tools):
        marked = [item for item in items if any(mark.args[0] == name for mark in item.iter_markers("tool"))]
        skip(required, name, marked, partial(why_no_tool, name))


def skip(required: list[str], name: str, marked: list[pytest.Item], why_not: Callable[[], str | None]) -> None:
    reason = why_not() if marked and name not in required else None
    for item in marked:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def tool_env() -> Callable[[str], Path]:
    """The environment of an external program, by name; its tests are marked `@pytest.mark.tool(NAME)`."""

    def find(name: str) -> Path:
        reason = why_no_tool(name)
        assert reason is None, reason
        return TOOLS / name

    return find


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait until a condition holds, however long a busy machine takes; only what never happens fails."""

    async def wait(condition: Callable[[], object], seconds: float = 100.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never came to that"
            await asyncio.sleep(0.01)

    return wait
