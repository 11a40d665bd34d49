"""Software too old to isolate a sandbox is reported, and refused on request."""

from typing import Any

import pytest

from sandbox import BackendUnavailable, SandboxConfig, open_backend
from sandbox.versions import _engine_components, _in_runtime, host_components, judged, numbers


@pytest.mark.parametrize(
    ("name", "version", "below"),
    [
        ("runc", "1.1.5+ds1", True),
        ("runc", "1.1.12", True),
        ("runc", "1.2.8", False),
        ("runc", "1.3.2", True),
        ("runc", "1.3.3", False),
        ("runc", "1.4.0", False),
        ("Docker Engine", "20.10.24+dfsg1", True),
        ("Docker Engine", "24.0.6", False),
        ("Docker Engine", "28.2.2", False),
        ("bubblewrap", "0.4.1", True),
        ("bubblewrap", "0.8.0", False),
        ("Linux", "4.19.0-amd64", True),
        ("Linux", "6.1.0-25-cloud", False),
        ("containerd", "1.0", False),
        ("runc", "unknown", False),
    ],
)
def test_each_version_gets_its_verdict(name: str, version: str, below: bool) -> None:
    component = judged(name, version)
    assert component.below is below
    assert ("below" in str(component)) is below


@pytest.mark.parametrize(("text", "found"), [("v1.2.3-rc1", (1, 2, 3)), ("20.10.24+dfsg1", (20, 10, 24)), ("", ())])
def test_the_leading_numbers_of_a_version_count(text: str, found: tuple[int, ...]) -> None:
    assert numbers(text) == found


def test_podman_names_its_runtime_too() -> None:
    parts = [
        {"Name": "Podman Engine", "Version": "4.3.1"},
        {"Name": "Conmon", "Version": "conmon version 2.1.6"},
        {"Name": "OCI Runtime (crun)", "Version": "crun version 1.8.1\ncommit: f8a0"},
    ]
    found: dict[str, Any] = {"Components": parts, "KernelVersion": "6.1.0"}
    assert [str(one) for one in _engine_components(found)] == ["Podman Engine 4.3.1", "crun 1.8.1", "Linux 6.1.0"]


def test_runc_is_not_held_against_sandboxes_that_run_in_something_else() -> None:
    found = (judged("Docker Engine", "29.0.0"), judged("runc", "1.1.5"))
    assert _in_runtime(None, found) == _in_runtime("nvidia", found) == found
    assert [str(one) for one in _in_runtime("runsc", found)] == [
        "Docker Engine 29.0.0",
        "runtime runsc of unknown version",
    ]


@pytest.mark.docker
async def test_the_daemon_says_what_it_runs_on() -> None:
    backend = await open_backend(SandboxConfig(backend="docker"))
    names = {one.name for one in await host_components(backend)}
    await backend.close()
    assert "Linux" in names
    assert names & {"Docker Engine", "Podman Engine"}


@pytest.mark.bubblewrap
async def test_bubblewrap_says_its_version() -> None:
    backend = await open_backend(SandboxConfig(backend="bubblewrap"))
    assert {one.name: bool(numbers(one.version)) for one in await host_components(backend)} == {
        "bubblewrap": True,
        "Linux": True,
    }


@pytest.mark.bubblewrap
async def test_an_old_host_is_refused_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.versions.platform.release", lambda: "4.4.0-generic")
    config = SandboxConfig(backend="bubblewrap")
    with pytest.raises(BackendUnavailable, match=r"strict_host: Linux 4\.4\.0-generic \(below 5\.10"):
        await open_backend(config.model_copy(update={"strict_host": True}))
    await (await open_backend(config)).close()
