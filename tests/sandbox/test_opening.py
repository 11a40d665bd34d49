"""Which backend is opened, and that a weaker one is never chosen silently."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import UnknownPart
from sandbox import BackendUnavailable, SandboxConfig, open_backend

NOWHERE = "unix:///no/such/docker.sock"


async def test_local_needs_to_be_asked_for_twice() -> None:
    with pytest.raises(BackendUnavailable, match="--sandbox local --unsafe"):
        await open_backend(SandboxConfig(backend="local"))
    assert (await open_backend(SandboxConfig(backend="local", unsafe=True))).name == "local"


async def test_a_named_backend_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable, match="no Docker daemon answers"):
        await open_backend(SandboxConfig(backend="docker", docker_host=NOWHERE))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendUnavailable, match="bwrap is not installed"):
        await open_backend(SandboxConfig(backend="bubblewrap"))


async def test_auto_never_ends_up_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendUnavailable, match="Start a Docker daemon or install bubblewrap"):
        await open_backend(SandboxConfig(docker_host=NOWHERE, unsafe=True))


@pytest.mark.bubblewrap
async def test_auto_takes_bubblewrap_where_no_daemon_answers() -> None:
    assert (await open_backend(SandboxConfig(docker_host=NOWHERE))).name == "bubblewrap"


@pytest.mark.docker
async def test_auto_takes_docker_where_a_daemon_answers() -> None:
    backend = await open_backend(SandboxConfig())
    assert backend.name == "docker"
    await backend.close()


@pytest.mark.parametrize("wrong", [{"backend": "podmann"}, {"bakend": "docker"}, {"slots": {"start": 0}}])
def test_unknown_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValidationError, UnknownPart)):
        SandboxConfig.model_validate(wrong)


def test_scratch_files_lie_where_the_configuration_says(tmp_path: Path) -> None:
    assert SandboxConfig(scratch_dir=tmp_path).scratch() == tmp_path
    assert SandboxConfig().scratch().name.startswith("heats-")
