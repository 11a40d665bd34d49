"""Fixtures of this room's tests: sandboxes that are plain processes, and git without this machine's settings."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.base import SandboxSpec

sys.path.insert(0, str(Path(__file__).parent))
from process_box import ProcessBackend, ProcessSandbox


@pytest.fixture
def workdir(tmp_path: Path) -> str:
    return str(tmp_path / "testbed")


@pytest.fixture
def box(workdir: str) -> ProcessSandbox:
    Path(workdir).mkdir()
    return ProcessSandbox(SandboxSpec(image="host", workdir=workdir))


@pytest.fixture
def make_box(tmp_path: Path) -> Callable[[], ProcessSandbox]:
    """Sandboxes, each with a separate working directory."""

    def make() -> ProcessSandbox:
        folder = tmp_path / f"box-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return ProcessSandbox(SandboxSpec(image="host", workdir=str(folder)))

    return make


@pytest.fixture
def backend() -> ProcessBackend:
    return ProcessBackend()


Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Run git in a directory, with a fixed identity and without this machine's configuration."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }

    def run(folder: Path | str, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run
