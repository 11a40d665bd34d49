"""A custom backend is found as `module:Class` and passes the same contract tests as ours."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import InvalidOptions, UnknownPart
from sandbox import BackendUnavailable, SandboxConfig, open_backend
from sandbox.fake import FakeBackend

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "shell_backend:ShellBackend"


class OwnBackend(FakeBackend):
    """Created from the configuration, asynchronously."""

    @classmethod
    async def open(cls, config: SandboxConfig) -> "OwnBackend":
        return cls([])


async def test_a_backend_of_ones_own_is_opened_by_its_name() -> None:
    backend = await open_backend(SandboxConfig(backend=f"{__name__}:OwnBackend"))
    assert isinstance(backend, OwnBackend)


async def test_what_cannot_be_found_or_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(UnknownPart, match="cannot be loaded"):
        await open_backend(SandboxConfig(backend="no_such_module:Backend"))
    with pytest.raises(InvalidOptions, match=r"unknown option sandbox\.options\.porgram; known: program"):
        await open_backend(SandboxConfig(backend=EXAMPLE, options={"porgram": "docker"}))
    with pytest.raises(BackendUnavailable, match="no program"):
        await open_backend(SandboxConfig(backend=EXAMPLE, options={"program": "no-such-program"}))


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.timeout(600)
def test_the_example_passes_the_contract() -> None:
    contract = ["-m", "contract and not slow", "--sandbox-backend", EXAMPLE, "--sandbox-set", "program=docker"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *contract, "tests/sandbox"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, env=_with_example())
    print(done.stdout[-5000:])
    passed = re.search(r"(\d+) passed", done.stdout)
    assert (done.returncode, int(passed[1]) > 60 if passed else False) == (0, True)


def _with_example() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
